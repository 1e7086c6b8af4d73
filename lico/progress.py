"""Progress bars with the time left, for a run, a study, benchmarks."""

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


def _bars(console: Console, *, auto_refresh: bool = True) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        auto_refresh=auto_refresh,
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


class BenchProgress(_Shown):
    """One bar for all benchmarks, and one for the measurements under way in one of them.

    It is drawn between measurements alone: a thread that draws would be measured too.
    """

    def __init__(self, console: Console, benchmarks: int) -> None:
        self.visible = console.is_terminal
        self.live = self.bars = _bars(console, auto_refresh=False)
        self.total = self.bars.add_task("[bold]benchmarks", total=benchmarks)

    def begin(self, name: str) -> None:
        """A benchmark begins; until its first measurement it prepares."""
        self.name = name
        self.task = self.bars.add_task(f"  {name} prepares", total=None)
        self._draw()

    def update(self, done: int, whole: int) -> None:
        """So many are made, of the measurements that are compared with each other."""
        if done == 1:
            self._renew(f"  {self.name}", whole)
        self.bars.update(self.task, completed=done)
        self._draw()
        if done == whole:
            self._renew(f"  {self.name} prepares", None)

    def end(self) -> None:
        """The benchmark has ended."""
        self.bars.remove_task(self.task)
        self.bars.advance(self.total)
        self._draw()

    def _renew(self, description: str, whole: int | None) -> None:
        """A bar whose clock starts now."""
        self.bars.remove_task(self.task)
        self.task = self.bars.add_task(description, total=whole)
        self._draw()

    def _draw(self) -> None:
        if self.visible:
            self.bars.refresh()
