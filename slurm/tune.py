"""Submit a study as trials of Ray Tune: one job whose nodes form a Ray cluster."""

import secrets
import shlex
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from lico.config import Config
from lico.launchers.tune.settings import load_settings
from lico.results.layout import experiment_folder, run_file
from lico.results.reader import is_finished
from lico.study import expand, load_experiment
from slurm import scheduler
from slurm.batch_script import modules, task_environment, task_python
from slurm.container import srun_arguments
from slurm.profile import Profile
from slurm.ray_allocation import TOKEN
from slurm.requirements import check
from slurm.submission import new_folder

CHECKOUT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Allocation:
    """What the job asks for.

    Attributes:
        nodes: each with a part of the Ray cluster.
        devices: GPUs of a node; the profile's memory and cores are for each of them.
    """

    nodes: int
    devices: int


def submit_tune(
    console: Console,
    name: str,
    overrides: list[str],
    profile: Profile,
    allocation: Allocation,
    *,
    dry_run: bool,
) -> str | None:
    """Submit one job that does what is missing of an experiment.

    Args:
        console: for what was done, and how to follow.
        name: of the experiment.
        overrides: as `lico tune` takes them.
        profile: of the cluster.
        allocation: nodes and GPUs.
        dry_run: print the script and submit nothing.

    Returns:
        Slurm's number of the job, or None if there was nothing to do or after a dry run.

    Raises:
        ClusterError: if there is no Slurm here, it lacks what the profile asks for, or refuses.
    """
    scheduler.require_slurm()
    _, rest = load_settings(overrides)
    configs = expand(name, load_experiment(name), rest)
    missing = [config for config in configs if not is_finished(run_file(config), config)]
    console.print(f"{len(configs)} runs: {len(configs) - len(missing)} finished")
    if not missing:
        return None
    parent = _folder(missing[0])
    words = [name, *overrides]
    if dry_run:
        text = _script(parent / "TIME", words, profile, allocation)
        console.print(text, markup=False, highlight=False, soft_wrap=True)
        return None
    check(console, profile, missing, parent.parent.parent)
    parent.mkdir(parents=True, exist_ok=True)
    folder = new_folder(parent)
    (folder / TOKEN).touch(mode=0o600)
    (folder / TOKEN).write_text(secrets.token_hex(32))
    script = folder / "job.sh"
    script.write_text(_script(folder, words, profile, allocation))
    job = scheduler.ask("sbatch", "--parsable", str(script)).strip().split(";")[0]
    _say_how_to_follow(console, job, folder, allocation)
    return job


def _folder(config: Config) -> Path:
    return experiment_folder(config.run.results, config.experiment).absolute() / "tune" / "slurm"


def _say_how_to_follow(console: Console, job: str, folder: Path, allocation: Allocation) -> None:
    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    say(f"submitted job {job}: Ray on {allocation.nodes} nodes")
    say(f"  tail -F {folder / 'job.log'}    trials, and the SSH line for the dashboard")
    say(f"  scancel {job}    ends it; the same make tune goes on")


def _script(folder: Path, words: list[str], profile: Profile, allocation: Allocation) -> str:
    python = task_python(profile, task_environment(profile), gpu=profile.gres is not None)
    srun = [
        "srun",
        "--kill-on-bad-exit=0",
        f"--cpus-per-task={profile.cpus * allocation.devices}",
        *srun_arguments(profile.container, gpus=profile.gres is not None),
    ]
    task = f"{python} -m slurm.ray_allocation {shlex.join([str(folder), *words])}"
    options = _options(folder, words[0], profile, allocation)
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH --{key}={value}" for key, value in options.items()),
        f"export PYTHONPATH={shlex.quote(str(CHECKOUT))}${{PYTHONPATH:+:$PYTHONPATH}}",
        *modules(profile),
        "trap : TERM USR2",  # warnings are for the tasks; this shell waits for them
        f"{shlex.join(srun)} {task} &",
        "wait $!",
        "wait $!",
    ]
    return "\n".join(lines) + "\n"


def _options(
    folder: Path, name: str, profile: Profile, allocation: Allocation
) -> dict[str, str | int]:
    memory = round(profile.memory_gb * allocation.devices * 1024)
    options: dict[str, str | int | None] = {
        "job-name": f"tune-{Path(name).stem}",
        "nodes": allocation.nodes,
        "ntasks-per-node": 1,
        "cpus-per-task": profile.cpus * allocation.devices,
        "mem": f"{memory}MB",
        "gres": f"{profile.gres}:{allocation.devices}" if profile.gres else None,
        "time": profile.time_min,
        "signal": f"TERM@{profile.signal_before_end_s}",
        "partition": profile.partition,
        "account": profile.account,
        "qos": profile.qos,
        "constraint": profile.constraint,
        "output": str(folder / "job.log"),
    }
    given = {key: value for key, value in options.items() if value is not None}
    return given | {key: str(value) for key, value in profile.sbatch.items()}
