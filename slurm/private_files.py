"""The configuration files of a private Slurm cluster (`slurm.private_cluster`)."""

import getpass
import os
import secrets
import shutil
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

CPUS = 8  # a node; more than the machine has, since the jobs of tests mostly wait
MEMORY_MB = 16000


class Node(NamedTuple):
    """A virtual node: its name, its type of GPU and how many of them."""

    name: str
    gpu: str
    gpus: int


def write_files(
    root: Path,
    nodes: Sequence[Node],
    ports: Sequence[int],
    max_array_size: int,
    *,
    accounting: bool,
) -> None:
    """Lay out everything below `root`, which is emptied first.

    Args:
        root: of all files.
        nodes: the virtual nodes.
        ports: of slurmctld, slurmdbd and each node.
        max_array_size: MaxArraySize.
        accounting: write slurmdbd's and the data base's files too.
    """
    shutil.rmtree(root, ignore_errors=True)
    for name in ("run", "log", "state", "spool", "dev"):
        (root / name).mkdir(parents=True, mode=0o755)
    key = root / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(1024))
    (root / "slurm.conf").write_text(_slurm_conf(root, nodes, ports, max_array_size, accounting))
    (root / "gres.conf").write_text(_gres_conf(root, nodes))
    if accounting:
        _write_accounting(root, ports[1])


def _slurm_conf(
    root: Path, nodes: Sequence[Node], ports: Sequence[int], max_array_size: int, accounting: bool
) -> str:
    host = socket.gethostname().split(".", maxsplit=1)[0]
    user = getpass.getuser()
    lines = f"""
ClusterName=private
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={root}/run/munge.socket,cred_expire=5
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool/%n
SlurmctldPidFile={root}/run/slurmctld.pid
SlurmdPidFile={root}/run/slurmd-%n.pid
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd-%n.log
SlurmdParameters=config_overrides
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
ReturnToService=2
KillWait=5
SlurmdTimeout=20
MinJobAge=300
MaxArraySize={max_array_size}
SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=2
DefMemPerCPU=100
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
""".strip().split("\n")
    if accounting:
        lines += [
            "AccountingStorageType=accounting_storage/slurmdbd",
            "AccountingStorageHost=127.0.0.1",
            f"AccountingStoragePort={ports[1]}",
            f"AccountingStoragePass={root}/run/munge.socket",
            "JobCompType=jobcomp/none",
        ]
    for node, port in zip(nodes, ports[2:], strict=True):
        lines.append(
            f"NodeName={node.name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} "
            f"CPUs={CPUS} RealMemory={MEMORY_MB} Gres=gpu:{node.gpu}:{node.gpus}"
        )
    lines += [
        "PartitionName=gpu Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF",
        "PartitionName=preemptible Nodes=ALL MaxTime=INFINITE PriorityTier=1 GraceTime=15",
        "PartitionName=closed Nodes=ALL State=INACTIVE",
    ]
    return "\n".join(lines) + "\n"


def _gres_conf(root: Path, nodes: Sequence[Node]) -> str:
    """Typed GPUs; Slurm wants device files, and gives CUDA_VISIBLE_DEVICES for nothing else."""
    lines = ["AutoDetect=off"]
    for node in nodes:
        for index in range(node.gpus):
            file = root / "dev" / f"{node.name}-gpu{index}"
            _make_device(file, index)
            lines.append(f"NodeName={node.name} Name=gpu Type={node.gpu} File={file}")
    return "\n".join(lines) + "\n"


def _make_device(file: Path, index: int) -> None:
    if os.getuid() == 0:
        os.mknod(file, 0o600 | stat.S_IFCHR, os.makedev(1, 3 if index % 2 else 5))
    else:
        file.symlink_to(f"/dev/tty{index}")


def _write_accounting(root: Path, port: int) -> None:
    user = getpass.getuser()
    file = root / "slurmdbd.conf"
    file.touch(mode=0o600)
    file.write_text(
        f"""DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser={user}
AuthType=auth/munge
AuthInfo=socket={root}/run/munge.socket
CommunicationParameters=NoInAddrAny
StorageType=accounting_storage/mysql
StorageUser={user}
StorageLoc=slurm_acct
PidFile={root}/run/slurmdbd.pid
LogFile={root}/log/slurmdbd.log
"""
    )
    arguments = [
        "--no-defaults",
        f"--datadir={root}/mariadb",
        f"--socket={root}/run/mariadb.socket",
        f"--pid-file={root}/run/mariadbd.pid",
        f"--log-error={root}/log/mariadbd.log",
        f"--user={user}",
        "--skip-grant-tables",
        "--skip-networking",
        "--innodb-buffer-pool-size=64M",
        "--innodb-flush-log-at-trx-commit=0",
    ]
    (root / "mariadbd.args").write_text("\n".join(arguments))
