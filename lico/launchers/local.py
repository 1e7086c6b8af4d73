"""Run a study on this machine, several runs at a time, each in a process of its own."""

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing.connection import wait as wait_for_sentinel
from queue import Empty
from typing import Any

from lico.config import Config
from lico.results.layout import log_file

CRASHES_ALLOWED = 2  # a worker that dies takes its neighbours' runs with it; they go on
POLL_SECONDS = 0.2

OnProgress = Callable[[str, str, int, int], None]
OnEnd = Callable[[str, str | None], None]


@dataclass
class Outcome:
    """What became of the runs.

    Attributes:
        finished: run ids.
        failed: run id → reason.
    """

    finished: list[str] = field(default_factory=list[str])
    failed: dict[str, str] = field(default_factory=dict[str, str])


def run_all(configs: list[Config], jobs: int, on_progress: OnProgress, on_end: OnEnd) -> Outcome:
    """Run every configuration, `jobs` at a time, and go on when one fails.

    Args:
        configs: the runs, in order of start.
        jobs: worker processes.
        on_progress: called with (run id, phase, done, whole).
        on_end: called with (run id, reason of failure or None).

    Raises:
        KeyboardInterrupt: on Ctrl-C, once the workers are stopped; every run keeps its last
            checkpoint.
    """
    outcome = Outcome()
    crashes = dict.fromkeys((c.run_id() for c in configs), 0)
    waiting = {config.run_id(): config for config in configs}
    while waiting:
        for run_id in _one_pool(list(waiting.values()), jobs, on_progress, on_end, outcome):
            crashes[run_id] += 1
            if crashes[run_id] >= CRASHES_ALLOWED:
                reason = "its process died twice (killed, or out of memory?); try fewer --jobs"
                outcome.failed[run_id] = reason
                on_end(run_id, reason)
        ended = {*outcome.finished, *outcome.failed}
        waiting = {run_id: config for run_id, config in waiting.items() if run_id not in ended}
    return outcome


def _one_pool(
    configs: list[Config], jobs: int, on_progress: OnProgress, on_end: OnEnd, outcome: Outcome
) -> list[str]:
    """Run until all are done or a worker dies; the runs that were under way when it did."""
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    with worker_threads(configs):
        pool = ProcessPoolExecutor(jobs, context, _start_worker, (messages,))
        futures: dict[Future[str | None], str] = {}
        under_way: set[str] = set()

        def pass_on() -> None:
            for run_id, phase, done, whole in _drain(messages):
                under_way.add(run_id)
                on_progress(run_id, phase, done, whole)

        try:
            futures = {pool.submit(_work, config): config.run_id() for config in configs}
            pending = set(futures)
            while pending:
                done, pending = wait(pending, POLL_SECONDS, FIRST_COMPLETED)
                pass_on()
                for future in done:
                    _note_end(futures[future], future.result(), on_end, outcome)
                    under_way.discard(futures[future])
        except BrokenProcessPool:
            pass_on()
            ended = {*outcome.finished, *outcome.failed}
            return sorted(under_way - ended) or [next(iter(futures.values()))]
        except BaseException:
            for process in multiprocessing.active_children():
                process.kill()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return []


def _note_end(run_id: str, reason: str | None, on_end: OnEnd, outcome: Outcome) -> None:
    if reason is None:
        outcome.finished.append(run_id)
    else:
        outcome.failed[run_id] = reason
    on_end(run_id, reason)


def _drain(messages: Any) -> list[tuple[str, str, int, int]]:
    found: dict[str, tuple[str, str, int, int]] = {}
    while True:
        try:
            message = messages.get_nowait()
        except Empty:
            return list(found.values())
        found[message[0]] = message


class worker_threads:  # noqa: N801 (reads as a statement)
    """Workers read the number of BLAS threads from the environment when they import NumPy."""

    def __init__(self, configs: list[Config]) -> None:
        self.count = str(max(config.run.threads for config in configs))
        self.before: dict[str, str | None] = {}

    def __enter__(self) -> None:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            self.before[name] = os.environ.get(name)
            os.environ[name] = self.count

    def __exit__(self, *_: object) -> None:
        for name, value in self.before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


_messages: Any = None


def _start_worker(messages: Any) -> None:
    """Leave Ctrl-C to the parent, and end with it, however it ends."""
    global _messages  # noqa: PLW0603 (one queue a process, given once)
    _messages = messages
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait_for_sentinel([sentinel])
    os._exit(1)


def _work(config: Config) -> str | None:
    """One run in a worker; the reason if it failed."""
    from lico.run import run  # noqa: PLC0415 (imports torch, which only workers need)

    run_id = config.run_id()
    _messages.put((run_id, "start", 0, 1))
    try:
        run(config, lambda phase, done, whole: _messages.put((run_id, phase, done, whole)))
    except Exception as error:
        log = log_file(config)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(traceback.format_exc())
        return f"{type(error).__name__}: {error} (see {log})"
    return None
