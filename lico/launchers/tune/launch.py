"""Schedule the runs of a study as trials of Ray Tune, and note what became of each."""

from dataclasses import dataclass, field
from typing import Protocol

from lico.config import Config
from lico.launchers.local import Outcome
from lico.launchers.tune.record import Record, Report, point_of
from lico.launchers.tune.session import RayError, Session
from lico.launchers.tune.settings import TuneSettings
from lico.results.layout import run_file
from lico.results.reader import is_finished
from lico.search import Search


class Watch(Protocol):
    """Who is told of every trial."""

    def started(self, run_id: str) -> None:
        """A trial has been given its place."""
        ...

    def reported(self, run_id: str, report: Report) -> None:
        """An epoch of a trial is done."""
        ...

    def end(self, run_id: str, failure: str | None, /) -> None:
        """A trial has ended, for which reason if it failed."""
        ...


@dataclass
class TuneOutcome(Outcome):
    """What became of the runs.

    Attributes:
        stopped: run ids that early stopping has stopped.
        limit: which limit ended the command, if one did.
    """

    stopped: list[str] = field(default_factory=list[str])
    limit: str | None = None


@dataclass(frozen=True)
class Share:
    """What one trial gets: processor cores, GPUs, and how many trials run at a time (None: all)."""

    cpus: int
    gpus: float
    jobs: int | None


def share(
    settings: TuneSettings, session: Session, configs: list[Config], jobs: int | None
) -> Share:
    """Resources of one trial.

    Args:
        settings: what was asked for.
        session: what there is.
        configs: the runs.
        jobs: the experiment's own number of runs at a time.

    Raises:
        RayError: if a trial is to get more than any node has.
    """
    if any(config.run.nodes > 1 for config in configs):
        raise RayError("a trial of Ray Tune has one node; for run.nodes > 1 use make submit")
    devices = max(config.run.devices for config in configs)
    cpus = settings.cpus or devices * max(config.run.threads for config in configs)
    may_use = any(config.run.device != "cpu" for config in configs)
    gpus = settings.gpus
    if gpus is None:
        gpus = float(devices) if may_use and session.largest_gpus >= 1 else 0.0
    if gpus > session.largest_gpus:
        raise RayError(
            f"tune.gpus={gpus:g} of a trial, but no node has more than {session.largest_gpus:g}; "
            "ask for fewer, or for 0 to use the processor"
        )
    if gpus > 1 and gpus != int(gpus):
        raise RayError(f"tune.gpus={gpus:g}: above 1 only whole GPUs can be shared out")
    if cpus > session.cpus:
        raise RayError(f"tune.cpus={cpus} of a trial, but there are {session.cpus:g}; ask for less")
    if settings.gpus == 0 and any(config.run.device == "cuda" for config in configs):
        raise RayError("tune.gpus=0, but run.device=cuda needs one; give tune.gpus=1")
    everywhere = settings.jobs is None and (gpus > 0 or settings.address is not None)
    return Share(cpus, gpus, None if everywhere else settings.jobs or jobs or 1)


def run_all(
    configs: list[Config],
    record: Record,
    given: Share,
    settings: TuneSettings,
    search: Search | None,
    watch: Watch,
) -> TuneOutcome:
    """Run every configuration that is not finished, and go on when one fails.

    Without a search all run to their end. With one, the first seed of every point runs under
    early stopping, then the other seeds of the points that came to their end.

    Args:
        configs: the runs, in order of start.
        record: of the study.
        given: resources of one trial.
        settings: retries and limits.
        search: the search, if the study is one.
        watch: is told of every trial.

    Raises:
        KeyboardInterrupt: on Ctrl-C; every run keeps its last checkpoint.
        ResultsError: if the record cannot be written.
    """
    from lico.launchers.tune.trials import Trials  # noqa: PLC0415 (imports Ray)

    outcome = TuneOutcome()
    trials = Trials(record, given, settings, watch, outcome)
    if search is None:
        trials.run(_missing(configs))
        return outcome
    from lico.launchers.tune.asha import RestorableAsha  # noqa: PLC0415 (imports Ray)

    first_seed = configs[0].seed
    first = [config for config in configs if config.seed == first_seed]
    asha = RestorableAsha(search, first[0].training.epochs, record.reports())
    before = set(asha.stopped)
    trials.run([c for c in _missing(first) if c.run_id() not in before], asha, search)
    outcome.stopped = list(dict.fromkeys(asha.stopped))
    record.note_stopped(outcome.stopped)
    left = {point_of(config) for config in first if is_finished(run_file(config), config)}
    others = [c for c in configs if c.seed != first_seed and point_of(c) in left]
    trials.run(_missing(others))
    return outcome


def _missing(configs: list[Config]) -> list[Config]:
    return [config for config in configs if not is_finished(run_file(config), config)]
