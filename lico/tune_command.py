"""What `lico tune` does."""

import warnings
from pathlib import Path

from rich.console import Console

from lico.config import Config
from lico.launchers.local import worker_threads
from lico.launchers.tune.launch import TuneOutcome, run_all, share
from lico.launchers.tune.record import not_stopped, open_record, point_of
from lico.launchers.tune.session import Session, ray_session
from lico.launchers.tune.settings import TuneSettings, load_settings
from lico.preflight import check
from lico.results.layout import run_file
from lico.results.reader import is_finished
from lico.study import Experiment, expand, load_experiment, with_search
from lico.study_command import finish_study, listing
from lico.trial_table import TrialTable

GPU_DEVICE = Path("/dev/nvidia0")


def run_tune(
    console: Console,
    name: str,
    overrides: list[str],
    jobs: int | None,
    *,
    dry_run: bool,
) -> Path | None:
    """Do what is missing of an experiment as trials of Ray Tune, then aggregate and report.

    Args:
        console: for progress and results.
        name: experiment.
        overrides: for every run, for the search (`search.`) and for scheduling (`tune.`).
        jobs: trials at a time, before what `tune.jobs` and the experiment say.
        dry_run: only list the runs.

    Returns:
        The report, or None if there is none: a dry run, or a limit before the first end.

    Raises:
        StudyError: if a run failed; the others are finished and reported.
        RayError: if Ray does not start, or a trial is to get more than there is.
        ResultsError: if the study's record is another's, or in use.
    """
    settings, rest = load_settings(overrides)
    if jobs:
        settings = settings.model_copy(update={"jobs": jobs})
    experiment, rest = with_search(load_experiment(name), rest)
    configs = expand(name, experiment, rest)
    missing = [config for config in configs if not is_finished(run_file(config), config)]
    if dry_run:
        console.print(listing(configs, missing))
        return None
    check(missing)
    if len(missing) < len(configs):
        console.print(f"{len(configs) - len(missing)} of {len(configs)} runs are finished already")
    outcome = TuneOutcome()
    if missing:
        outcome = _schedule(console, name, experiment, configs, settings)
    return _conclude(console, name, experiment, configs, outcome)


def _schedule(
    console: Console,
    name: str,
    experiment: Experiment,
    configs: list[Config],
    settings: TuneSettings,
) -> TuneOutcome:
    gpus = settings.gpus != 0 and any(config.run.device != "cpu" for config in configs)
    with (
        open_record(name, experiment, configs) as record,
        worker_threads(configs),
        warnings.catch_warnings(),
        ray_session(
            settings, _cpus(experiment, configs, settings, gpus=gpus), gpus=gpus
        ) as session,
    ):
        given = share(settings, session, configs, experiment.jobs)
        _announce(console, session)
        done = sum(is_finished(run_file(config), config) for config in configs)
        with TrialTable(console, len(configs), done) as table:
            return run_all(configs, record, given, settings, experiment.search, table)


def _cpus(
    experiment: Experiment, configs: list[Config], settings: TuneSettings, *, gpus: bool
) -> int | None:
    """Cores for all trials; None: all of the machine, where the GPUs say how many trials fit."""
    if settings.jobs is None and gpus and GPU_DEVICE.exists():
        return None
    of_one = settings.cpus or max(config.run.devices * config.run.threads for config in configs)
    return of_one * (settings.jobs or experiment.jobs or 1)


def _announce(console: Console, session: Session) -> None:
    if session.dashboard:
        token = f", its token is in {session.token_file}" if session.token_file else ""
        console.print(f"dashboard: {session.dashboard}{token}", soft_wrap=True, highlight=False)


def _conclude(
    console: Console,
    name: str,
    experiment: Experiment,
    configs: list[Config],
    outcome: TuneOutcome,
) -> Path | None:
    unfinished = [c.run_id() for c in configs if not is_finished(run_file(c), c)]
    counted = not_stopped(configs)
    ended = len({point_of(c) for c in configs} - {point_of(c) for c in counted})
    if ended:
        console.print(f"early stopping has ended {ended} settings")
    if outcome.limit:
        left = [c for c in counted if c.run_id() in unfinished]
        console.print(f"{outcome.limit} is reached; the same command does the other {len(left)}")
        if len(left) == len(counted):
            return None
    return finish_study(console, name, experiment, counted, outcome.failed)
