"""The state of each run of a submitted study, from its files first and Slurm's queue second."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lico.config import Config
from lico.errors import ResultsError
from lico.results.layout import run_file, work_folder
from lico.results.reader import read_run
from slurm import scheduler
from slurm.attempts import read_attempts
from slurm.scheduler import Element
from slurm.submission import Submission

State = Literal["finished", "running", "waiting", "failed", "interrupted", "cancelled", "missing"]
_REMEDIES = {"OUT_OF_MEMORY": "OUT_OF_MEMORY: raise memory_gb in the cluster profile"}


@dataclass(frozen=True)
class RunState:
    """How one run is.

    Attributes:
        config: of the run.
        state: of it.
        job: its array task, such as 12_3; empty if it has none.
        where: node, or what it waits for.
        done: share of its present phase, 0 to 1; None if it does not run.
        phase: train or evaluate.
        left_s: of that phase, seconds; None if unknown.
        took_s: all of a finished run, seconds.
        reason: of a failure.
        log: its task's log, if there is one.
        attempts: so far.
    """

    config: Config
    state: State
    job: str = ""
    where: str = ""
    done: float | None = None
    phase: str = ""
    left_s: float | None = None
    took_s: float | None = None
    reason: str = ""
    log: Path | None = None
    attempts: int = 0


def run_states(configs: Sequence[Config], submissions: Sequence[Submission]) -> list[RunState]:
    """The state of each run.

    Args:
        configs: the runs.
        submissions: of the study, oldest first.
    """
    queue = _by_run(submissions)
    ended = scheduler.accounted(
        array.job for each in submissions[-1:] for array in each.arrays if not array.follow_up
    )
    return [_state(config, submissions, queue.get(config.run_id()), ended) for config in configs]


def _by_run(submissions: Sequence[Submission]) -> dict[str, Element]:
    """For each run that is in the queue, the element that says most."""
    found: dict[str, Element] = {}
    jobs = [array.job for each in submissions for array in each.arrays]
    for element in sorted(scheduler.queue(jobs), key=_weight):
        for submission in submissions:
            array = submission.array(element.job)
            if array and not element.never_starts:
                for run in submission.runs[array.offset + (element.index or 0)]:
                    found[run] = element
    return found


def _weight(element: Element) -> int:
    if element.state != "PENDING":
        return 2
    return 0 if element.reason.startswith("Dependency") else 1


def _state(
    config: Config,
    submissions: Sequence[Submission],
    element: Element | None,
    ended: dict[tuple[str, int], str],
) -> RunState:
    with suppress(ResultsError):
        cost = read_run(run_file(config)).cost
        return RunState(config, "finished", took_s=cost.training_seconds + cost.evaluation_seconds)
    mine = [each for each in submissions if each.place(config.run_id())]
    if not mine:
        return RunState(config, "missing")
    last, work = mine[-1], work_folder(config)
    known = RunState(
        config,
        "interrupted",
        log=last.log(config.run_id(), work),
        attempts=len(read_attempts(work, last.name)),
    )
    stopped = work / f"stopped-{last.name}.txt"
    if element is not None and element.state != "PENDING":
        known = _running(known, work, element)
    elif stopped.exists():
        known = replace(known, state="failed", reason=stopped.read_text().strip())
    elif element is not None:
        known = replace(known, state="waiting", job=element.name, where=element.reason)
    elif last.cancelled:
        known = replace(known, state="cancelled")
    else:
        known = replace(known, reason=_why_gone(config, last, ended))
    return known


def _running(known: RunState, work: Path, element: Element) -> RunState:
    known = replace(known, state="running", job=element.name, where=element.node)
    try:
        values = json.loads((work / "progress.json").read_text())
    except (OSError, ValueError):
        return known
    if values["job"] != element.name:  # left by an earlier attempt; this one is only starting
        return known
    advanced, spent = values["done"] - values["first"], values["at"] - values["started"]
    return replace(
        known,
        done=values["done"] / max(values["whole"], 1),
        phase=values["phase"],
        left_s=spent / advanced * (values["whole"] - values["done"]) if advanced else None,
    )


def _why_gone(config: Config, submission: Submission, ended: dict[tuple[str, int], str]) -> str:
    """What accounting, or else the last attempt, says of a run that left without a result."""
    place = submission.place(config.run_id())
    states = [
        ended.get((array.job, place[0] - array.offset), "")
        for array in submission.arrays
        if place and array.holds(place[0]) and not array.follow_up
    ]
    tries = read_attempts(work_folder(config), submission.name)
    words = [_REMEDIES.get(state, state) for state in states if state]
    return "; ".join([*words, *(t.reason for t in tries[-1:] if t.reason)]) or "left without a word"
