"""One node's part of a Ray cluster inside a Slurm allocation; srun starts it on each node.

    python -m slurm.ray_allocation FOLDER EXPERIMENT [OVERRIDES]

The first node starts Ray's head, leaves its address in FOLDER and runs `lico tune` against it; the
others join. When that command ends, however it ends, every node ends its Ray and removes its files.
All ports are free ones of their node, so two users there do not meet; Ray talks between nodes, so
it listens on them all, and every request needs the token that lies in FOLDER. Ray gives itself 30 s
to start, which a slow file system can use up, and a port may be gone by then: it is tried again.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lico.atomic import write_atomically
from lico.launchers.tune.reaper import reaper
from lico.launchers.tune.session import (
    ENVIRONMENT,
    LOOPBACK_ONLY,
    OBJECT_STORE_BYTES,
    SHORT_FOLDERS,
    SOCKET_BELOW,
    SOCKET_PATH_LIMIT,
)

JOIN_WITHIN_S = 300  # starting Python from a shared file system can take minutes
POLL_S = 0.5
END_WITHIN_S = 4
STARTS = 5
PORTS = ("dashboard-agent-listen", "dashboard-agent-grpc", "runtime-env-agent", "metrics-export")
CLUSTER = "ray_current_cluster"  # Ray's note of its address, once it is up
ADDRESS, ENDED, TOKEN, LOG = "address.json", "ended", "token", "ray.log"


def main(words: Sequence[str]) -> int:
    """This node's part; the exit status is that of `lico tune`, and 0 on the other nodes."""
    folder = Path(words[0])
    for name in LOOPBACK_ONLY:  # a command that submits may have been told so for itself
        os.environ.pop(name, None)
    os.environ.update(ENVIRONMENT)
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(folder / TOKEN)
    os.environ["AUTOSCALER_METRIC_PORT"] = str(_free_port())
    os.environ["DASHBOARD_METRIC_PORT"] = "-1"
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, _interrupt)
    first = os.environ.get("SLURM_PROCID", "0") == "0"
    with _node_folder() as own:
        try:
            return _head(folder, own, words[1:]) if first else _worker(folder, own)
        except KeyboardInterrupt:
            return 130


def _interrupt(_number: int, _frame: object) -> None:
    """Slurm's warning: end as on Ctrl-C; the same command goes on later."""
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _head(folder: Path, own: Path, words: Sequence[str]) -> int:
    """Start the head, say where it is, and run the study."""
    try:
        for _ in range(STARTS):
            dashboard = _free_port()
            arguments = [
                "--head",
                f"--port={_free_port()}",
                "--include-dashboard=true",
                "--dashboard-host=127.0.0.1",
                f"--dashboard-port={dashboard}",
                f"--ray-client-server-port={_free_port()}",
            ]
            with _ray(own, arguments) as ray:
                if address := _address(own, ray):
                    write_atomically(folder / ADDRESS, json.dumps({"address": address}).encode())
                    _say_where(dashboard, folder)
                    return _study([*words, f"tune.address={address}"])
            _say_failed(own)
        raise SystemExit("Ray's head does not start; what it said is above")
    finally:
        (folder / ENDED).touch()


def _study(words: Sequence[str]) -> int:
    process = subprocess.Popen([sys.executable, "-m", "lico", "tune", *words])
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_WITHIN_S)
        raise
    finally:
        if process.poll() is None:
            process.kill()


def _worker(folder: Path, own: Path) -> int:
    """Join the head, and stay until it has ended; a node that cannot leaves the others to it."""
    address = _wait_for_address(folder)
    if address is None:
        return 0
    for _ in range(STARTS):
        with _ray(own, [f"--address={address}"]) as ray:
            while ray.poll() is None and not (folder / ENDED).exists():
                time.sleep(POLL_S)
        if (folder / ENDED).exists():
            return 0
        _say_failed(own)
    print(f"{socket.gethostname()} gives up: the study goes on without it", flush=True)
    return 0


def _wait_for_address(folder: Path) -> str | None:
    deadline = time.monotonic() + JOIN_WITHIN_S
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError):
            return json.loads((folder / ADDRESS).read_text())["address"]
        if (folder / ENDED).exists():
            return None
        time.sleep(POLL_S)
    raise SystemExit(f"{socket.gethostname()}: no head within {JOIN_WITHIN_S} s")


@contextmanager
def _ray(own: Path, arguments: list[str]) -> Generator["subprocess.Popen[bytes]"]:
    """`ray start`, up in the block; its processes end with it."""
    cpus = os.environ.get("SLURM_CPUS_ON_NODE", str(os.cpu_count()))
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--log-style=record"),
        f"--num-cpus={cpus}",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        f"--temp-dir={own}",
        "--min-worker-port=0",
        "--max-worker-port=0",
        *(f"--{use}-port={_free_port()}" for use in PORTS),  # Ray waits 30 s for those it picks
        "--disable-usage-stats",
        *arguments,
    ]
    (own / CLUSTER).unlink(missing_ok=True)
    with (own / LOG).open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_WITHIN_S)


def _address(own: Path, ray: "subprocess.Popen[bytes]") -> str | None:
    """HOST:PORT of the head, once it is up; None if it ends before."""
    deadline = time.monotonic() + JOIN_WITHIN_S
    while time.monotonic() < deadline and ray.poll() is None:
        with suppress(FileNotFoundError):
            if address := (own / CLUSTER).read_text().strip():
                return address
        time.sleep(POLL_S)
    return None


def _say_failed(own: Path) -> None:
    said = (own / LOG).read_text(errors="replace")[-800:]
    print(f"Ray on {socket.gethostname()} has ended:\n{said}", flush=True)


def _say_where(dashboard: int, folder: Path) -> None:
    node, login = socket.gethostname(), os.environ.get("SLURM_SUBMIT_HOST", "LOGIN-NODE")
    user = os.environ.get("USER", "YOU")
    print(f"dashboard, from your own machine: ssh -N -L 8265:127.0.0.1:{dashboard} "
          f"-J {user}@{login} {user}@{node}", flush=True)  # fmt: skip
    print(f"then http://127.0.0.1:8265; its token is in {folder / TOKEN}", flush=True)


@contextmanager
def _node_folder() -> Generator[Path]:
    """A private folder on the node's own disk, with a path that is short enough for sockets."""
    wanted = [os.environ.get("SLURM_TMPDIR"), os.environ.get("TMPDIR"), *SHORT_FOLDERS]
    for place in filter(None, wanted):
        if len(os.fsencode(place)) + len("/lico-12345678") + SOCKET_BELOW > SOCKET_PATH_LIMIT:
            continue
        with suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix="lico-", dir=place))
            break
    else:
        raise SystemExit(f"no folder for Ray's files on {socket.gethostname()}: set TMPDIR")
    try:
        with reaper(folder, None):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as each:
        each.bind(("", 0))
        return each.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
