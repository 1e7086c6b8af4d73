"""What `make cancel` does."""

from pathlib import Path

from rich.console import Console

from slurm import scheduler
from slurm.errors import ClusterError
from slurm.submission import load_all, submissions_folder


def cancel_study(console: Console, experiment: str, results: Path) -> None:
    """Cancel every job of a study that is in the queue; runs keep their last checkpoints.

    Raises:
        ClusterError: if the study was never submitted, or Slurm does not answer.
    """
    folder = submissions_folder(results, Path(experiment).stem)
    submissions = load_all(folder)
    if not submissions:
        raise ClusterError(f"{experiment} was never submitted ({folder} has no submission)")
    queue = scheduler.queue(job for each in submissions for job in each.jobs)
    jobs = sorted({element.job for element in queue})
    for submission in submissions:
        if set(submission.jobs) & set(jobs):
            (submission.folder / "cancelled.txt").write_text("by make cancel\n")
    scheduler.cancel(jobs)
    tasks = f"{len(queue)} tasks of jobs {', '.join(jobs)}" if jobs else "nothing was in the queue"
    console.print(f"cancelled: {tasks}" if jobs else tasks, highlight=False)
    if jobs:
        console.print(f"make submit EXP={experiment} goes on from the last checkpoints")
