"""A real, private Slurm on this machine: several virtual nodes with typed GPUs, on loopback only.

    python -m slurm.private_cluster start [--accounting]   a cluster below .cache/slurm
    eval "$(python -m slurm.private_cluster env)"          now sbatch, squeue and make submit use it
    python -m slurm.private_cluster stop                   ends every job and daemon of it

For tests and for developers with a laptop. It needs Slurm's own programs (Debian and Ubuntu:
`apt install slurm-wlm munge`, with accounting also `slurmdbd mariadb-server`), no systemd and no
root. Its GPUs are names without hardware: jobs get CUDA_VISIBLE_DEVICES, but no GPU.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from slurm.private_files import Node, write_files
from slurm.processes import alive, end, leftover, works_for

NODES = (Node("n1", "a100", 2), Node("n2", "a100", 2), Node("n3", "rtx4090", 2))
DAEMONS = ("munged", "slurmctld", "slurmd")
ACCOUNTING_DAEMONS = ("mariadbd", "slurmdbd")
START_S = 60.0
LONGEST_SOCKET = 100
STOP_S = 10.0


class ClusterError(Exception):
    """The private cluster cannot be started; the message says what is missing or went wrong."""


@dataclass(frozen=True)
class PrivateCluster:
    """A cluster that has been started, or can be.

    Attributes:
        root: folder of all its files; nothing lies elsewhere.
        nodes: virtual nodes with their GPUs.
        accounting: whether slurmdbd and its data base run (`sacct` works).
        first_port: of 2 + len(nodes) that are used, one after the other; 0: any that are free.
        max_array_size: the cluster's MaxArraySize.
    """

    root: Path
    nodes: Sequence[Node] = NODES
    accounting: bool = False
    first_port: int = 0
    max_array_size: int = 1001

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs."""
        return {"SLURM_CONF": str(self.root / "slurm.conf")}

    def start(self) -> None:
        """Write the files, start the daemons, and wait until every node is idle.

        Raises:
            ClusterError: if a program is missing or a daemon does not come up; says which, and
                the end of its log. Nothing is left running then.
        """
        wanted = (*DAEMONS, *(ACCOUNTING_DAEMONS if self.accounting else ()))
        missing = [name for name in wanted if _program(name) is None]
        if missing:
            raise ClusterError(
                f"{', '.join(missing)} not found; on Debian and Ubuntu: "
                "apt install slurm-wlm munge, with --accounting also slurmdbd mariadb-server"
            )
        if len(str(self.root / "run" / "munge.socket")) > LONGEST_SOCKET:
            raise ClusterError(
                f"{self.root} is too long for a socket's name ({LONGEST_SOCKET} characters); "
                "choose a shorter folder with --root"
            )
        if self.pids():
            raise ClusterError(f"a cluster runs in {self.root} already; stop it first")
        try:
            ports = _ports(2 + len(self.nodes), self.first_port)
            write_files(
                self.root, self.nodes, ports, self.max_array_size, accounting=self.accounting
            )
            self._start_daemons()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all jobs and daemons; a cluster that does not run is no error."""
        if self.pids() and (self.root / "slurm.conf").exists():
            with suppress(subprocess.SubprocessError, OSError):
                self.command("scancel", "--full", f"--user={os.getuid()}", timeout=STOP_S / 2)
        for name in ("slurmd", "slurmctld", "slurmdbd", "mariadbd", "munged"):
            end([pid for each, pid in self.pids().items() if each.startswith(name)])
        end(leftover(self.root))

    def command(self, *words: str, timeout: float = 30.0) -> str:
        """Run a Slurm client command against this cluster and return what it prints."""
        done = subprocess.run(
            words,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=True,
        )
        return done.stdout

    def pids(self) -> dict[str, int]:
        """The daemons that run, by the name of their pid file."""
        found: dict[str, int] = {}
        for file in (self.root / "run").glob("*.pid"):
            with suppress(OSError, ValueError):
                pid = int(file.read_text())
                if alive(pid) and works_for(pid, self.root):
                    found[file.stem] = pid
        return found

    def start_node(self, name: str) -> None:
        """Start the slurmd of one node, as at first or after it was killed."""
        self._spawn("slurmd", "-N", name, "-f", str(self.root / "slurm.conf"))

    def start_controller(self) -> None:
        """Start slurmctld, as at first or after it was killed."""
        self._spawn("slurmctld", "-f", str(self.root / "slurm.conf"))
        self._wait("slurmctld", lambda: "UP" in self.command("scontrol", "ping"))

    def _start_daemons(self) -> None:
        run, log = self.root / "run", self.root / "log"
        self._spawn(
            "munged",
            "--force",
            f"--key-file={self.root / 'munge.key'}",
            f"--socket={run / 'munge.socket'}",
            f"--pid-file={run / 'munged.pid'}",
            f"--log-file={log / 'munged.log'}",
            f"--seed-file={run / 'munge.seed'}",
        )
        self._wait("munged", (run / "munge.socket").exists)
        if self.accounting:
            self._start_accounting()
        self.start_controller()
        for node in self.nodes:
            self.start_node(node.name)
        self._wait("slurmctld", self._all_idle)

    def _start_accounting(self) -> None:
        run, data = self.root / "run", self.root / "mariadb"
        _run_quietly(
            [
                "mariadb-install-db",
                "--no-defaults",
                f"--datadir={data}",
                "--auth-root-authentication-method=normal",
            ],
            self.root / "log" / "mariadb-install.log",
        )
        arguments = (self.root / "mariadbd.args").read_text().split("\n")
        _run_quietly(
            ["setsid", "--fork", str(_program("mariadbd")), *arguments],
            self.root / "log" / "mariadbd.out",
        )
        self._wait("mariadbd", (run / "mariadb.socket").exists)
        extra = {"MYSQL_UNIX_PORT": str(run / "mariadb.socket")}
        self._spawn("slurmdbd", environment=extra | {"SLURM_CONF": str(self.root / "slurm.conf")})
        self._wait("slurmdbd", self._cluster_added)

    def _cluster_added(self) -> bool:
        try:
            self.command("sacctmgr", "--immediate", "add", "cluster", "private", timeout=10)
        except subprocess.CalledProcessError as error:
            return "already exists" in f"{error.stdout}{error.stderr}"
        return True

    def _all_idle(self) -> bool:
        states = self.command("sinfo", "--noheader", "--Node", "--format=%N %t").split("\n")
        idle = {line.split()[0] for line in states if line.endswith(" idle")}
        return idle == {node.name for node in self.nodes}

    def _spawn(self, name: str, *arguments: str, environment: dict[str, str] | None = None) -> None:
        log = self.root / "log" / f"{name}.out"
        _run_quietly([str(_program(name)), *arguments], log, (environment or {}) | self.environment)

    def _wait(self, daemon: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with suppress(subprocess.SubprocessError):
                if ready():
                    return
            time.sleep(0.05)
        logs = sorted((self.root / "log").glob(f"{daemon}*"))
        ends = "\n".join(f"{log}: {log.read_text(errors='replace')[-800:]}" for log in logs)
        raise ClusterError(f"{daemon} did not come up within {START_S:.0f} s\n{ends}")


def _program(name: str) -> str | None:
    places = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin:/sbin:/usr/local/sbin"
    return shutil.which(name, path=places)


def _run_quietly(words: list[str], log: Path, environment: dict[str, str] | None = None) -> None:
    """Run a program that ends or becomes a daemon; its output goes to the log."""
    with log.open("a") as out:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | (environment or {}),
            check=False,
        )
    if done.returncode:
        raise ClusterError(
            f"{Path(words[0]).name} ended with {done.returncode}: {log.read_text()[-800:].strip()}"
        )


def _ports(count: int, first: int) -> list[int]:
    """Ports that are free now."""
    if first:
        return list(range(first, first + count))
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def main(words: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m slurm.private_cluster",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=["start", "stop", "env", "status"])
    parser.add_argument("--root", type=Path, default=Path(".cache/slurm"), help="all its files")
    parser.add_argument("--accounting", action="store_true", help="with slurmdbd: sacct works")
    options = parser.parse_args(words)
    cluster = PrivateCluster(options.root.absolute(), accounting=options.accounting)
    try:
        match options.action:
            case "start":
                cluster.start()
                again = f"python -m slurm.private_cluster env --root {options.root}"
                print(f'started; now: eval "$({again})"')
            case "stop":
                cluster.stop()
            case "env":
                print("\n".join(f"export {k}='{v}'" for k, v in cluster.environment.items()))
            case _:
                print(
                    cluster.command("sinfo", "--format=%P %a %D %t %N %G")
                    if cluster.pids()
                    else "not running"
                )
    except (ClusterError, subprocess.SubprocessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
