"""Whole studies on a real Slurm: arrays, their results, and what the user is told."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lico.results.layout import log_file, run_file
from lico.results.reader import read_run
from lico.run import run
from lico.study import expand, load_experiment
from tests.slurm.conftest import LONG, Site, wait_until

pytestmark = pytest.mark.slurm

SMALL_DEMO = [
    "seed=1", "training.epochs=1", "training.batch_size=8", "data.image_size=24",
    "data.scenes.train_images=24", "data.scenes.val_images=24", "saliency.rise.masks=8",
    "saliency.batch_size=24", "saliency.gallery_images=4",
]  # fmt: skip


def test_the_demo_as_an_array_equals_the_local_launcher(site: Site) -> None:
    """Ten systems, two at a time, on typed GPUs: every number of every run file."""
    submission = site.submit("demo", *SMALL_DEMO)
    script = (submission.folder / "tasks" / f"{submission.arrays[0].job}_submission.sh").read_text()
    assert "#SBATCH --array=0-9%2" in script
    assert "#SBATCH --gres=gpu:a100:1" in script
    most = 0

    def count() -> bool:
        nonlocal most
        running = site.cluster.command("squeue", "--noheader", "--array", "--states=R")
        most = max(most, len(running.splitlines()))
        return not site.queue()

    wait_until(count, 400, site.logs)
    assert most <= 2
    local = [f"run.results={site.folder / 'local'}", *SMALL_DEMO]
    command = [sys.executable, "-m", "lico", "study", "demo", *local]
    subprocess.run(command, cwd=site.folder, check=True, capture_output=True)
    demo = load_experiment("demo")
    there = expand("demo", demo, [f"run.results={site.folder / 'results'}", *SMALL_DEMO])
    for config, other in zip(there, expand("demo", demo, local), strict=True):
        assert_equal_runs(run_file(config), run_file(other))
    assert (site.folder / "results/demo/report.html").exists()
    assert "10 finished, 0 to submit" in site.lico("submit", "demo", *SMALL_DEMO).stdout


def assert_equal_runs(first: Path, second: Path) -> None:
    one, two = read_run(first), read_run(second)
    np.testing.assert_array_equal(one.evaluation.logits, two.evaluation.logits)
    for method, saliency in one.evaluation.saliency.items():
        other = two.evaluation.saliency[method]
        np.testing.assert_array_equal(saliency.maps, other.maps)
        for name, values in saliency.scores.items():
            np.testing.assert_array_equal(values, other.scores[name])
    for name, curve in one.training.items():
        if name not in ("seconds", "images_per_second"):
            np.testing.assert_array_equal(curve, two.training[name])


def test_submitting_twice_submits_once(site: Site) -> None:
    name = site.experiment("twice", seeds="[1, 2]", more=LONG)
    site.submit(name)
    again = site.lico("submit", name, "--cluster", "test").stdout
    assert "0 finished, 2 in the queue already, 0 to submit" in again
    assert len(site.submissions(name)) == 1


def test_a_run_that_always_fails_is_given_up_and_the_others_go_on(site: Site) -> None:
    name = site.experiment(
        "failing", systems="broken: [method=ce, training.learning_rate=1e30], good: [method=ce]"
    )
    site.submit(name)
    site.wait_for_all()
    broken, good = site.configs(name)
    assert (site.finished(broken), site.finished(good)) == (False, True)
    assert [attempt.outcome for attempt in site.attempts(broken)] == ["failed"] * 3
    told = site.lico("status", name).stdout
    assert "1 failed" in told
    assert "failed 3 times in the same way: NonFiniteLossError: cross_entropy, loss not" in told
    assert "_log.out:" in told
    assert "NonFiniteLossError" in site.lico("logs", "broken").stdout
    assert "1 to submit" in site.lico("submit", name, "--cluster", "test").stdout  # once mended


def test_cancelled_is_cancelled_until_it_is_submitted_again(site: Site) -> None:
    name = site.experiment("cancelled", more="training.epochs=400")  # two commands come before
    site.submit(name)
    (config,) = site.configs(name)
    site.wait_for_training(config)
    assert "running" in site.lico("status", name).stdout
    assert "cancelled: " in site.lico("cancel", name).stdout
    site.wait_for_all()
    assert not site.finished(config)
    assert "cancelled" in site.lico("status", name).stdout
    assert "nothing was in the queue" in site.lico("cancel", name).stdout
    site.submit(name)
    site.wait_for_all()
    assert site.finished(config), site.logs()
    begins = [line for line in site.logs().splitlines() if "training begins" in line]
    assert " step 0 of" not in begins[-1]


def test_runs_that_share_a_gpu(site: Site) -> None:
    """Three runs, two a task: the second task has one, and all see the task's only GPU."""
    name = site.experiment("shared", seeds="[1, 2, 3]")
    submission = site.submit(name, "cluster.runs_per_gpu=2")
    assert [len(task) for task in submission.runs] == [2, 1]
    site.wait_for_all()
    for config in site.configs(name):
        assert site.finished(config), site.logs()
        assert "attempt 1" in site.lico("logs", config.run_id()).stdout
        assert [attempt.outcome for attempt in site.attempts(config)] == ["finished"]


def test_the_gpus_type_decides_the_node(site: Site) -> None:
    name = site.experiment("typed", more=LONG)
    submission = site.submit(name, "cluster.gres=gpu:rtx4090")
    job = submission.arrays[0].job
    (config,) = site.configs(name)
    site.wait_for_training(config)
    assert site.cluster.command("squeue", "--noheader", "--format=%N", f"--jobs={job}") == "n3\n"
    assert "n3" in site.lico("status", name).stdout


def test_without_a_profile_the_clusters_gpus_choose_one(site: Site) -> None:
    done = site.lico("submit", site.experiment("chosen"), "--dry-run")
    assert "#SBATCH --gres=gpu:a100:1" in done.stdout
    assert "#SBATCH --requeue" in done.stdout
    assert "--dependency=afterany:ARRAY1" in done.stdout
    assert site.submissions("chosen.yaml") == []
    assert site.queue() == []


def test_two_hundred_finished_runs_pass_through_an_array_without_python(site: Site) -> None:
    """Runs that end between submission and start cost no Python."""
    name = site.experiment("many", seeds=str(list(range(1, 201))))
    site.cluster.command("scontrol", "update", "partition=gpu", "state=down")
    try:
        submission = site.submit(name, "cluster.parallel=50", "cluster.cpus=1")
        assert submission.arrays[0].tasks == 200
        assert len([array for array in submission.arrays if not array.follow_up]) == 1
        for config in site.configs(name):
            run_file(config).parent.mkdir(parents=True, exist_ok=True)
            run_file(config).touch()
    finally:
        site.cluster.command("scontrol", "update", "partition=gpu", "state=up")
    site.wait_for_all()
    logs = site.logs()
    assert logs.count("nothing left to do") == 200
    assert logs.count("Starting with JobEnvironment") == 1  # of the report


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cluster.partition=nowhere"], "set cluster.partition to one of: closed, gpu, preempt"),
        (["cluster.partition=closed"], "this partition takes no jobs"),
        (["cluster.memory_gb=900"], "lower cluster.memory_gb"),
        (["cluster.memory_gb=1"], "too little"),
        (["cluster.gres=gpu:h100"], "this cluster has no gpu:h100; it has gpu:a100, gpu:rtx4090"),
        (["cluster.memori_gb=4"], "did you mean 'memory_gb'?"),
        (["cluster.account=nobody", "cluster.constraint=fast"], "cluster.constraint"),
        (["cluster.time_min=1"], "signal_before_end_s=30"),
        (["trainig.epochs=2"], "did you mean 'training.epochs'?"),
        (["cluster.container.runtime=podman"], "needs image="),
        (["cluster.container={runtime: apptainer, image: no.sif}"], "no.sif does not exist"),
        (["cluster.container={runtime: apptainer, image: a.sif, mounts: [/nowhere]}"], "nowhere"),
    ],
)  # fmt: skip
def test_what_cannot_be_submitted(site: Site, words: list[str], said: str) -> None:
    name = site.experiment("refused")
    extra = [] if words != ["cluster.time_min=1"] else ["cluster.signal_before_end_s=31"]
    done = site.lico("submit", name, "--cluster", "test", *words, *extra, check=False)
    assert done.returncode == 1
    assert said.replace("=30", "=31") in done.stderr.replace("\n", " "), done.stderr
    assert "Traceback" not in done.stderr
    assert site.queue() == []


def test_an_unknown_profile_and_an_unknown_experiment(site: Site) -> None:
    wrong = site.lico("submit", site.experiment("a"), "--cluster", "a1000", check=False)
    assert "did you mean 'a100'?" in wrong.stderr
    assert wrong.returncode == 1
    wrong = site.lico("submit", "lico_seed", "--cluster", "test", check=False)
    assert "did you mean 'lico_seeds'?" in wrong.stderr.replace("\n", " ")
    wrong = site.lico("cancel", "demo", check=False)
    assert "was never submitted" in wrong.stderr
    wrong = site.lico("logs", "anything", check=False)
    assert "no submitted run" in wrong.stderr
    assert "not submitted" in site.lico("status", "demo").stdout


def test_a_machine_without_slurm_is_told_what_to_do(tmp_path: Path, site: Site) -> None:
    site.extra["PATH"] = str(tmp_path)
    for words in (["submit", "demo"], ["submit", "demo", "--cluster", "a100"]):
        done = site.lico(*words, check=False)
        assert done.returncode == 1
        assert "CLUSTER=local" in done.stderr


def test_the_local_profile_needs_no_slurm(tmp_path: Path, site: Site) -> None:
    site.extra["PATH"] = str(tmp_path)
    name = site.experiment("here")
    done = site.lico("submit", name, "--cluster", "local")
    assert "report: results/here/report.html" in done.stdout
    assert not log_file(site.configs(name)[0]).exists()


def test_a_controller_that_does_not_answer_is_said_in_its_words(site: Site) -> None:
    conf = (site.cluster.root / "slurm.conf").read_text()
    (site.folder / "none.conf").write_text(re.sub(r"(SlurmctldPort)=\d+", r"\1=1", conf))
    done = Site(site.folder, site.cluster, {"SLURM_CONF": f"{site.folder}/none.conf"}).lico(
        "submit", site.experiment("a"), "--cluster", "test", check=False
    )
    assert done.returncode == 1
    assert "Unable to contact slurm controller" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("devices", "nodes"), [(2, 1), (1, 2)])
def test_a_run_of_two_processes_under_srun(site: Site, devices: int, nodes: int) -> None:
    """On one node or two they share the batch; the run is the same as with one process."""
    name = site.experiment("two", more=f"run.devices={devices}, run.nodes={nodes}")
    submission = site.submit(name)
    script = (submission.folder / "tasks" / f"{submission.arrays[0].job}_submission.sh").read_text()
    assert f"#SBATCH --ntasks-per-node={devices}" in script
    assert f"#SBATCH --nodes={nodes}" in script
    assert f"#SBATCH --gres=gpu:a100:{devices}" in script
    assert "--kill-on-bad-exit=1" in script
    site.wait_for_all()
    (config,) = site.configs(name)
    assert site.finished(config), site.logs()
    assert [attempt.outcome for attempt in site.attempts(config)] == ["finished"]
    (alone,) = site.configs(
        name, f"run.results={site.folder / 'alone'}", "run.devices=1", "run.nodes=1"
    )
    expected, shared = read_run(run(alone)), read_run(run_file(config))
    np.testing.assert_allclose(shared.training["loss"], expected.training["loss"], rtol=1e-3)
    np.testing.assert_allclose(
        shared.evaluation.logits, expected.evaluation.logits, rtol=0.01, atol=0.01
    )
