"""A real, private Slurm for the tests that need one; a visible skip where there is none."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lico.config import Config
from lico.results.layout import checkpoint_file, run_file, work_folder
from lico.study import expand, load_experiment
from slurm.attempts import Attempt, read_attempts
from slurm.private_cluster import PrivateCluster
from slurm.submission import Submission, load_all
from tests.requirements import require

TINY = (
    "text=embedded, data.image_size=24, data.scenes.train_images=24, data.scenes.val_images=24, "
    "training.batch_size=8, training.learning_rate=0.05, saliency.batch_size=24, "
    "saliency.gallery_images=4, model=small_resnet, training.epochs=2"
)
EXPERIMENT = """
title: Small runs
claim: That the parts fit together.
base: [{base}]
axes:
  system: {{{systems}}}
seeds: {seeds}
tables: [table2, table4, appendix_d]
"""
LONG = "training.epochs=120"  # about a quarter of a minute


def missing_slurm(*programs: str) -> str | None:
    """What is not installed of a Slurm with these programs too."""
    places = f"{os.environ['PATH']}:/usr/sbin"
    wanted = ("slurmctld", "slurmd", "sbatch", "munged", *programs)
    missing = [name for name in wanted if shutil.which(name, path=places) is None]
    return f"no Slurm here ({', '.join(missing)}): apt install slurm-wlm munge" if missing else None


def start_cluster(**settings: object) -> Iterator[PrivateCluster]:
    # a socket's name must be short, so not below pytest's own folder
    root = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    cluster = PrivateCluster(root, **settings)  # type: ignore[arg-type]
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(root)


@pytest.fixture(scope="session")
def cluster() -> Iterator[PrivateCluster]:
    require("slurm", missing_slurm())
    yield from start_cluster()


@dataclass(frozen=True)
class Site:
    """A folder with experiments, on a machine that belongs to the cluster.

    Attributes:
        folder: where commands run.
        cluster: whose environment they have.
        extra: variables of the environment besides.
    """

    folder: Path
    cluster: PrivateCluster
    extra: dict[str, str]

    def experiment(
        self, name: str, systems: str = "baseline: [method=ce]", seeds: str = "[1]", more: str = ""
    ) -> str:
        base = ", ".join([TINY, more]) if more else TINY
        text = EXPERIMENT.format(base=base, systems=systems, seeds=seeds)
        (self.folder / f"{name}.yaml").write_text(text)
        return f"{name}.yaml"

    def lico(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`python -m slurm`, as make calls it."""
        done = subprocess.run(
            [sys.executable, "-m", "slurm", *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    def submit(self, experiment: str, *words: str, profile: str = "test") -> Submission:
        self.lico("submit", experiment, "--cluster", profile, *words)
        return self.submissions(experiment)[-1]

    def submissions(self, experiment: str) -> list[Submission]:
        stem = Path(experiment).stem
        return load_all(self.folder / "results" / stem / "slurm")

    def configs(self, experiment: str, *overrides: str) -> list[Config]:
        results = f"run.results={self.folder / 'results'}"
        path = str(self.folder / experiment)
        return expand(path, load_experiment(path), [results, *overrides])

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | self.cluster.environment | self.extra

    def queue(self) -> list[str]:
        return self.cluster.command("squeue", "--noheader", "--array").splitlines()

    def wait_for_all(self, timeout: float = 900) -> None:
        wait_until(lambda: not self.queue(), timeout, self.logs)

    def wait_for_training(self, config: Config, timeout: float = 300) -> None:
        """Until the run has its first checkpoint."""
        wait_until(checkpoint_file(config).exists, timeout, self.logs)

    def attempts(self, config: Config) -> list[Attempt]:
        return read_attempts(work_folder(config))

    def logs(self) -> str:
        files = sorted(self.folder.glob("results/*/slurm/*/*/*.out"))
        return "\n".join(f"--- {file}\n{file.read_text()}" for file in files)

    def finished(self, config: Config) -> bool:
        return run_file(config).exists()


def wait_until(ready: Callable[[], object], timeout: float, say: Callable[[], str]) -> None:
    deadline = time.monotonic() + timeout
    while not ready():
        assert time.monotonic() < deadline, f"not within {timeout:.0f} s\n{say()}"
        time.sleep(0.1)


@pytest.fixture
def site(cluster: PrivateCluster, tmp_path: Path) -> Iterator[Site]:
    yield Site(tmp_path, cluster, {})
    cluster.command("scancel", f"--user={os.getuid()}")
    wait_until(
        lambda: not cluster.command("squeue", "--noheader"), 300, lambda: cluster.command("squeue")
    )
