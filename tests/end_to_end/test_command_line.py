"""The `lico` command as a user gives it, and what it says to mistakes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lico.results.reader import check_run, read_run
from tests.end_to_end.small import TINY, write_experiment


def lico(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lico", *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


def runs(folder: Path) -> list[Path]:
    return sorted((folder / "results" / "small" / "runs").glob("*.h5"))


def test_study_runs_reports_and_is_skipped_when_finished(tmp_path: Path) -> None:
    experiment = write_experiment(tmp_path)
    first = lico("study", experiment, *TINY, "--jobs", "2", folder=tmp_path)
    assert first.returncode == 0, first.stderr
    assert len(runs(tmp_path)) == 4
    assert all(check_run(path) is None for path in runs(tmp_path))
    results = tmp_path / "results" / "small"
    for name in ("study.h5", "report.html", "tables/table2.csv", "tables/table4.md"):
        assert (results / name).stat().st_size > 0
    before = [path.stat().st_mtime_ns for path in runs(tmp_path)]
    second = lico("study", experiment, *TINY, folder=tmp_path)
    assert "4 of 4 runs are finished already" in second.stdout
    assert [path.stat().st_mtime_ns for path in runs(tmp_path)] == before


def test_one_at_a_time_and_two_at_a_time_give_the_same_results(tmp_path: Path) -> None:
    for name, jobs in (("one", "1"), ("two", "2")):
        (tmp_path / name).mkdir()
        experiment = write_experiment(tmp_path / name)
        done = lico("study", experiment, *TINY, "--jobs", jobs, folder=tmp_path / name)
        assert done.returncode == 0, done.stderr
    for first, second in zip(runs(tmp_path / "one"), runs(tmp_path / "two"), strict=True):
        a, b = read_run(first).evaluation, read_run(second).evaluation
        np.testing.assert_array_equal(a.logits, b.logits)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_killed_study_is_finished_by_the_same_command(tmp_path: Path, how: int) -> None:
    experiment = write_experiment(tmp_path)
    command = [sys.executable, "-m", "lico", "study", experiment, *TINY, "--jobs", "2"]
    process = subprocess.Popen(
        command, cwd=tmp_path, start_new_session=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 600
    while not runs(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(how)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == (130 if how == signal.SIGINT else -how), output
    if how == signal.SIGINT:
        assert "the same command goes on" in output
        assert "Traceback" not in output
    left = [line for line in children(tmp_path) if line]
    assert not left, left
    finished = {path: path.stat().st_mtime_ns for path in runs(tmp_path)}
    again = lico("study", experiment, *TINY, "--jobs", "2", folder=tmp_path)
    assert again.returncode == 0, again.stderr
    assert len(runs(tmp_path)) == 4
    for path, written in finished.items():
        assert path.stat().st_mtime_ns == written


def children(folder: Path) -> list[str]:
    """Processes that still work in the folder, after some seconds to end."""
    deadline = time.monotonic() + 60
    while True:
        found: list[str] = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "cwd").resolve() == folder.resolve():
                    found.append((process / "cmdline").read_text())
            except OSError:
                continue
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def test_a_failing_run_does_not_stop_the_others(tmp_path: Path) -> None:
    experiment = write_experiment(tmp_path)
    path = Path(experiment)
    path.write_text(
        path.read_text().replace("[method=ce]", "[method=ce, training.learning_rate=1e30]")
    )
    settings = [each for each in TINY if "learning_rate" not in each]
    done = lico("study", experiment, *settings, "--jobs", "2", folder=tmp_path)
    assert done.returncode == 1
    assert "NonFiniteLossError" in done.stdout
    assert "2 of 4 runs failed" in done.stderr
    assert len(runs(tmp_path)) == 2
    assert (tmp_path / "results" / "small" / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["study", "dmo"], "did you mean 'demo'"),
        (["run", "trainig.epochs=3"], "did you mean 'training.epochs'"),
        (["run", "data=cifar100", "method=ce"], "lico data cifar100"),
        (["study", "lico_seeds"], "lico data imagenet_s50"),
        (["run", *TINY, "text.pretrained=broken.safetensors"], "broken.safetensors"),
        (["run", "text.model=ViT-B-33"], "ViT-B-32"),
        (["run", *TINY, "data.marker.class_name=stra"], "did you mean 'star'"),
        (["run", *TINY, "run.device=cuda"], "no CUDA device"),
        (["report", "demo"], "lico study demo"),
        (["data", "cifar10"], "did you mean 'cifar100'"),
        (["data", "imagenet_s50", "--verify"], "there is no packed data set"),
        (["evaluate", "absent.ckpt"], "there is no weights file absent.ckpt"),
        (["evaluate", "file", "--label-order", "x"], "numeric_folders"),
        (["run", "run.results=file"], "run.results"),
    ],
)
def test_mistakes_are_answered_with_one_clear_sentence(
    tmp_path: Path, arguments: list[str], says: str
) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"broken")
    (tmp_path / "file").write_text("no folder")
    done = lico(*arguments, folder=tmp_path, CUDA_VISIBLE_DEVICES="")
    assert done.returncode != 0
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_weights_that_are_not_here_are_explained_without_network(tmp_path: Path) -> None:
    done = lico("run", *TINY, "text=clip", folder=tmp_path, HF_HUB_OFFLINE="1", HF_HOME="hf")
    assert done.returncode == 1
    assert "lico data clip" in done.stderr
    assert "text=embedded" in done.stderr


def test_dry_run_lists_and_does_nothing(tmp_path: Path) -> None:
    done = lico("study", "demo", "--dry-run", folder=tmp_path, COLUMNS="200")
    assert done.returncode == 0
    assert "30 runs, 30 to do" in done.stdout
    assert not (tmp_path / "results").exists()


def test_doctor_says_what_is_missing_and_how_to_get_it(tmp_path: Path) -> None:
    done = lico("doctor", folder=tmp_path, COLUMNS="250", HF_HOME="hf")
    assert done.returncode == 0, done.stderr
    for word in ("GPU", "Slurm", "disk", "demo", "lico data cifar100", "lico data imagenet_s50"):
        assert word in done.stdout


COMMANDS = [
    "",
    "run",
    "study",
    "tune",
    "aggregate",
    "report",
    "doctor",
    "data",
    "evaluate",
    "pretrain-text",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(tmp_path: Path, command: str) -> None:
    done = lico(*command.split(), "--help", folder=tmp_path)
    assert done.returncode == 0
    assert "Usage" in done.stdout
