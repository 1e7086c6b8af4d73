"""The parameters of sbatch and the shell lines around a task, from profile and runs."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lico.config import Runtime
from slurm.container import python_command, srun_arguments
from slurm.profile import Profile

BATCH_FUNCTIONS = Path(__file__).with_name("batch.sh")


def task_python(profile: Profile, environment: Mapping[str, str], *, gpu: bool) -> str:
    """The shell words that run Python for a task, in the profile's container if it has one."""
    return shlex.join(python_command(profile.container, gpus=gpu, environment=environment))


def task_environment(profile: Profile) -> dict[str, str]:
    """Variables of every task: weights come from the cache that the login node filled."""
    cache = os.environ.get("HF_HOME") or str(Path.home() / ".cache" / "huggingface")
    return {"HF_HOME": cache, "HF_HUB_OFFLINE": "1", **profile.environment}


def run_parameters(
    profile: Profile,
    name: str,
    sharing: int,
    resources: Runtime,
    setup: list[str],
) -> dict[str, Any]:
    """submitit's parameters for tasks with these resources.

    Args:
        profile: of the cluster.
        name: of the job.
        sharing: runs in a task, each a process.
        resources: devices and nodes of one run.
        setup: shell lines before the task.
    """
    processes = sharing if sharing > 1 else resources.devices
    apart = resources.devices * resources.nodes == 1
    gres = f"{profile.gres}:{resources.devices}" if profile.gres else None
    return {
        "job_name": name,
        "partition": profile.partition,
        "account": profile.account,
        "qos": profile.qos,
        "constraint": profile.constraint,
        "gres": gres,
        "time": profile.time_min,
        "nodes": resources.nodes,
        "ntasks_per_node": processes,
        "cpus_per_task": profile.cpus,
        "mem": f"{round(profile.memory_gb * processes * 1024)}MB",
        "signal_delay_s": profile.signal_before_end_s,
        "array_parallelism": profile.parallel,
        "stderr_to_stdout": True,
        "wckey": None,
        "setup": setup,
        "teardown": ["lico_end $?"],
        "srun_args": [
            f"--cpus-per-task={profile.cpus}",  # which srun does not take over since Slurm 22.05
            f"--kill-on-bad-exit={0 if apart else 1}",
            *srun_arguments(profile.container, gpus=gres is not None),
        ],
        "additional_parameters": {"requeue": True, **profile.sbatch},
    }


def report_parameters(profile: Profile, name: str, dependency: str) -> dict[str, Any]:
    """submitit's parameters for the job of aggregation and report."""
    report = profile.report
    return {
        "job_name": name,
        "partition": report.partition or profile.partition,
        "account": profile.account,
        "qos": profile.qos,
        "time": report.time_min,
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": report.cpus,
        "mem": f"{round(report.memory_gb * 1024)}MB",
        "stderr_to_stdout": True,
        "wckey": None,
        "dependency": dependency or None,
        "setup": modules(profile),
        "srun_args": srun_arguments(profile.container, gpus=False),
        "additional_parameters": {"requeue": True},
    }


def run_setup(profile: Profile, study: Path, submission: Path, offset: int) -> list[str]:
    """The shell lines before a task of an array whose task 0 is line `offset` of runs.txt."""
    return [
        f"LICO_STUDY={shlex.quote(str(study))}",
        f"LICO_SUBMISSION={shlex.quote(str(submission))}",
        f"LICO_OFFSET={offset}",
        f"LICO_CRASHES={profile.retries.crashes}",
        BATCH_FUNCTIONS.read_text().rstrip(),
        "lico_begin",
        *modules(profile),
    ]


def modules(profile: Profile) -> list[str]:
    """Shell lines that load the profile's modules, and say so where one is missing."""
    if not profile.modules:
        return []
    lines = ["command -v module >/dev/null || . /etc/profile"]
    for name in profile.modules:
        word = shlex.quote(name)
        failure = f'echo {shlex.quote(f"module load {name} failed")} "on $(hostname)"'
        lines.append(f"module load {word} || {{ {failure}; exit 127; }}")
    return lines
