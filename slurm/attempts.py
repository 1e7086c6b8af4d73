"""The attempts at one run under Slurm: how each ended, and when to give the run up."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from lico.config import Section

Outcome = Literal["time limit", "preempted", "failed", "crashed", "lost", "superseded", "finished"]

_PREEMPTIONS = ("preempted", "lost")  # `lost`: no word from it; a requeue or a node that went down


class Retries(Section):
    """After how many interruptions of each kind a run is given up."""

    time_limits: NonNegativeInt = Field(default=50, description="ends by the time limit")
    preemptions: NonNegativeInt = Field(
        default=200, description="preemptions, requeues and lost nodes"
    )
    crashes: PositiveInt = Field(default=3, description="failures in the same way")


@dataclass(frozen=True)
class Attempt:
    """One start of a run.

    Attributes:
        submission: that it belongs to; each submission counts anew.
        job: Slurm's name of the array task, such as 12_3.
        restart: how often Slurm had requeued it.
        started: seconds since 1970.
        outcome: how it ended; None while it is under way, or if it never said.
        reason: in words.
    """

    submission: str
    job: str
    restart: int
    started: float
    outcome: Outcome | None = None
    reason: str = ""


def read_attempts(work: Path, submission: str | None = None) -> list[Attempt]:
    """All attempts of a run, or those of one submission, in the order of their starts.

    Args:
        work: the run's work folder.
        submission: which; all if not given.
    """
    try:
        lines = (work / "attempts.jsonl").read_text().splitlines()
    except OSError:
        return []
    found: dict[tuple[str, int, float], Attempt] = {}
    for line in lines:
        try:
            attempt = Attempt(**json.loads(line))
        except (ValueError, TypeError):  # cut off by a full disk or a crash
            continue
        found[attempt.job, attempt.restart, attempt.started] = attempt
    return [each for each in found.values() if submission in (None, each.submission)]


def write_attempt(work: Path, attempt: Attempt) -> None:
    """Add what is known of an attempt now; a later line replaces an earlier one of the same."""
    work.mkdir(parents=True, exist_ok=True)
    with (work / "attempts.jsonl").open("a") as file:
        file.write(json.dumps(asdict(attempt)) + "\n")


def settle(attempts: list[Attempt], exits: dict[tuple[str, int], int]) -> list[Attempt]:
    """Say how those ended that never did: by a crash that the batch script saw, or unseen.

    Args:
        attempts: earlier ones; none of them is under way any more.
        exits: exit statuses by (job, restart), from the batch scripts.
    """

    def settled(attempt: Attempt) -> Attempt:
        if attempt.outcome is not None:
            return attempt
        code = exits.get((attempt.job, attempt.restart))
        outcome: Outcome = "lost" if code is None else "crashed"
        reason = "no word from it" if code is None else f"exit status {code}"
        return replace(attempt, outcome=outcome, reason=reason)

    return [settled(attempt) for attempt in attempts]


def reason_to_give_up(attempts: list[Attempt], retries: Retries) -> str | None:
    """Why a run with these settled attempts is not tried again, or None if it is."""
    counts = Counter(attempt.outcome for attempt in attempts)
    ways = Counter(a.reason for a in attempts if a.outcome in ("failed", "crashed"))
    worst, times = ways.most_common(1)[0] if ways else ("", 0)
    if times >= retries.crashes:
        return f"failed {times} times in the same way: {worst}"
    if counts["time limit"] > retries.time_limits:
        return (
            f"reached the time limit {counts['time limit']} times; raise time_min or "
            "retries.time_limits in the cluster profile"
        )
    preemptions = sum(counts[each] for each in _PREEMPTIONS)
    if preemptions > retries.preemptions:
        return (
            f"was preempted or lost {preemptions} times; raise retries.preemptions in the cluster "
            "profile, or use another partition"
        )
    return None


def read_exits(submission: Path) -> dict[tuple[str, int], int]:
    """What the batch scripts saw: the exit status of each (job, restart)."""
    try:
        lines = (submission / "exits.txt").read_text().splitlines()
    except OSError:
        return {}
    found: dict[tuple[str, int], int] = {}
    for line in lines:
        match line.split():
            case [_, job, restart, code]:
                found[job, int(restart)] = int(code)
            case _:  # a line that a full disk cut off
                continue
    return found
