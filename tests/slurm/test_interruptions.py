"""Interruptions of every kind in the middle of training, on a real Slurm: nothing is lost."""

import os
import pickle
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from lico.config import Config
from lico.results.layout import claim_file, run_file
from lico.results.reader import read_run
from lico.run import run
from slurm.processes import alive
from slurm.submission import Submission
from tests.slurm.conftest import LONG, Site, wait_until

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """The logits of the long run that nothing interrupts."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    (folder / "long.yaml").write_text("")
    site = Site(folder, None, {})  # type: ignore[arg-type]
    (config,) = site.configs(site.experiment("long", more=LONG))
    return read_run(run(config)).evaluation.logits


def assert_went_on(site: Site, config: Config, expected: np.ndarray) -> None:
    """It was started again, from a step in the middle, and came to the same bits."""
    site.wait_for_all()
    assert site.finished(config), site.logs()
    np.testing.assert_array_equal(read_run(run_file(config)).evaluation.logits, expected)
    begins = [line for line in site.logs().splitlines() if "training begins at step" in line]
    assert len(begins) >= 2, site.logs()
    assert begins[0].endswith("at step 0 of 360")
    assert " step 0 of" not in begins[-1]


def start(site: Site, *words: str) -> tuple[Config, str]:
    """Submit the long run and wait until it trains; its configuration and job."""
    name = site.experiment("long", more=LONG)
    submission = site.submit(name, *words)
    (config,) = site.configs(name)
    site.wait_for_training(config)
    return config, submission.arrays[0].job


def test_requeue_by_the_administrator(site: Site, expected: np.ndarray) -> None:
    config, job = start(site)
    site.cluster.command("scontrol", "requeue", job)
    assert_went_on(site, config, expected)
    outcomes = [attempt.outcome for attempt in site.attempts(config)]
    assert outcomes == ["preempted", "finished"]


def test_preemption_by_a_higher_partition(site: Site, expected: np.ndarray) -> None:
    config, _ = start(site, "cluster.partition=preemptible", "cluster.gres=gpu:rtx4090")
    rival = ["sbatch", "--partition=gpu", "--gres=gpu:rtx4090:2", "--output=/dev/null"]
    site.cluster.command(*rival, "--wrap=sleep 3")
    assert_went_on(site, config, expected)
    assert [attempt.outcome for attempt in site.attempts(config)] == ["preempted", "finished"]


def test_kill_9_of_the_task(site: Site, expected: np.ndarray) -> None:
    config, _ = start(site)
    os.kill(python_of(site), signal.SIGKILL)
    assert_went_on(site, config, expected)
    first, last = site.attempts(config)
    assert (first.outcome, last.outcome) == (None, "finished")  # it could not say so itself
    exits = (site.submissions("long")[0].folder / "exits.txt").read_text().split("\n")
    assert exits[0].endswith(" 0 137")


def test_time_limit(site: Site, expected: np.ndarray) -> None:
    """The work is held up until Slurm's warning, which wakes it; the rest has all the time."""
    config, job = start(site, "cluster.time_min=3", "cluster.signal_before_end_s=90")
    task = python_of(site)
    os.kill(task, signal.SIGSTOP)
    wait_until(lambda: "got SIGUSR2 (time limit)" in site.logs(), 300, site.logs)
    site.cluster.command("scontrol", "update", f"job={job}", "timelimit=60")
    wait_until(lambda: not alive(task), 300, site.logs)
    assert_went_on(site, config, expected)
    assert [attempt.outcome for attempt in site.attempts(config)] == ["time limit", "finished"]


def test_a_lost_node_and_its_orphan(site: Site, expected: np.ndarray) -> None:
    """The node goes down, Slurm starts the run elsewhere, and then the first process wakes up."""
    config, job = start(site, "cluster.gres=gpu:a100")
    orphan, claim = python_of(site), claim_file(config)
    before = claim.read_text()
    node = site.cluster.command("squeue", "--noheader", "--format=%N", f"--jobs={job}").strip()
    os.kill(orphan, signal.SIGSTOP)
    os.kill(site.cluster.pids()[f"slurmd-{node}"], signal.SIGKILL)
    try:
        wait_until(lambda: claim.read_text() != before, 300, site.logs)
        os.kill(orphan, signal.SIGCONT)
        wait_until(lambda: not alive(orphan), 300, site.logs)
    finally:
        site.cluster.start_node(node)
    assert_went_on(site, config, expected)
    assert "another process has taken this run over" in site.logs()
    assert [a.outcome for a in site.attempts(config)] == ["superseded", "finished"]


def test_the_controller_is_killed_and_started_again(site: Site, expected: np.ndarray) -> None:
    """The run does not notice."""
    config, _ = start(site)
    os.kill(site.cluster.pids()["slurmctld"], signal.SIGKILL)
    site.cluster.start_controller()
    site.wait_for_all()
    np.testing.assert_array_equal(read_run(run_file(config)).evaluation.logits, expected)
    assert [attempt.outcome for attempt in site.attempts(config)] == ["finished"]


def test_repeated_signals_are_as_one(site: Site, expected: np.ndarray) -> None:
    config, job = start(site)
    for _ in range(3):
        send_usr2(site, job)
    assert_went_on(site, config, expected)
    assert len(site.attempts(config)) == 2


def test_a_signal_before_the_task_can_hear_it(site: Site, expected: np.ndarray) -> None:
    """It ends Python, or is lost; the run is requeued or goes on, and is no crash."""
    name = site.experiment("long", more=LONG)
    job = site.submit(name).arrays[0].job
    (config,) = site.configs(name)
    step = ("squeue", "--noheader", "--steps", f"--jobs={job}", "--format=%i")
    wait_until(lambda: f"{job}.0" in site.cluster.command(*step), 300, site.logs)
    send_usr2(site, job)
    site.wait_for_all()
    np.testing.assert_array_equal(read_run(run_file(config)).evaluation.logits, expected)
    assert not {"failed", "crashed"} & {attempt.outcome for attempt in site.attempts(config)}


def test_a_result_that_submitit_left_counts_for_nothing(site: Site, expected: np.ndarray) -> None:
    """The run's file is the truth, before and after a requeue."""
    config, job = start(site)
    stale = site.submissions("long")[0].folder / "tasks" / f"{job}_0_result.pkl"
    stale.write_bytes(pickle.dumps(("success", None)))
    assert "1 running" in site.lico("status", "long.yaml").stdout
    site.cluster.command("scontrol", "requeue", job)
    assert_went_on(site, config, expected)


def test_nodes_without_scontrol(site: Site, expected: np.ndarray, tmp_path: Path) -> None:
    """The follow-up array goes on where the node could not requeue."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for file in Path("/usr/bin").iterdir():
        if file.name != "scontrol":
            (programs / file.name).symlink_to(file)
    site.extra.update(PATH=str(programs), LICO_PATIENCE="1")
    name = site.experiment("long", more=LONG)
    submission = prepared(site, name)
    (config,) = site.configs(name)
    site.wait_for_training(config)
    send_usr2(site, submission.arrays[0].job)
    assert_went_on(site, config, expected)
    jobs = [attempt.job for attempt in site.attempts(config)]
    assert jobs == [array.job for array in submission.arrays[:2]]
    assert "no scontrol here" in site.logs()


def prepared(site: Site, name: str) -> Submission:
    """Submit; asking for MaxArraySize needs the very program that nodes lack."""
    (site.folder / "bin" / "scontrol").symlink_to("/usr/bin/scontrol")
    try:
        return site.submit(name)
    finally:
        (site.folder / "bin" / "scontrol").unlink()


def send_usr2(site: Site, job: str) -> None:
    """As Slurm warns; a step that has just ended is no error."""
    with suppress(subprocess.CalledProcessError):
        site.cluster.command("scancel", "--signal=USR2", f"{job}.0")


def python_of(site: Site) -> int:
    """The process that srun started for the task."""
    found = subprocess.run(
        ["pgrep", "--full", f"submitit.core._submit {site.folder}"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    names = {int(pid): Path(f"/proc/{pid}/comm").read_text() for pid in found}
    return next(pid for pid, name in names.items() if name.startswith("python"))
