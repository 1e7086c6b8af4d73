"""Progress bars with the time left: one for a run, one for a study."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=False,
    )


class _Shown:
    """Something live, on the screen inside a block."""

    live: Progress | Live
    visible = True

    def __enter__(self) -> Self:
        if self.visible:
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.visible:
            self.live.stop()


class RunProgress(_Shown):
    """A bar for each phase of one run."""

    def __init__(self, console: Console, title: str) -> None:
        self.live = self.bars = _bars(console)
        self.title = title
        self.tasks: dict[str, TaskID] = {}

    def update(self, phase: str, done: int, whole: int) -> None:
        """Show that `done` of `whole` units of a phase are done."""
        if phase not in self.tasks:
            self.tasks[phase] = self.bars.add_task(f"{self.title} {phase}", total=whole)
        self.bars.update(self.tasks[phase], completed=done, total=whole)


class StudyProgress(_Shown):
    """One bar for the study, and one for each run that is under way.

    Where output goes to a file or a pipe, a line for each run that ends.
    """

    def __init__(self, console: Console, runs: int, skipped: int) -> None:
        self.console = console
        self.visible = console.is_terminal
        self.live = self.bars = _bars(console)
        self.total = self.bars.add_task("[bold]study", total=runs, completed=skipped)
        self.tasks: dict[str, TaskID] = {}
        self.ended = skipped
        self.runs = runs

    def update(self, run_id: str, phase: str, done: int, whole: int) -> None:
        """Show how far a run is."""
        description = f"  {run_id} {phase}"
        if run_id not in self.tasks:
            self.tasks[run_id] = self.bars.add_task(description, total=whole)
        self.bars.update(self.tasks[run_id], description=description, completed=done, total=whole)

    def end(self, run_id: str, failure: str | None) -> None:
        """A run has ended."""
        self.ended += 1
        if run_id in self.tasks:
            self.bars.remove_task(self.tasks.pop(run_id))
        self.bars.update(self.total, completed=self.ended)
        if failure:
            self.console.print(Text(f"failed: {run_id}: {failure}", style="red"))
        elif not self.console.is_terminal:
            self.console.print(f"{self.ended} of {self.runs}: {run_id}", highlight=False)
