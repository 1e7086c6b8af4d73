"""What was submitted, on disk beside the results: the truth of which array task is which run."""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from lico.atomic import write_atomically
from lico.results.layout import experiment_folder
from slurm.attempts import read_attempts


@dataclass(frozen=True)
class Array:
    """One job array.

    Attributes:
        job: Slurm's number of it.
        offset: line of runs.txt, from 0, of its task 0.
        tasks: in it.
        follow_up: it only starts if a task before it failed, and does what that left.
    """

    job: str
    offset: int
    tasks: int
    follow_up: bool = False

    def holds(self, task: int) -> bool:
        """Whether the submission's task of this number is in it."""
        return self.offset <= task < self.offset + self.tasks

    def name(self, task: int) -> str:
        """Slurm's name of the submission's task; an array of one task is a plain job."""
        return f"{self.job}_{task - self.offset}" if self.tasks > 1 else self.job


@dataclass(frozen=True)
class Submission:
    """One call of submit.

    Attributes:
        folder: of its files.
        experiment: as it was named.
        overrides: of all runs.
        cluster: profile.
        created: UTC.
        runs: of each task, in the order of the tasks.
        arrays: in the order of their submission.
        report: job of aggregation and report.
        parallel: tasks at a time.
    """

    folder: Path
    experiment: str
    overrides: list[str]
    cluster: str
    created: str
    runs: list[list[str]] = field(repr=False)
    parallel: int = 1
    arrays: list[Array] = field(default_factory=list[Array])
    report: str | None = None

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.folder.name

    @property
    def jobs(self) -> list[str]:
        """All of its jobs."""
        return [*(array.job for array in self.arrays), *([self.report] if self.report else [])]

    @property
    def cancelled(self) -> bool:
        """Whether its jobs were cancelled by `cancel`."""
        return (self.folder / "cancelled.txt").exists()

    def array(self, job: str) -> Array | None:
        """The array with this number."""
        return next((array for array in self.arrays if array.job == job), None)

    def place(self, run: str) -> tuple[int, int] | None:
        """The run's task, and its process in the task; None if it is not in here."""
        for task, runs in enumerate(self.runs):
            if run in runs:
                return task, runs.index(run)
        return None

    def log(self, run: str, work: Path) -> Path | None:
        """The log of the run's latest attempt, if there is one.

        Args:
            run: its id.
            work: its work folder.
        """
        place = self.place(run)
        if place is None:
            return None
        task, process = place
        jobs = [attempt.job for attempt in reversed(read_attempts(work, self.name))]
        jobs += [array.name(task) for array in self.arrays if array.holds(task)]
        for job in jobs:
            for file in (f"{job}_{process}_log.out", f"{job}_0_log.out"):
                if (path := self.folder / "tasks" / file).exists():
                    return path
        return None


def submissions_folder(results: str | Path, experiment: str) -> Path:
    """Where a study's submissions lie."""
    return experiment_folder(results, experiment) / "slurm"


def new_folder(parent: Path) -> Path:
    """A folder for a submission, named after the time."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{number}" for number in range(2, 100))):
        try:
            (folder := parent / f"{stamp}{suffix}").mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(parent / stamp)


def save(submission: Submission) -> None:
    """Write submission.json, and runs.txt for the batch scripts: a line a task, its run ids."""
    lines = "".join(" ".join(runs) + "\n" for runs in submission.runs)
    runs = submission.folder / "runs.txt"
    if not runs.exists():
        write_atomically(runs, lines.encode())
    values = asdict(submission) | {"folder": str(submission.folder)}
    del values["runs"]
    text = json.dumps(values, indent=1)
    write_atomically(submission.folder / "submission.json", text.encode())


def load_all(parent: Path) -> list[Submission]:
    """All submissions of a study, oldest first; one that broke off before sbatch has no arrays."""
    return [_load(file) for file in sorted(parent.glob("*/submission.json"))]


def _load(file: Path) -> Submission:
    values = json.loads(file.read_text())
    values["folder"] = file.parent.absolute()
    values["arrays"] = [Array(**array) for array in values["arrays"]]
    lines = (file.parent / "runs.txt").read_text().splitlines()
    return Submission(**values, runs=[line.split() for line in lines])
