"""What submitit pickles, and how a task hears signals."""

import os
import pickle
import pickletools
import signal
import time
from collections.abc import Iterator

import pytest

from slurm.task import RunTask, StopSignal, job_name


@pytest.fixture
def handlers() -> Iterator[None]:
    kinds = (signal.SIGUSR2, signal.SIGTERM, signal.SIGCONT)
    before = [signal.getsignal(kind) for kind in kinds]
    yield
    for kind, handler in zip(kinds, before, strict=True):
        signal.signal(kind, handler)


def test_a_task_is_pickled_by_the_name_of_its_module() -> None:
    """A class pickled by value, as those of __main__ are, would need the submitter's code."""
    task = RunTask(("{}",), 1, "/submission", "{}", 60, 30, gpu=False)
    text = pickle.dumps(task)
    assert pickle.loads(text) == task  # noqa: S301 (our own)
    names = [str(argument) for _, argument, _ in pickletools.genops(text)]
    assert "slurm.task" in names
    assert len(text) < 500


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize(("elapsed", "outcome"), [(100, "preempted"), (3500, "time limit")])
def test_a_signal_near_the_end_of_the_time_means_the_limit(
    monkeypatch: pytest.MonkeyPatch, elapsed: float, outcome: str
) -> None:
    monkeypatch.setenv("LICO_JOB_STARTED", str(time.time() - elapsed))
    stop = StopSignal(3600 - 60)
    assert stop.outcome is None
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGUSR2)
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.outcome == outcome


def test_the_name_of_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    assert job_name() == "12"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "10")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    assert job_name() == "10_2"
