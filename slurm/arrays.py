"""Job arrays through submitit: their scripts, their submission, and what sbatch's refusals mean."""

import os
import re
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from submitit import SlurmExecutor
from submitit.core.utils import FailedJobError, FailedSubmissionError

from slurm import scheduler
from slurm.errors import ClusterError

_REMEDIES = {
    r"invalid partition": "set cluster.partition to one of: {partitions}",
    r"group not permitted|access.*partition|not allowed.*partition": (
        "this partition is not open to you; set cluster.partition to one of: {partitions}"
    ),
    r"partition not available": (
        "this partition takes no jobs; set cluster.partition to one of: {partitions}"
    ),
    r"invalid account|account/partition": "set cluster.account (sacctmgr show associations)",
    r"invalid qos": "set cluster.qos to one that your account has",
    r"gres.*specification|gres.*specified": "set cluster.gres to one of: {gres}",
    r"invalid feature": "correct cluster.constraint (sinfo --format=%f lists the features)",
    r"memory specification|node configuration is not available|more processors": (
        "no node has that much; lower cluster.memory_gb, cluster.cpus or run.devices "
        "(sinfo --Node --long shows the nodes)"
    ),
    r"time limit": "lower cluster.time_min to the partition's limit (sinfo --format=%R,%l)",
    r"job ?violates|submit limit|qosmaxsubmit|too many|queue full": (
        "a limit on jobs is reached; wait, submit fewer runs, or set cluster.follow_ups=0"
    ),
    r"unable to contact|connection refused|not responding|socket timed out": (
        "the controller does not answer; try again later"
    ),
    r"authentication|munge": "this machine cannot authenticate itself; ask the administrators",
}


class _Executor(SlurmExecutor):
    """submitit's executor, whose script can be seen before it is submitted."""

    def script(self, tasks: int) -> str:
        """What sbatch gets for so many tasks."""
        before = dict(self.parameters)
        if tasks > 1:
            self.parameters["map_count"] = tasks
        try:
            return self._make_submission_file_text(self._submitit_command_str, "")
        finally:
            self.parameters = before


class JobArray:
    """Tasks that are submitted together."""

    def __init__(self, folder: Path, python: str, parameters: dict[str, Any]) -> None:
        """Take what all tasks have in common.

        Args:
            folder: of scripts, pickles and logs; the nodes must see it.
            python: shell words that run Python on a node.
            parameters: of submitit.SlurmExecutor.
        """
        self.executor = _Executor(folder=folder, python=python)
        self.executor.update_parameters(**parameters)

    def script(self, tasks: int) -> str:
        """Exactly what `submit` gives to sbatch for so many tasks."""
        return self.executor.script(tasks)

    def submit(self, tasks: Sequence[Callable[[], None]], dependency: str | None = None) -> str:
        """Hand the tasks over in one call of sbatch.

        Args:
            tasks: picklable, one an array task.
            dependency: as sbatch's option.

        Returns:
            Slurm's number of the array.

        Raises:
            ClusterError: if sbatch refuses, with its words and what to change.
        """
        if dependency:
            extra = self.executor.parameters.get("additional_parameters", {})
            self.executor.update_parameters(
                dependency=dependency,
                additional_parameters=extra | {"kill-on-invalid-dep": "yes"},
            )
        try:
            with _outside_of_any_job():
                jobs = self.executor.submit_array(tasks)
        except (FailedJobError, FailedSubmissionError) as error:
            raise ClusterError(explain_refusal(str(error))) from error
        return jobs[0].job_id.partition("_")[0]


def explain_refusal(words: str) -> str:
    """sbatch's own words, and what to change."""
    lines = [line.strip() for line in words.splitlines() if line.strip().startswith("sbatch")]
    said = "; ".join(lines) or words.strip()
    for pattern, remedy in _REMEDIES.items():
        if re.search(pattern, said, re.IGNORECASE):
            return f"{said}\n{_filled(remedy)}"
    return f"{said}\nchange the cluster profile, or look at the script with --dry-run"


def _filled(remedy: str) -> str:
    try:
        if "{partitions}" in remedy:
            return remedy.format(partitions=", ".join(scheduler.partitions()))
        if "{gres}" in remedy:
            return remedy.format(gres=", ".join(sorted(scheduler.gres())) or "none here")
    except ClusterError:
        return re.sub(r" to one of: \{\w+\}", "", remedy)
    return remedy


@contextmanager
def _outside_of_any_job() -> Generator[None]:
    """Without the variables of a job that this process may run in."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(scheduler.clean_environment(before))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
