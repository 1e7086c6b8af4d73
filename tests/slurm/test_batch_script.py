"""The shell around a task, with a scontrol that says what the case needs."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from slurm.batch_script import BATCH_FUNCTIONS

ANSWER = (
    "JobId=7 ArrayJobId=7 ArrayTaskId=1 JobState={state} Reason={reason} Requeue=1 "
    "Restarts={restarts} BatchFlag=1"
)


@dataclass(frozen=True)
class Node:
    """A node with a submission of two tasks; this one does runs `a` and `b`."""

    folder: Path

    def scontrol(self, state: str = "RUNNING", reason: str = "None", restarts: int = 0) -> None:
        answer = ANSWER.format(state=state, reason=reason, restarts=restarts)
        file = self.folder / "bin" / "scontrol"
        file.write_text(
            f'#!/bin/sh\n[ "$1" = show ] && echo "{answer}"\n'
            f'[ "$1" = requeue ] && echo "$2" >>{self.folder}/requeued\nexit 0\n'
        )
        file.chmod(0o755)

    def run(
        self, code: int, task: str = "echo the task runs", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """The whole script around a task that ends with this exit status."""
        script = f"""
            LICO_STUDY={self.folder}/study LICO_SUBMISSION={self.folder}/study/slurm/first
            LICO_OFFSET=0 LICO_CRASHES=3
            sleep() {{ :; }}
            {BATCH_FUNCTIONS.read_text()}
            lico_begin
            {task}
            (exit {code})
            lico_end $?
        """
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        job = {"SLURM_JOB_ID": "8", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1"}
        return subprocess.run(
            ["bash", "-c", script],
            env={"PATH": path, **job, **variables}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    @property
    def requeued(self) -> list[str]:
        file = self.folder / "requeued"
        return file.read_text().split() if file.exists() else []

    def stopped(self, run: str) -> str | None:
        file = self.folder / "study" / "work" / run / "stopped-first.txt"
        return file.read_text() if file.exists() else None


@pytest.fixture
def node(tmp_path: Path) -> Node:
    (tmp_path / "bin").mkdir()
    submission = tmp_path / "study" / "slurm" / "first"
    submission.mkdir(parents=True)
    (submission / "runs.txt").write_text("other\na b\n")
    made = Node(tmp_path)
    made.scontrol()
    return made


@pytest.mark.parametrize("code", [0, 80])
def test_what_has_ended_well_is_not_requeued(node: Node, code: int) -> None:
    done = node.run(code)
    assert done.returncode == 0
    assert node.requeued == []


@pytest.mark.parametrize("code", [85, 86, 137, 143])
def test_what_must_go_on_is_requeued_alone_by_its_array_name(node: Node, code: int) -> None:
    """Its own job number may be that of the whole array."""
    done = node.run(code)
    assert node.requeued == ["7_1"], done.stdout
    assert done.returncode == code
    exits = (node.folder / "study/slurm/first/exits.txt").read_text()
    assert exits == f"1 7_1 0 {code}\n"


def test_a_job_without_an_array_is_requeued_by_its_number(node: Node) -> None:
    (node.folder / "study/slurm/first/runs.txt").write_text("a\n")
    node.run(85, SLURM_ARRAY_JOB_ID="", SLURM_ARRAY_TASK_ID="")
    assert node.requeued == ["8"]


def test_what_failed_for_good_is_not_requeued(node: Node) -> None:
    assert node.run(81).returncode == 1
    assert node.requeued == []


def test_a_cancelled_task_stays_cancelled(node: Node) -> None:
    node.scontrol(state="COMPLETING")
    done = node.run(85)
    assert node.requeued == []
    assert "was cancelled" in done.stdout


def test_a_task_at_its_time_limit_is_requeued(node: Node) -> None:
    node.scontrol(state="COMPLETING", reason="TimeLimit")
    node.run(85)
    assert node.requeued == ["7_1"]


def test_the_script_of_a_lost_node_does_not_kill_the_new_attempt(node: Node) -> None:
    """By then Slurm counts one restart more than the script knows of."""
    node.scontrol(restarts=1)
    done = node.run(137)
    assert node.requeued == []
    assert "again already" in done.stdout
    node.run(137, SLURM_RESTART_COUNT="1")
    assert node.requeued == ["7_1"]


def test_the_third_crash_of_one_kind_ends_it_and_says_why(node: Node) -> None:
    for _ in range(2):
        node.run(137)
    node.run(139)  # another kind
    assert len(node.requeued) == 3
    assert node.run(137).returncode == 1
    assert len(node.requeued) == 3
    for run in ("a", "b"):
        reason = node.stopped(run)
        assert reason is not None
        assert "3 times" in reason
        assert "memory_gb" in reason


@pytest.mark.parametrize("code", [125, 126, 127])
def test_a_task_that_cannot_start_is_given_up_at_once(node: Node, code: int) -> None:
    assert node.run(code).returncode == 1
    assert node.requeued == []
    assert "could not be started" in (node.stopped("a") or "")


def test_a_run_that_ended_since_is_not_started_again(node: Node) -> None:
    runs = node.folder / "study" / "runs"
    runs.mkdir()
    (runs / "a.h5").touch()
    assert "the task runs" in node.run(0).stdout  # b is left
    (node.folder / "study" / "work" / "b").mkdir(parents=True)
    (node.folder / "study" / "work" / "b" / "stopped-first.txt").write_text("why\n")
    done = node.run(0)
    assert "the task runs" not in done.stdout
    assert done.returncode == 0


def test_a_broken_file_from_before_the_submission_is_no_result(node: Node) -> None:
    runs = node.folder / "study" / "runs"
    runs.mkdir()
    for run in ("a", "b"):
        (runs / f"{run}.h5").touch()
        os.utime(runs / f"{run}.h5", (1, 1))
    assert "the task runs" in node.run(0).stdout


def test_results_that_the_node_cannot_see(node: Node) -> None:
    (node.folder / "study" / "slurm" / "first" / "runs.txt").unlink()
    done = node.run(0)
    assert done.returncode == 1
    assert "put the results on a file system that the nodes share" in done.stdout
    assert "the task runs" not in done.stdout


def test_no_scontrol_on_the_node(node: Node, tmp_path: Path) -> None:
    """It waits for Slurm, in case this is a preemption, and leaves the rest to the follow-up."""
    programs = tmp_path / "few"
    programs.mkdir()
    for name in ("bash", "sed", "date", "hostname", "basename", "grep"):
        (programs / name).symlink_to(f"/bin/{name}")
    (node.folder / "bin" / "scontrol").unlink()
    done = node.run(85, PATH=str(programs))
    assert done.returncode == 85
    assert "no scontrol here" in done.stdout


def test_signals_that_are_meant_for_the_task_do_not_end_the_script(node: Node) -> None:
    done = node.run(85, task="for each in TERM USR2 CONT; do kill -$each $$; done")
    assert done.returncode == 85
    assert node.requeued == ["7_1"]
