"""A live table of the trials that are under way, above the study's bar."""

from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from lico.progress import StudyProgress

COLUMNS = {  # heading: (name in a report, format)
    "top-1": ("top1", ".3f"),
    "train top-1": ("train_top1", ".3f"),
    "loss": ("loss", ".3f"),
    "MM": ("manifold_matching", ".3f"),
    "OT": ("optimal_transport", ".3f"),
    "marginal error": ("marginal_error", ".1e"),
    "images/s": ("images_per_second", ".0f"),
}
REFRESHES_PER_SECOND = 2


class TrialTable(StudyProgress):
    """Trials, with the last report of each, and the study's bar.

    Where output goes to a file or a pipe, a line for each trial that ends.
    """

    def __init__(self, console: Console, runs: int, skipped: int) -> None:
        super().__init__(console, runs, skipped)
        self.trials: dict[str, dict[str, Any]] = {}
        self.live = Live(
            console=console,
            get_renderable=self._view,
            refresh_per_second=REFRESHES_PER_SECOND,
        )

    def started(self, run_id: str) -> None:
        """A trial has been given its place."""
        self.trials.setdefault(run_id, {})

    def reported(self, run_id: str, report: dict[str, Any]) -> None:
        """An epoch of a trial is done."""
        self.trials[run_id] = report

    def end(self, run_id: str, failure: str | None) -> None:
        """A trial has ended."""
        self.trials.pop(run_id, None)
        super().end(run_id, failure)

    def _view(self) -> Group:
        table = Table("trial", "epoch", box=None, pad_edge=False)
        for heading in COLUMNS:
            table.add_column(heading, justify="right")
        for run_id, report in self.trials.items():
            table.add_row(run_id, _epoch(report), *_cells(report))
        return Group(table, self.bars)


def _epoch(report: dict[str, Any]) -> str:
    if not report:
        return "starting"
    if report["epoch"] == report["epochs"]:
        return "evaluating"
    return f"{report['epoch']} of {report['epochs']}"


def _cells(report: dict[str, Any]) -> list[str]:
    return [f"{report[name]:{style}}" if name in report else "" for name, style in COLUMNS.values()]
