"""Questions to Slurm, with and without accounting, in its own words where it refuses."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from slurm.errors import ClusterError

ASK_S = 60
_FIELDS = "%A|%F|%K|%T|%r|%N|%S"


@dataclass(frozen=True)
class Element:
    """One array task, or a job without an array, as the queue has it.

    Attributes:
        job: of the array, or the job itself.
        index: array task; None without an array.
        state: such as PENDING or RUNNING.
        reason: why it waits.
        node: where it runs.
    """

    job: str
    index: int | None
    state: str
    reason: str
    node: str

    @property
    def name(self) -> str:
        """Slurm's name of it: 12_3, or 12 without an array."""
        return self.job if self.index is None else f"{self.job}_{self.index}"

    @property
    def never_starts(self) -> bool:
        """Waits for something that cannot come any more."""
        return self.reason == "DependencyNeverSatisfied"


def require_slurm() -> None:
    """See that Slurm is on this machine.

    Raises:
        ClusterError: if not, with the way to do without.
    """
    if shutil.which("sbatch") is None:
        raise ClusterError(
            "there is no Slurm on this machine (no sbatch on the PATH); log in to your cluster's "
            "login node, or run the study here with CLUSTER=local"
        )


def ask(*words: str) -> str:
    """What a Slurm command prints.

    Raises:
        ClusterError: if it fails, with its own words.
    """
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            check=False,
            timeout=ASK_S,
            env=clean_environment(os.environ),
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{words[0]} is not on the PATH of this machine") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(
            f"{words[0]} did not answer within {ASK_S} s; try again later"
        ) from error
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip()
        away = re.search(r"configuration source|unable to contact", said, re.IGNORECASE)
        remedy = (
            "\nthis machine reaches no Slurm controller; log in to your cluster's login node, or "
            "run the study here with CLUSTER=local"
        )
        raise ClusterError(f"{words[0]}: {said}{remedy if away else ''}")
    return done.stdout


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what an enclosing job says of itself, which sbatch would believe."""
    keep = {"SLURM_CONF", "SLURM_CLUSTERS"}
    prefixes = ("SLURM_", "SLURMD_", "SRUN_", "SBATCH_", "SUBMITIT_")
    return {k: v for k, v in environment.items() if k in keep or not k.startswith(prefixes)}


def queue(jobs: Iterable[str]) -> list[Element]:
    """What of these jobs is in the queue, array tasks one by one; ended jobs are not."""
    known = sorted(set(jobs))
    if not known:
        return []
    try:
        text = ask(
            "squeue", "--noheader", "--array", f"--format={_FIELDS}", "--jobs", ",".join(known)
        )
    except ClusterError as error:
        if "Invalid job id" in str(error):  # squeue says so when the last one has been forgotten
            return [each for job in known for each in queue([job])] if len(known) > 1 else []
        raise
    return [_element(line) for line in text.splitlines() if line.count("|") >= 6]


def _element(line: str) -> Element:
    job, array, index, state, reason, node, _ = line.split("|", maxsplit=6)
    number = int(index) if index.isdigit() else None
    return Element(array or job, number, state, reason, node)


def accounted(jobs: Iterable[str]) -> dict[tuple[str, int], str]:
    """The last state of each (job, array task) by accounting; empty where there is none."""
    known = sorted(set(jobs))
    if not known or shutil.which("sacct") is None:
        return {}
    words = ("sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State")
    try:
        text = ask(*words, "--jobs", ",".join(known))
    except ClusterError:
        return {}
    found: dict[tuple[str, int], str] = {}
    for line in text.splitlines():
        match = re.match(r"^(\d+)(?:_(\d+))?\|(\w+)", line)
        if match:
            found[match[1], int(match[2] or 0)] = match[3]
    return found


def cancel(jobs: Sequence[str]) -> None:
    """Cancel jobs with all that is left of their arrays; those that have ended are no error."""
    if jobs:
        ask("scancel", "--quiet", *jobs)


def partitions() -> list[str]:
    """The partitions of this cluster."""
    return sorted(set(ask("sinfo", "--noheader", "--format=%R").split()))


def gres() -> set[str]:
    """The generic resources of this cluster with their types, such as gpu:a100."""
    found: set[str] = set()
    for word in ask("sinfo", "--noheader", "--format=%G").replace("\n", ",").split(","):
        match = re.match(r"^([\w.-]+(?::[A-Za-z_.-][\w.-]*)?)(?::\d+)?(?:\(.*)?$", word.strip())
        if match and "null" not in word:
            found.add(match[1])
    return found


def max_array_size() -> int:
    """How many tasks one array may have: their indices must be below MaxArraySize."""
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config"), re.MULTILINE)
    return int(match[1]) if match else 1001
