"""The job that aggregates and reports once the runs of a study have ended."""

from dataclasses import dataclass

from lico.study_command import report_study
from lico.writable import provide_writable_places
from slurm.task import say


@dataclass(frozen=True)
class ReportTask:
    """What submitit pickles for it.

    Attributes:
        experiment: as it was named.
        overrides: of all runs.
    """

    experiment: str
    overrides: tuple[str, ...]

    def __call__(self) -> None:
        """Write study.h5, the tables and the page from the runs that are finished."""
        provide_writable_places()
        say(f"report: {report_study(self.experiment, list(self.overrides))}")
