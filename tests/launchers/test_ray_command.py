"""`lico tune` as a user gives it: interrupted, killed, finished, the same as run by run."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from lico.config import Config
from lico.results.format import RunRecord
from lico.results.layout import run_file
from lico.results.reader import is_finished, read_run
from lico.run import run
from lico.study import expand, load_experiment
from tests.end_to_end.small import TINY, write_experiment

SETTINGS = [*TINY, "training.epochs=30"]
TIMED = {"seconds", "images_per_second"}


def start(folder: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lico", "tune", str(folder / "small.yaml"), *SETTINGS, *more],
        cwd=folder, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def reports(folder: Path) -> int:
    log = folder / "results" / "small" / "tune" / "reports.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


def wait_for_report(process: subprocess.Popen[str], folder: Path) -> None:
    before, deadline = reports(folder), time.monotonic() + 600
    while reports(folder) <= before and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)


def left(cache: Path) -> list[str]:
    """Processes of a session that is over, after some seconds to end."""
    deadline = time.monotonic() + 120
    while True:
        found = [
            " ".join(process.cmdline())
            for process in psutil.process_iter()
            if _works_in(process, cache)
        ]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        if process.pid == psutil.Process().pid:
            return False
        opened = [each.path for each in process.open_files()]
        return any(str(folder) in each for each in [*process.cmdline(), *opened])
    except psutil.Error:
        return False


def test_a_study_that_is_interrupted_and_killed_ends_as_if_run_by_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / ("deep " * 20)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    name = write_experiment(tmp_path)
    monkeypatch.chdir(tmp_path)
    configs = expand(name, load_experiment(name), SETTINGS)

    for how, code in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        process = start(tmp_path, "--jobs", "2")
        wait_for_report(process, tmp_path)
        process.send_signal(how)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == code, output
        assert "Traceback" not in output
        assert left(cache) == []
        assert list((cache / "ray").iterdir()) == []
    assert not all(is_finished(run_file(config), config) for config in configs)
    before = {path: path.stat().st_mtime_ns for path in run_file(configs[0]).parent.glob("*.h5")}

    process = start(tmp_path, "--jobs", "2")
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output
    assert "report: results/small/report.html" in output
    assert "http://127.0.0.1:" in output
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())
    assert left(cache) == []
    for config in (configs[0], configs[1]):
        alone = Config.model_validate(
            config.model_dump() | {"run": {**config.run.model_dump(), "results": "alone"}}
        )
        require_same(read_run(run_file(config)), read_run(run(alone)))
    again = start(tmp_path)
    assert "4 of 4 runs are finished already" in again.communicate(timeout=900)[0]


def require_same(first: RunRecord, second: RunRecord) -> None:
    """All but time, provenance, cost and place."""
    assert first.config.identity() == second.config.identity()
    assert set(first.training) == set(second.training)
    for name in set(first.training) - TIMED:
        assert first.training[name] == second.training[name], name
    one, other = first.evaluation, second.evaluation
    assert one.image_ids == other.image_ids
    for name in ("labels", "logits", "gallery_index", "gallery_images", "gallery_masks"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
    assert set(one.saliency) == set(other.saliency)
    for method, saliency in one.saliency.items():
        np.testing.assert_array_equal(saliency.maps, other.saliency[method].maps)
        for kind in ("scores", "curves"):
            found, expected = getattr(saliency, kind), getattr(other.saliency[method], kind)
            assert set(found) == set(expected)
            for key, values in found.items():
                np.testing.assert_array_equal(values, expected[key], key)


def test_what_another_experiment_left_is_refused_in_one_sentence_and_kept(tmp_path: Path) -> None:
    write_experiment(tmp_path)
    record = tmp_path / "results" / "small" / "tune"
    record.mkdir(parents=True)
    content = '{"format": "lico-tune-1", "experiment": "other", "identity": "0", "runs": {}}'
    (record / "study.json").write_text(content)
    process = start(tmp_path)
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 1
    assert "left by the experiment 'other', and this is 'small'" in " ".join(output.split())
    assert "Traceback" not in output
    assert (record / "study.json").read_text() == content
    assert list(tmp_path.rglob("*.h5")) == []
