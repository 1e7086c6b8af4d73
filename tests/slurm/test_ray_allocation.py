"""Ray Tune inside one allocation of a real, private Slurm with two nodes."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from lico.config import Config
from lico.launchers.tune.session import LOOPBACK_ONLY
from lico.results.layout import run_file
from lico.results.reader import is_finished
from lico.study import expand, load_experiment
from slurm.private_cluster import PrivateCluster
from slurm.ray_allocation import _free_port, _node_folder
from tests.end_to_end.small import TINY, write_experiment

CHECKOUT = Path(__file__).parents[2]
needs_slurm = pytest.mark.skipif(
    shutil.which("sbatch") is None, reason="no Slurm; apt-get install slurm-wlm munge"
)


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateCluster]:
    found = PrivateCluster(tmp_path_factory.mktemp("slurm"))
    found.start()
    yield found
    found.stop()


def make_tune(cluster: PrivateCluster, folder: Path, *more: str) -> str:
    """Submit, from where a session on one machine has left its settings."""
    name = write_experiment(folder)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "slurm", "tune", name, *TINY, "training.epochs=8"),
            *("--cluster", "test", "--nodes", "2", *more),
        ],
        cwd=folder, capture_output=True, text=True, check=False, timeout=600,
        env=os.environ | LOOPBACK_ONLY | cluster.environment | {"PYTHONPATH": str(CHECKOUT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def configs_in(folder: Path) -> list[Config]:
    overrides = [*TINY, "training.epochs=8", f"run.results='{folder}/results'"]
    return expand("small", load_experiment(str(folder / "small.yaml")), overrides)


def wait(what: Callable[[], bool], seconds: float = 600) -> bool:
    deadline = time.monotonic() + seconds
    while not what() and time.monotonic() < deadline:
        time.sleep(0.3)
    return what()


def rays(folder: Path) -> list[str]:
    """What of Ray works for this folder's study, or has its files."""
    found: list[str] = []
    for process in psutil.process_iter():
        try:
            token = process.environ().get("RAY_AUTH_TOKEN_PATH", "")
            if str(folder) in token or str(folder) in " ".join(process.cmdline()):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


@needs_slurm
@pytest.mark.slurm
@pytest.mark.slow
def test_a_cancelled_allocation_leaves_nothing_and_the_next_one_finishes(
    cluster: PrivateCluster, tmp_path: Path
) -> None:
    log = tmp_path / "results" / "small" / "tune" / "reports.jsonl"
    assert "Ray on 2 nodes" in make_tune(cluster, tmp_path)
    assert wait(lambda: log.exists() and log.stat().st_size > 0)
    cluster.command("scancel", "--user", str(os.getuid()))
    assert wait(lambda: not cluster.command("squeue", "--noheader").strip(), 60)
    assert wait(lambda: rays(tmp_path) == [], 60), rays(tmp_path)

    make_tune(cluster, tmp_path)
    assert wait(lambda: not cluster.command("squeue", "--noheader").strip(), 400)
    (job_log,) = sorted((tmp_path / "results/small/tune/slurm").glob("*/job.log"))[1:]
    said = job_log.read_text()
    assert all(is_finished(run_file(config), config) for config in configs_in(tmp_path)), said
    assert re.search(r"ssh -N -L 8265:127\.0\.0\.1:\d+ -J \S+ \S+@\S+", said)
    assert (tmp_path / "results" / "small" / "report.html").exists()
    assert wait(lambda: rays(tmp_path) == [], 60), rays(tmp_path)
    assert (job_log.parent / "token").stat().st_mode & 0o777 == 0o600


def on_node(cluster: PrivateCluster, number: int) -> list[psutil.Process]:
    """All that the allocation has started on one of its nodes.

    Ray's workers write their titles over their environments, so they are found as children.
    """
    conf = cluster.environment["SLURM_CONF"]
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            own = process.environ()
            if own.get("SLURM_CONF") == conf and own.get("SLURM_PROCID") == str(number):
                found |= {process, *process.children(recursive=True)}
    return list(found)


def trials_on(cluster: PrivateCluster, number: int) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in on_node(cluster, number):
        with suppress(psutil.Error):
            if "LicoRun" in " ".join(process.cmdline()):
                found.append(process)
    return found


def hold_the_first_until_the_second_works(cluster: PrivateCluster) -> bool:
    """Node 0's trials stand still, else they might all be done before node 1 has joined."""
    for process in trials_on(cluster, 0):
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    return trials_on(cluster, 0) != [] and trials_on(cluster, 1) != []


def kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


@needs_slurm
@pytest.mark.slurm
@pytest.mark.slow
def test_a_node_joins_again_and_trials_of_a_lost_one_go_on_on_the_others(
    cluster: PrivateCluster, tmp_path: Path
) -> None:
    make_tune(cluster, tmp_path)
    assert wait(lambda: hold_the_first_until_the_second_works(cluster), 400)
    kill(raylet for raylet in on_node(cluster, 1) if raylet.name() == "raylet")
    assert wait(lambda: trials_on(cluster, 1) == [], 60)
    assert wait(lambda: hold_the_first_until_the_second_works(cluster), 400)
    kill(on_node(cluster, 1))
    for process in trials_on(cluster, 0):
        process.resume()
    assert wait(lambda: not cluster.command("squeue", "--noheader").strip(), 400)
    (job_log,) = (tmp_path / "results/small/tune/slurm").glob("*/job.log")
    said = job_log.read_text()
    assert all(is_finished(run_file(each), each) for each in configs_in(tmp_path)), said
    assert f"Ray on {socket.gethostname()} has ended" in said
    assert (tmp_path / "results" / "small" / "report.html").exists()


@needs_slurm
@pytest.mark.slurm
def test_the_script_asks_for_nodes_gpus_cores_and_memory(
    cluster: PrivateCluster, tmp_path: Path
) -> None:
    script = make_tune(cluster, tmp_path, "--devices", "2", "--dry-run")
    for option in ("nodes=2", "gres=gpu:a100:2", "cpus-per-task=2", "mem=4096MB", "signal=TERM@30"):
        assert f"#SBATCH --{option}\n" in script
    assert not (tmp_path / "results").exists()


def test_a_nodes_folder_is_private_short_and_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / ("deep" * 20)))
    with _node_folder() as folder:
        assert len(str(folder)) < 43
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_ports_are_free_ones() -> None:
    assert len({_free_port() for _ in range(20)}) > 1
