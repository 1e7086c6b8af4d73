"""The local launcher when its workers die."""

from pathlib import Path

import psutil
import pytest

from lico.compose import compose_config
from lico.config import Config
from lico.launchers.local import run_all
from lico.results.layout import run_file
from lico.results.reader import check_run
from tests.end_to_end.small import TINY


def configs(folder: Path, seeds: int) -> list[Config]:
    return [
        compose_config([*TINY, "method=ce", f"seed={seed}", f"run.results='{folder}'"])
        for seed in range(seeds)
    ]


def kill_workers() -> None:
    for child in psutil.Process().children(recursive=True):
        if "resource_tracker" not in " ".join(child.cmdline()):
            child.kill()


def test_runs_of_a_worker_that_was_killed_are_done_again(tmp_path: Path) -> None:
    killed: list[str] = []
    ended: dict[str, str | None] = {}

    def progress(run_id: str, phase: str, _done: int, _whole: int) -> None:
        if phase == "train" and not killed:
            killed.append(run_id)
            kill_workers()

    todo = configs(tmp_path, 3)
    outcome = run_all(todo, 1, progress, ended.__setitem__)
    assert killed
    assert sorted(outcome.finished) == sorted(config.run_id() for config in todo)
    assert ended == dict.fromkeys(outcome.finished)
    assert all(check_run(run_file(config)) is None for config in todo)


def test_a_run_that_kills_its_worker_every_time_is_given_up_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    todo = configs(tmp_path, 2)
    victim = todo[0].run_id()

    def progress(run_id: str, _phase: str, _done: int, _whole: int) -> None:
        if run_id == victim:
            kill_workers()

    outcome = run_all(todo, 1, progress, lambda _run, _reason: None)
    assert outcome.finished == [todo[1].run_id()]
    assert "died twice" in outcome.failed[victim]


def test_interrupt_leaves_no_process(tmp_path: Path) -> None:
    def progress(_run_id: str, phase: str, _done: int, _whole: int) -> None:
        if phase == "train":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all(configs(tmp_path, 2), 2, progress, lambda _run, _reason: None)
    gone, alive = psutil.wait_procs(psutil.Process().children(recursive=True), timeout=60)
    names = [" ".join(process.cmdline()) for process in alive]
    assert all("resource_tracker" in name for name in names), (gone, names)
