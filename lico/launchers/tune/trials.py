"""Ray Tune at work: builds its Tuner, listens to its trials and ends it at a limit."""

import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.exceptions import RayError as RaysError
from ray.tune.result import AUTO_RESULT_KEYS, SHOULD_CHECKPOINT
from ray.tune.schedulers import TrialScheduler
from ray.tune.trainable.function_trainable import wrap_function

from lico.config import Config
from lico.errors import ResultsError
from lico.launchers.tune.record import Record, Report
from lico.launchers.tune.settings import TuneSettings
from lico.launchers.tune.trial import Order, run_trial
from lico.search import Search

if TYPE_CHECKING:
    from lico.launchers.tune.launch import Share, TuneOutcome, Watch

TUNES_OWN = {*AUTO_RESULT_KEYS, "done", "trial_id", "experiment_tag", SHOULD_CHECKPOINT}


class Trials:
    """The trials of one command."""

    def __init__(
        self,
        record: Record,
        given: "Share",
        settings: TuneSettings,
        watch: "Watch",
        outcome: "TuneOutcome",
    ) -> None:
        """Nothing starts yet.

        Args:
            record: of the study; every report goes there.
            given: resources of one trial.
            settings: retries and limits.
            watch: is told of every trial.
            outcome: is filled.
        """
        self.record = record
        self.given = given
        self.settings = settings
        self.outcome = outcome
        self.limits = _Limits(settings, record, outcome)
        self.listener = _Listener(record, watch, outcome, self.limits, settings.retries)
        self.order: Order = {
            "study": str(record.study.resolve()),
            "folder": str(Path.cwd()),
            "command": sys.argv,
            "validation_images": settings.validation_images,
            "search": None,
        }

    def run(
        self,
        configs: list[Config],
        scheduler: TrialScheduler | None = None,
        search: Search | None = None,
    ) -> None:
        """Run every configuration; nothing if a limit has been reached before.

        Args:
            configs: the runs, in order of start.
            scheduler: early stopping; None: every run goes to its end.
            search: what the scheduler judges by.

        Raises:
            ResultsError: if the record cannot be written any more.
        """
        if not configs or self.limits.stop_all():
            return
        self.order["search"] = search.model_dump(mode="json", exclude_none=True) if search else None
        storage = self.record.folder / "trials"
        shutil.rmtree(storage, ignore_errors=True)  # a trial goes on from its run's checkpoint
        try:
            self._tuner(configs, scheduler, storage).fit()
        finally:
            shutil.rmtree(storage, ignore_errors=True)
        if self.limits.broken is not None:
            raise self.limits.broken

    def _tuner(
        self, configs: list[Config], scheduler: TrialScheduler | None, storage: Path
    ) -> tune.Tuner:
        points = [{"run_id": config.run_id(), **config.axes} for config in configs]
        return tune.Tuner(
            _trainable(self.order, {"cpu": self.given.cpus, "gpu": self.given.gpus}),
            param_space={"point": tune.grid_search(points)},
            tune_config=tune.TuneConfig(
                scheduler=scheduler,
                max_concurrent_trials=self.given.jobs,
                reuse_actors=True,
                trial_name_creator=_run_id,
                trial_dirname_creator=_run_id,
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(storage.parent.resolve()),
                failure_config=tune.FailureConfig(max_failures=self.settings.retries),
                checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
                stop=self.limits,
                callbacks=[self.listener],
                verbose=0,
            ),
        )


def _trainable(order: Order, resources: dict[str, float]) -> Any:
    def run(config: dict[str, Any]) -> None:
        run_trial(order, config["point"])

    trainable: Any = tune.with_resources(wrap_function(run, name="lico"), resources)
    trainable.__name__ = trainable.__qualname__ = "LicoRun"  # what the dashboard shows
    return trainable


def _run_id(trial: Any) -> str:
    return trial.config["point"]["run_id"]


class _Unsaved:
    """Nothing of it goes into the files that Ray Tune restores from: the study's record does."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Limits(_Unsaved, tune.Stopper):
    """Ends all trials when time or energy is spent, or when the record cannot be written."""

    def __init__(self, settings: TuneSettings, record: Record, outcome: "TuneOutcome") -> None:
        self.settings = settings
        self.outcome = outcome
        self.ends = time.monotonic() + 3600 * (settings.max_hours or float("inf"))
        self.kwh: dict[str, float] = {}
        for report in record.reports():
            self.count(report)
        self.broken: ResultsError | None = None

    def count(self, report: Report) -> None:
        """Add up energy; a report has all that its run has used."""
        if "energy_kwh" in report:
            self.kwh[report["run_id"]] = report["energy_kwh"]

    def __call__(self, trial_id: str, result: Report) -> bool:
        return False

    def stop_all(self) -> bool:
        limit = self._limit()
        if limit and not self.outcome.limit:
            self.outcome.limit = limit
        return limit is not None or self.broken is not None

    def _limit(self) -> str | None:
        if time.monotonic() >= self.ends:
            return f"tune.max_hours={self.settings.max_hours:g}"
        used = sum(self.kwh.values())
        if self.settings.max_kwh is not None and used >= self.settings.max_kwh:
            return f"tune.max_kwh={self.settings.max_kwh:g} ({used:.3g} kWh used)"
        return None


class _Listener(_Unsaved, tune.Callback):
    """Writes reports down and passes on what happens."""

    def __init__(
        self,
        record: Record,
        watch: "Watch",
        outcome: "TuneOutcome",
        limits: _Limits,
        retries: int,
    ) -> None:
        self.record = record
        self.watch = watch
        self.outcome = outcome
        self.limits = limits
        self.retries = retries

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self.watch.started(_run_id(trial))

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: Report, **info: Any
    ) -> None:
        run_id = _run_id(trial)
        if "failed" in result:
            self._end(run_id, result["failed"])
        elif "finished" in result:
            self._end(run_id, None)
        else:
            report = _plain(result)
            try:
                self.record.add(report)
            except ResultsError as error:
                self.limits.broken = error
            self.limits.count(report)
            self.watch.reported(run_id, report)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._end(_run_id(trial), _reason(trial.get_pickled_error(), self.retries))

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        run_id = _run_id(trial)
        if run_id not in self.outcome.finished and run_id not in self.outcome.failed:
            self.watch.end(run_id, None)

    def _end(self, run_id: str, failure: str | None) -> None:
        if failure is None:
            self.outcome.finished.append(run_id)
        else:
            self.outcome.failed[run_id] = failure
        self.watch.end(run_id, failure)


def _plain(result: Report) -> Report:
    """What the trial itself reported."""
    return {name: value for name, value in result.items() if name not in TUNES_OWN}


def _reason(error: BaseException | None, retries: int) -> str:
    """Why a trial failed in the end, in one sentence."""
    times = f"{retries + 1} times" if retries else "once"
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, RaysError):
        return f"its process died {times} (killed, out of memory or a lost node?); try fewer --jobs"
    return f"{type(cause).__name__}: {cause} (tried {times})"
