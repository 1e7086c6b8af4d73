"""When a run is tried again, and when it is given up."""

from dataclasses import replace
from pathlib import Path

import pytest

from slurm.attempts import (
    Attempt,
    Outcome,
    Retries,
    read_attempts,
    read_exits,
    reason_to_give_up,
    settle,
    write_attempt,
)

FEW = Retries(time_limits=2, preemptions=2, crashes=3)


def ended(*outcomes: Outcome, reason: str = "") -> list[Attempt]:
    return [Attempt("s", "7_1", n, float(n), each, reason) for n, each in enumerate(outcomes)]


@pytest.mark.parametrize(
    ("attempts", "why"),
    [
        ([], None),
        (ended("failed", "failed", reason="OSError: no"), None),
        (ended("failed", "failed", "failed", reason="OSError: no"), "3 times in the same way: OSE"),
        (ended("time limit", "time limit"), None),
        (ended("time limit", "time limit", "time limit"), "time_min"),
        (ended("preempted", "lost"), None),
        (ended("preempted", "lost", "preempted"), "retries.preemptions"),
        (ended("time limit", "preempted", "lost", "time limit"), None),
    ],
)  # fmt: skip
def test_each_kind_is_counted_for_itself(attempts: list[Attempt], why: str | None) -> None:
    reason = reason_to_give_up(attempts, FEW)
    assert (reason is None) == (why is None)
    assert (why or "") in (reason or "")


def test_failures_of_different_kinds_do_not_add_up() -> None:
    attempts = [
        *ended("failed", "failed", reason="OSError: a"),
        *ended("failed", "failed", reason="OSError: b"),
    ]
    assert reason_to_give_up(attempts, FEW) is None


def test_an_attempt_that_never_said_how_it_ended(tmp_path: Path) -> None:
    """The batch script knows, unless it was lost too."""
    (tmp_path / "exits.txt").write_text("1 7_1 0 137\n1 7_1 2 85\ncut o")
    exits = read_exits(tmp_path)
    assert exits == {("7_1", 0): 137, ("7_1", 2): 85}
    silent = [Attempt("s", "7_1", restart, float(restart)) for restart in (0, 1)]
    crashed, lost = settle(silent, exits)
    assert (crashed.outcome, crashed.reason) == ("crashed", "exit status 137")
    assert lost.outcome == "lost"


def test_records_survive_a_line_that_was_cut_off(tmp_path: Path) -> None:
    first = Attempt("s", "7_1", 0, 1.0)
    write_attempt(tmp_path / "work", first)
    write_attempt(tmp_path / "work", replace(first, outcome="preempted"))
    write_attempt(tmp_path / "work", Attempt("t", "9_1", 0, 2.0))
    with (tmp_path / "work" / "attempts.jsonl").open("a") as file:
        file.write('{"submission": "s", "jo')
    assert [a.outcome for a in read_attempts(tmp_path / "work")] == ["preempted", None]
    assert [a.job for a in read_attempts(tmp_path / "work", "t")] == ["9_1"]
    assert read_attempts(tmp_path / "elsewhere") == []
