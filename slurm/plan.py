"""What a submission consists of: batches of tasks, their arrays, and the report job."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lico.config import Config
from lico.study import expand, load_experiment
from slurm.arrays import JobArray
from slurm.batch_script import (
    report_parameters,
    run_parameters,
    run_setup,
    task_environment,
    task_python,
)
from slurm.profile import Profile
from slurm.report_task import ReportTask
from slurm.submission import submissions_folder
from slurm.task import RunTask


@dataclass(frozen=True)
class Study:
    """An experiment on its way to a cluster.

    Attributes:
        name: of the experiment, as it was given.
        overrides: of all runs.
        cluster: name of the profile.
        profile: what it says.
        configs: all runs.
    """

    name: str
    overrides: list[str]
    cluster: str
    profile: Profile
    configs: list[Config]

    @property
    def slurm_folder(self) -> Path:
        """Of its submissions."""
        first = self.configs[0]
        return submissions_folder(first.run.results, first.experiment).absolute()


def read_study(name: str, overrides: list[str], cluster: str, profile: Profile) -> Study:
    """Expand an experiment for a cluster.

    Raises:
        ConfigError: for an unknown experiment, key or value.
    """
    return Study(name, overrides, cluster, profile, expand(name, load_experiment(name), overrides))


@dataclass(frozen=True)
class Batch:
    """Tasks of equal resources, that fit into one array.

    Attributes:
        tasks: the runs of each.
        offset: of the first task, in all of the submission.
    """

    tasks: list[list[Config]]
    offset: int


def batches_of(configs: list[Config], profile: Profile, largest_array: int) -> list[Batch]:
    """Tasks of the runs, in their order; runs with other devices or nodes are batches apart.

    Args:
        configs: the runs.
        profile: how many small runs share a task.
        largest_array: tasks that one array may have.
    """
    groups: dict[tuple[int, int], list[Config]] = {}
    for config in configs:
        groups.setdefault((config.run.devices, config.run.nodes), []).append(config)
    found: list[Batch] = []
    offset = 0
    for (devices, nodes), members in groups.items():
        share = profile.runs_per_gpu if devices * nodes == 1 else 1
        tasks = [members[i : i + share] for i in range(0, len(members), share)]
        for start in range(0, len(tasks), largest_array):
            found.append(Batch(tasks[start : start + largest_array], offset))
            offset += len(found[-1].tasks)
    return found


def parallel_shares(batches: int, parallel: int) -> list[int] | None:
    """Each array's share of the tasks at a time; None if there are more arrays than that."""
    if parallel < batches or not batches:
        return None
    share, more = divmod(parallel, batches)
    return [share + (1 if index < more else 0) for index in range(batches)]


@dataclass(frozen=True)
class Plan:
    """All that one submission hands to Slurm.

    Attributes:
        study: what and where.
        folder: of the submission's files.
        batches: its tasks.
    """

    study: Study
    folder: Path
    batches: list[Batch]

    @property
    def runs(self) -> list[list[str]]:
        """The run ids of each task."""
        return [[c.run_id() for c in task] for batch in self.batches for task in batch.tasks]

    def arrays(self) -> list[JobArray]:
        """One array a batch."""
        shares = parallel_shares(len(self.batches), self.study.profile.parallel)
        each = shares or [self.study.profile.parallel] * len(self.batches)
        return [self._array(batch, share) for batch, share in zip(self.batches, each, strict=True)]

    @property
    def one_after_the_other(self) -> bool:
        """Whether the arrays have to wait for each other, to keep to the tasks at a time."""
        return parallel_shares(len(self.batches), self.study.profile.parallel) is None

    def tasks(self, batch: Batch) -> list[Callable[[], None]]:
        """What each array task does."""
        profile = self.study.profile
        return [
            RunTask(
                tuple(config.model_dump_json() for config in runs),
                len(batch.tasks[0]),
                str(self.folder),
                profile.retries.model_dump_json(),
                profile.time_min * 60,
                profile.signal_before_end_s,
                bool(profile.gres),
            )
            for runs in batch.tasks
        ]

    def report(self, jobs: list[str]) -> JobArray:
        """The report job, once these jobs have ended."""
        profile = self.study.profile
        return JobArray(
            self.folder / "report",
            task_python(profile, task_environment(profile), gpu=False),
            report_parameters(
                profile,
                f"lico-report-{self.study.configs[0].experiment}",
                ":".join(["afterany", *jobs]) if jobs else "",
            ),
        )

    def report_task(self) -> ReportTask:
        """What it does."""
        return ReportTask(self.study.name, tuple(self.study.overrides))

    def _array(self, batch: Batch, parallel: int) -> JobArray:
        study, profile = self.study, self.study.profile
        parameters = run_parameters(
            profile,
            f"lico-{study.configs[0].experiment}",
            len(batch.tasks[0]),
            batch.tasks[0][0].run,
            run_setup(profile, study.slurm_folder.parent, self.folder, batch.offset),
        )
        python = task_python(profile, task_environment(profile), gpu=bool(profile.gres))
        return JobArray(self.folder / "tasks", python, parameters | {"array_parallelism": parallel})
