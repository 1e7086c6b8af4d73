"""What `lico study`, `lico aggregate` and `lico report` do."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from lico.config import Config
from lico.launchers.local import run_all
from lico.launchers.tune.record import not_stopped
from lico.preflight import check
from lico.progress import StudyProgress
from lico.results.layout import experiment_folder, run_file
from lico.results.reader import is_finished
from lico.study import Experiment, expand, load_experiment


class StudyError(Exception):
    """Some runs of a study failed, or there is nothing to report; the message says which."""


def run_study(
    console: Console,
    name: str,
    overrides: list[str],
    jobs: int | None,
    *,
    dry_run: bool,
) -> Path | None:
    """Do what is missing of an experiment, then aggregate and report.

    Args:
        console: for progress and results.
        name: experiment.
        overrides: for every run.
        jobs: runs at a time; None: as the experiment file says, or one.
        dry_run: only list the runs.

    Returns:
        The report, or None after a dry run.

    Raises:
        StudyError: if a run failed; the others are finished and reported.
    """
    experiment = load_experiment(name)
    configs = expand(name, experiment, overrides)
    missing = [config for config in configs if not is_finished(run_file(config), config)]
    if dry_run:
        console.print(listing(configs, missing))
        return None
    check(missing)
    skipped = len(configs) - len(missing)
    if skipped:
        console.print(f"{skipped} of {len(configs)} runs are finished already")
    with StudyProgress(console, len(configs), skipped) as progress:
        outcome = run_all(missing, jobs or experiment.jobs or 1, progress.update, progress.end)
    return finish_study(console, name, experiment, configs, outcome.failed)


def finish_study(
    console: Console,
    name: str,
    experiment: Experiment,
    configs: list[Config],
    failed: dict[str, str],
) -> Path:
    """Aggregate and report once the runs have ended, whichever launcher ran them.

    Args:
        console: for results.
        name: of the experiment.
        experiment: what it says.
        configs: the runs that the report expects.
        failed: reason by run id.

    Raises:
        StudyError: if a run failed; the others are reported.
    """
    if len(failed) == len(configs):
        raise StudyError(f"all {len(configs)} runs failed; the reasons are above")
    page = _aggregate_and_report(name, experiment, configs)
    console.print(f"report: {page}")
    if failed:
        raise StudyError(
            f"{len(failed)} of {len(configs)} runs failed: {', '.join(failed)}; "
            "mend the cause and give the same command again"
        )
    return page


def aggregate_study(name: str, overrides: list[str]) -> Path:
    """Write study.h5 and the tables of an experiment from its finished runs."""
    from lico.analysis.aggregate import aggregate  # noqa: PLC0415 (imports plotting libraries)

    experiment = load_experiment(name)
    configs = expand(name, experiment, overrides)
    return aggregate(_folder(name, configs), experiment.tables, expected=not_stopped(configs))


def report_study(name: str, overrides: list[str]) -> Path:
    """Write study.h5, the tables and the page of an experiment from its finished runs."""
    experiment = load_experiment(name)
    return _aggregate_and_report(name, experiment, not_stopped(expand(name, experiment, overrides)))


def _aggregate_and_report(name: str, experiment: Experiment, expected: list[Config]) -> Path:
    from lico.analysis.aggregate import aggregate  # noqa: PLC0415 (imports plotting libraries)
    from lico.analysis.report import write_report  # noqa: PLC0415

    folder = _folder(name, expected)
    aggregate(folder, experiment.tables, expected=expected)
    return write_report(
        folder,
        experiment.tables,
        title=experiment.title,
        claim=experiment.claim,
        expected=expected,
    )


def _folder(name: str, configs: list[Config]) -> Path:
    folder = experiment_folder(configs[0].run.results, configs[0].experiment)
    if not any(folder.glob("runs/*.h5")):
        raise StudyError(f"{folder} has no finished run; start with: lico study {name}")
    return folder


def listing(configs: list[Config], missing: list[Config]) -> Table:
    """Every run, and whether it is finished."""
    table = Table("run", "state", title=f"{len(configs)} runs, {len(missing)} to do")
    ids = {config.run_id() for config in missing}
    for config in configs:
        table.add_row(config.run_id(), "to do" if config.run_id() in ids else "finished")
    return table
