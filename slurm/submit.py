"""Submit a study as job arrays, with a report job behind them; nothing stays on the login node."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from rich.console import Console

from lico.config import Config, Runtime
from lico.results.layout import run_file
from lico.results.reader import is_finished
from slurm import scheduler
from slurm.arrays import JobArray
from slurm.errors import ClusterError
from slurm.lock import only_one
from slurm.plan import Batch, Plan, Study, batches_of
from slurm.requirements import check
from slurm.submission import Array, Submission, load_all, new_folder, save


def submit(console: Console, study: Study, *, dry_run: bool) -> Submission | None:
    """Submit what is missing of a study and neither runs nor waits already.

    Args:
        console: for what was done, and how to follow.
        study: what and where.
        dry_run: print the scripts, look whether all is there, and submit nothing.

    Returns:
        What was submitted, or None if there was nothing to do, or after a dry run.

    Raises:
        ClusterError: if something is missing here, or Slurm refuses; what was submitted before
            that stays, and is on record.
        DataMissingError, TextWeightsError, ResultsError: as `lico.preflight.check`.
    """
    scheduler.require_slurm()
    with only_one(study.slurm_folder):
        missing = [c for c in study.configs if not is_finished(run_file(c), c)]
        active = active_runs(load_all(study.slurm_folder))
        todo = [config for config in missing if config.run_id() not in active]
        _say_what_is_there(console, study, missing, todo)
        report = study.slurm_folder.parent / "report.html"
        if not todo and (missing or report.exists()):
            return None
        largest = scheduler.max_array_size() if todo else 1
        batches = batches_of(todo, study.profile, largest)
        if dry_run:
            _print_scripts(console, Plan(study, study.slurm_folder / "TIME", batches))
        if todo:
            check(console, study.profile, todo, study.slurm_folder.parent)
        if dry_run:
            return None
        return _submit(console, Plan(study, new_folder(study.slurm_folder), batches))


def active_runs(submissions: Sequence[Submission]) -> set[str]:
    """The runs that are in the queue now, running or waiting."""
    queue = scheduler.queue(array.job for each in submissions for array in each.arrays)
    found: set[str] = set()
    for element in queue:
        for submission in submissions:
            array = submission.array(element.job)
            if array and not element.never_starts:
                found.update(submission.runs[array.offset + (element.index or 0)])
    return found


def _say_what_is_there(
    console: Console, study: Study, missing: list[Config], todo: list[Config]
) -> None:
    whole, active = len(study.configs), len(missing) - len(todo)
    parts = [f"{whole} runs: {whole - len(missing)} finished"]
    if active:
        parts.append(f"{active} in the queue already")
    console.print(", ".join([*parts, f"{len(todo)} to submit"]))
    if not todo:
        shown = f"make status EXP={study.name}{_elsewhere(study)} shows how they are"
        console.print(shown, markup=False, highlight=False, soft_wrap=True)


def _submit(console: Console, plan: Plan) -> Submission:
    """Arrays, what follows them up, and the report; on record after each."""
    study, profile = plan.study, plan.study.profile
    submission = Submission(
        folder=plan.folder,
        experiment=study.name,
        overrides=study.overrides,
        cluster=study.cluster,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        runs=plan.runs,
        parallel=profile.parallel,
    )
    save(submission)
    before: str | None = None
    for batch, array in zip(plan.batches, plan.arrays(), strict=True):
        after = f"afterany:{before}" if before and plan.one_after_the_other else None
        before = array.submit(plan.tasks(batch), after)
        submission = _with(submission, batch, before)
        submission = _follow_up(console, plan, batch, array, submission)
    jobs = [array.job for array in submission.arrays]
    report = plan.report(jobs).submit([plan.report_task()])
    submission = replace(submission, report=report)
    save(submission)
    _say_how_to_follow(console, plan, submission)
    return submission


def _follow_up(
    console: Console, plan: Plan, batch: Batch, array: JobArray, submission: Submission
) -> Submission:
    """Arrays that start only if tasks of all before them failed; Slurm drops them otherwise."""
    before = [submission.arrays[-1].job]
    for _ in range(plan.study.profile.follow_ups):
        dependency = ",".join(f"afternotok:{job}" for job in before)
        try:
            job = array.submit(plan.tasks(batch), dependency)
        except ClusterError as error:
            console.print(f"no follow-up array: {error}", style="yellow", markup=False)
            break
        before.append(job)
        submission = _with(submission, batch, job, follow_up=True)
    return submission


def _with(submission: Submission, batch: Batch, job: str, *, follow_up: bool = False) -> Submission:
    array = Array(job, batch.offset, len(batch.tasks), follow_up)
    submission = replace(submission, arrays=[*submission.arrays, array])
    save(submission)
    return submission


def _say_how_to_follow(console: Console, plan: Plan, submission: Submission) -> None:
    own = [array for array in submission.arrays if not array.follow_up]
    waiting = [array.job for array in submission.arrays if array.follow_up]

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    if own:
        tasks, numbers = sum(array.tasks for array in own), ", ".join(array.job for array in own)
        say(f"submitted {tasks} tasks as job array {numbers}, {submission.parallel} at a time")
    if waiting:
        say(f"job {', '.join(waiting)} only starts if a task fails where it cannot be requeued")
    page = plan.study.slurm_folder.parent / "report.html"
    say(f"job {submission.report} then writes {page}")
    name, where = shlex.quote(plan.study.name), _elsewhere(plan.study)
    say(f"  make status EXP={name}{where}    how it goes")
    say(f"  make logs RUN=<run>{where}    what a run says")
    say(f"  make cancel EXP={name}{where}    ends it")


def _elsewhere(study: Study) -> str:
    """What finds a study whose results are not in the usual folder."""
    results = study.configs[0].run.results
    usual = Runtime.model_fields["results"].default
    return "" if results == usual else f' ARGS="--results {shlex.quote(str(results))}"'


def _print_scripts(console: Console, plan: Plan) -> None:
    """The very scripts, but for the name of the submission's folder and the numbers of jobs."""
    scripts = [
        (f"job array {index + 1}, {len(batch.tasks)} tasks", array.script(len(batch.tasks)))
        for index, (batch, array) in enumerate(zip(plan.batches, plan.arrays(), strict=True))
    ]
    numbers = [f"ARRAY{index + 1}" for index in range(len(scripts))]
    scripts.append(("report", plan.report(numbers).script(1)))
    for title, script in scripts:
        console.rule(title)
        console.print(script, markup=False, highlight=False, soft_wrap=True)
