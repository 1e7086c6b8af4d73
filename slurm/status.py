"""What `make status` shows."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lico.study import expand, load_experiment
from slurm import scheduler
from slurm.logs import tail
from slurm.states import RunState, run_states
from slurm.submission import Submission, load_all, submissions_folder

MOST_ROWS = 60
LOG_LINES = 5
_WAITS = {
    "JobArrayTaskLimit": "its turn", "Resources": "free node", "Priority": "priority",
    "Dependency": "other jobs", "BeginTime": "requeued",
}  # fmt: skip
_COLOURS = {
    "finished": "green", "running": "cyan", "waiting": "dim", "failed": "red",
    "interrupted": "yellow", "cancelled": "yellow", "missing": "dim",
}  # fmt: skip


def show_status(console: Console, experiment: str, overrides: list[str], results: Path) -> None:
    """Print a table of the runs, what is left, and the ends of failures' logs.

    Args:
        console: where to.
        experiment: as it was submitted.
        overrides: of the runs; those of the last submission if there are none.
        results: folder of all results.

    Raises:
        ConfigError: for an unknown experiment, key or value.
        ClusterError: if Slurm does not answer.
    """
    submissions = load_all(submissions_folder(results, Path(experiment).stem))
    given = overrides or (submissions[-1].overrides if submissions else [])
    configs = expand(experiment, load_experiment(experiment), given)
    states = run_states(configs, submissions)
    console.print(_table(states, submissions))
    for line in _summary(states, submissions):
        console.print(line, highlight=False, soft_wrap=True)
    for state in states:
        if state.state in ("failed", "interrupted"):
            _show_failure(console, state)
    if any(state.state not in ("finished", "running", "waiting") for state in states):
        console.print(
            f"make submit EXP={experiment} submits what is missing; runs go on from their last "
            "checkpoints",
            highlight=False,
            soft_wrap=True,
        )


def _table(states: Sequence[RunState], submissions: Sequence[Submission]) -> Table:
    shown = [
        s for s in states if len(states) <= MOST_ROWS or s.state not in ("finished", "waiting")
    ]
    hidden = len(states) - len(shown[:MOST_ROWS])
    title = f"submitted {submissions[-1].created}" if submissions else "not submitted"
    table = Table(title=title, box=SIMPLE_HEAD)
    for name in ("run", "state", "where", "progress"):
        table.add_column(name, no_wrap=name in ("run", "state"), overflow="fold")
    for state in shown[:MOST_ROWS]:
        table.add_row(
            state.config.run_id(),
            f"[{_COLOURS[state.state]}]{state.state}[/]",
            _where(state),
            _progress(state),
        )
    if hidden:
        table.caption = f"and {hidden} more, that are finished or wait"
    return table


def _where(state: RunState) -> str:
    """Array task and node, or what it waits for."""
    if state.state == "waiting":
        return f"{state.job} {_WAITS.get(state.where, state.where)}"
    return f"{state.job} {state.where}".strip()


def _progress(state: RunState) -> str:
    parts: list[str] = []
    if state.done is not None:
        parts.append(f"{state.phase} {state.done:.0%}")
    if state.left_s is not None:
        parts.append(f"{duration(state.left_s)} left")
    if state.attempts > 1:
        parts.append(f"attempt {state.attempts}")
    return ", ".join(parts)


def _summary(states: Sequence[RunState], submissions: Sequence[Submission]) -> list[str]:
    counts = Counter(state.state for state in states)
    lines = [f"{len(states)} runs: " + ", ".join(f"{n} {name}" for name, n in counts.items())]
    parallel = submissions[-1].parallel if submissions else 1
    left = time_left_s(states, parallel)
    if left is not None:
        lines.append(f"about {duration(left)} left, {parallel} at a time")
    if submissions and submissions[-1].report:
        job = submissions[-1].report
        state = next((e.state.lower() for e in scheduler.queue([job])), "ended")
        page = submissions[-1].folder.parent.parent / "report.html"
        ready = f", {page}" if page.exists() and state == "ended" else ""
        lines.append(f"report: job {job} {state}{ready}")
    return lines


def time_left_s(states: Sequence[RunState], parallel: int) -> float | None:
    """Seconds until the last run ends, by the runs so far; None if nothing is known yet.

    Waiting runs are taken to last as long as the mean finished one, or, before there is one, as
    the running ones are estimated to.
    """
    open_runs = [s for s in states if s.state in ("running", "waiting")]
    if not open_runs:
        return None
    left = [s.left_s for s in states if s.left_s is not None]
    whole = [s.took_s for s in states if s.took_s is not None] or [
        s.left_s / (1 - s.done) for s in states if s.left_s and s.done is not None and s.done < 1
    ]
    unknown = len(open_runs) - len(left)
    if unknown and not whole:
        return None
    rest = sum(left) + (unknown * fmean(whole) if unknown else 0.0)
    return max(rest / min(parallel, len(open_runs)), max(left, default=0.0))


def duration(seconds: float) -> str:
    """In words: 2 h 05 min, 3 min 20 s, 12 s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _show_failure(console: Console, state: RunState) -> None:
    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    say(f"\n{state.config.run_id()} {state.state}: {state.reason}", "red")
    if state.log is not None:
        say(f"{state.log}:", "dim")
        for line in tail(state.log, LOG_LINES):
            say(f"  {line}")
