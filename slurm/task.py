"""One task of an array: its run, or one of the runs that share its GPU.

What takes long to import is imported once signals are heard.
"""

import json
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from lico.config import Config
from lico.errors import Interrupted, SupersededError
from lico.results.layout import work_folder
from lico.writable import provide_writable_places
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
from slurm.exits import Exit

PROGRESS_S = 10.0  # between two notes of how far a run is


@dataclass(frozen=True)
class RunTask:
    """What submitit pickles for one task.

    Attributes:
        configs: of the task's runs, as JSON.
        sharing: processes on one GPU, each with a run of its own; 1: all work on the one run.
        submission: its folder.
        retries: as JSON (`slurm.profile.Retries`).
        time_limit_s: of the job.
        signal_before_end_s: when Slurm warns of it.
        gpu: whether a GPU was asked for.
    """

    configs: tuple[str, ...]
    sharing: int
    submission: str
    retries: str
    time_limit_s: float
    signal_before_end_s: float
    gpu: bool

    def __call__(self) -> None:
        """Do the work; other ends than a finished run leave by an exit status."""
        stop = StopSignal(self.time_limit_s - self.signal_before_end_s)
        provide_writable_places()
        place = int(os.environ.get("SLURM_LOCALID", "0")) if self.sharing > 1 else 0
        if place >= len(self.configs):
            say("no run is left for this process")
            return
        code = work(self, self.configs[place], stop)
        if code != Exit.FINISHED:
            sys.stderr.flush()
            sys.exit(code)


class StopSignal:
    """Remembers that Slurm wants the task to end; repeated signals change nothing."""

    def __init__(self, limit_after_s: float) -> None:
        """Listen from now on.

        Args:
            limit_after_s: seconds after the job's start from which a signal means the time limit.
        """
        started = float(os.environ.get("LICO_JOB_STARTED", time.time()))
        self.limit_at = started + limit_after_s - 75  # Slurm warns early, on whole minutes
        self.outcome: Outcome | None = None
        for each in (signal.SIGUSR2, signal.SIGTERM):
            signal.signal(each, self._hear)
        signal.signal(signal.SIGCONT, signal.SIG_DFL)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if self.outcome is None:
            self.outcome = "time limit" if time.time() >= self.limit_at else "preempted"
            say(f"got {signal.Signals(number).name} ({self.outcome}): saves and ends")


def work(task: RunTask, config_text: str, stop: StopSignal) -> Exit:
    """One run, with its attempt on record; how the process is to end."""
    config = Config.model_validate_json(config_text)
    folder, submission = work_folder(config), Path(task.submission)
    retries = Retries.model_validate_json(task.retries)
    os.environ["OMP_NUM_THREADS"] = str(config.run.threads)
    if int(os.environ.get("SLURM_PROCID", "0")) and config.run.devices * config.run.nodes > 1:
        return _guarded(config, stop, task)[0]  # the first process keeps the record
    earlier = settle(read_attempts(folder, submission.name), read_exits(submission))
    given_up = reason_to_give_up(earlier, retries)
    if given_up:
        return _give_up(folder, submission, given_up)
    attempt = Attempt(submission.name, job_name(), _restart(), time.time())
    write_attempt(folder, attempt)
    say(f"run {config.run_id()}, attempt {len(earlier) + 1}, job {attempt.job}")
    code, outcome, reason = _guarded(config, stop, task)
    ended = replace(attempt, outcome=outcome, reason=reason)
    write_attempt(folder, ended)
    given_up = reason_to_give_up([*earlier, ended], retries)
    if code in (Exit.SAVED, Exit.FAILED) and given_up:
        return _give_up(folder, submission, given_up)
    return code


def _guarded(config: Config, stop: StopSignal, task: RunTask) -> tuple[Exit, Outcome, str]:
    try:
        _require_gpu(task)
        from lico.run import run  # noqa: PLC0415 (imports torch)

        path = run(config, _Progress(config), should_stop=lambda: stop.outcome is not None)
    except SupersededError as error:
        say(str(error))
        return Exit.SUPERSEDED, "superseded", str(error)
    except Interrupted as end:
        say(str(end))
        return Exit.SAVED, stop.outcome or "preempted", str(end)
    except Exception as error:
        if stop.outcome is not None:  # a signal also ends loader processes, which looks like this
            say(f"ended by the signal: {error}; goes on from the last checkpoint")
            return Exit.SAVED, stop.outcome, str(error)
        traceback.print_exc()
        return Exit.FAILED, "failed", f"{type(error).__name__}: {error}"
    say(f"finished: {path}")
    return Exit.FINISHED, "finished", ""


def _give_up(folder: Path, submission: Path, reason: str) -> Exit:
    say(f"given up: {reason}")
    (folder / f"stopped-{submission.name}.txt").write_text(reason + "\n")
    return Exit.GIVEN_UP


def _require_gpu(task: RunTask) -> None:
    """See that a GPU which is there can be used, before a run takes days on the processor.

    Raises:
        ValueError: if the node has an NVIDIA driver and torch cannot use it.
    """
    if not task.gpu:
        return
    import torch  # noqa: PLC0415

    if torch.cuda.is_available():
        return
    if Path("/proc/driver/nvidia/version").exists():
        raise ValueError(
            "the node has an NVIDIA GPU, but torch cannot use it: its driver is too old for "
            f"CUDA {torch.version.cuda}, or the container was started without GPUs"
        )
    say("warning: a GPU was asked for, and this node has no NVIDIA driver; runs on the processor")


@dataclass
class _Progress:
    """Notes how far a run is, for `make status`."""

    config: Config
    phase: str = ""
    noted: float = 0.0
    started: float = 0.0
    first: int = 0

    def __call__(self, phase: str, done: int, whole: int) -> None:
        now = time.time()
        if phase == self.phase and done < whole and now - self.noted < PROGRESS_S:
            return
        if phase != self.phase:
            self.started, self.first = now, done
            if phase == "train":
                say(f"training begins at step {done} of {whole}")
        self.phase, self.noted = phase, now
        values = {"phase": phase, "done": done, "whole": whole, "at": now}
        values |= {"started": self.started, "first": self.first, "job": job_name()}
        target = work_folder(self.config) / "progress.json"
        temporary = target.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(values))
        temporary.replace(target)


def job_name() -> str:
    """Slurm's name of this task: 12_3 in an array, else 12."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array:
        return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID", "none")


def _restart() -> int:
    return int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def say(text: str) -> None:
    """A line in the task's log."""
    print(f"{time.strftime('%F %T')} task: {text}", flush=True)
