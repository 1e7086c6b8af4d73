"""Clusters of other kinds: with accounting, and with small arrays; and the private one itself."""

import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from lico.results.layout import run_file
from slurm.private_cluster import PrivateCluster
from tests.requirements import require
from tests.slurm.conftest import LONG, Site, missing_slurm, start_cluster, wait_until

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module")
def accounting() -> Iterator[PrivateCluster]:
    require("slurm", missing_slurm("slurmdbd", "mariadbd", "sacct"))
    yield from start_cluster(accounting=True)


@pytest.fixture(scope="module")
def small_arrays() -> Iterator[PrivateCluster]:
    require("slurm", missing_slurm())
    yield from start_cluster(max_array_size=4)


def test_accounting_says_how_a_run_left(accounting: PrivateCluster, tmp_path: Path) -> None:
    """Cancelled by somebody else: neither in the queue nor finished, and not by `cancel`."""
    site = Site(tmp_path, accounting, {})
    name = site.experiment("gone", more=LONG)
    submission = site.submit(name, "cluster.follow_ups=0")
    (config,) = site.configs(name)
    site.wait_for_training(config)
    accounting.command("scancel", *submission.jobs)
    site.wait_for_all()
    job = submission.arrays[0].job
    states = ("sacct", "--noheader", "--format=State", "--allocations", f"--jobs={job}")
    wait_until(lambda: "CANCELLED" in accounting.command(*states), 120, site.logs)
    told = site.lico("status", name).stdout
    assert "1 interrupted" in told
    assert "CANCELLED" in told
    assert f"make submit EXP={name} submits what is missing" in told


def test_a_study_larger_than_an_array_is_split(
    small_arrays: PrivateCluster, tmp_path: Path
) -> None:
    """Ten runs in arrays of four, never more at a time than the profile says."""
    site = Site(tmp_path, small_arrays, {})
    name = site.experiment("ten", seeds=str(list(range(1, 11))))
    small_arrays.command("scontrol", "update", "partition=gpu", "state=down")
    submission = site.submit(name, "cluster.parallel=5", "cluster.follow_ups=1")
    own = [array for array in submission.arrays if not array.follow_up]
    assert [(array.offset, array.tasks) for array in own] == [(0, 4), (4, 4), (8, 2)]
    limits = [
        next(line for line in script.read_text().splitlines() if "--array=" in line)
        for script in sorted(submission.folder.glob("tasks/*_submission.sh"))
    ]
    assert [limit.rpartition("%")[2] for limit in limits[::2]] == ["2", "2", "1"]
    again = site.lico("submit", name, "--cluster", "test").stdout
    assert "10 in the queue already" in again
    for config in site.configs(name):  # as if they had ended meanwhile
        run_file(config).parent.mkdir(parents=True, exist_ok=True)
        run_file(config).touch()
    small_arrays.command("scontrol", "update", "partition=gpu", "state=up")
    site.wait_for_all()
    named = {c.run_id() for c in site.configs(name) if f"do of {c.run_id()}\n" in site.logs()}
    assert len(named) == 10


def test_fewer_tasks_at_a_time_than_arrays(small_arrays: PrivateCluster, tmp_path: Path) -> None:
    """Then the arrays wait for each other."""
    site = Site(tmp_path, small_arrays, {})
    name = site.experiment("chain", seeds=str(list(range(1, 11))))
    small_arrays.command("scontrol", "update", "partition=gpu", "state=down")
    submission = site.submit(name, "cluster.parallel=2", "cluster.follow_ups=0")
    jobs = [array.job for array in submission.arrays]
    for before, job in pairwise(jobs):
        shown = small_arrays.command("scontrol", "show", "job", f"{job}_0")
        assert f"Dependency=afterany:{before}" in shown
    site.lico("cancel", name)
    small_arrays.command("scontrol", "update", "partition=gpu", "state=up")


def test_the_private_cluster_from_the_command_line(tmp_path: Path) -> None:
    require("slurm", missing_slurm())
    root = Path(f"/tmp/slurm-{tmp_path.name[-8:]}")  # noqa: S108 (a socket's name must be short)

    def command(action: str) -> str:
        words = [sys.executable, "-m", "slurm.private_cluster", action, "--root", str(root)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    try:
        assert "started" in command("start")
        assert "runs in" in command("start")
        assert f"export SLURM_CONF='{root}/slurm.conf'" in command("env")
        assert "gpu:rtx4090:2" in command("status")
        cluster = PrivateCluster(root)
        devices = cluster.command("srun", "--gres=gpu:a100:1", "printenv", "CUDA_VISIBLE_DEVICES")
        assert devices.strip() in ("0", "1")
    finally:
        command("stop")
    assert PrivateCluster(root).pids() == {}
    assert command("status") == "not running\n"


def test_a_root_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    long = tmp_path / ("deep" * 30)
    words = [sys.executable, "-m", "slurm.private_cluster", "start", "--root", str(long)]
    require("slurm", missing_slurm())
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "choose a shorter folder with --root" in done.stderr
