"""What a worker of Ray does: one run, each of whose epochs is reported to Ray Tune."""

import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypedDict

from ray import tune

from lico.config import Config
from lico.data.missing import DataMissingError
from lico.errors import ResultsError, SupersededError
from lico.launchers.tune.record import read_runs
from lico.results.layout import checkpoint_file, log_file
from lico.search import Search


class Order(TypedDict):
    """What the driver tells every trial.

    Attributes:
        study: file with the runs' configurations.
        folder: working directory, which relative paths start from.
        command: arguments of the driver's command line, for the provenance.
        validation_images: see `lico.launchers.tune.settings`.
        search: what is searched (`lico.search.Search`), or None: nothing.
    """

    study: str
    folder: str
    command: list[str]
    validation_images: int
    search: dict[str, Any] | None


def run_trial(order: Order, point: dict[str, str]) -> None:
    """Do one run, go on where it was, and report every epoch and the end.

    A mistake in the settings is reported as the end, since trying again cannot help; anything
    else is raised, so that Ray Tune tries again.

    Args:
        order: for all trials.
        point: the run's place in the study, and its `run_id`.
    """
    os.chdir(order["folder"])
    sys.argv = list(order["command"])
    run_id = point["run_id"]
    config = Config.model_validate(read_runs(Path(order["study"]))[run_id])
    from lico.run import run  # noqa: PLC0415 (imports torch)
    from lico.text.loading import TextWeightsError  # noqa: PLC0415
    from lico.training.loop import NonFiniteLossError  # noqa: PLC0415

    hopeless = (
        ValueError, ResultsError, DataMissingError, TextWeightsError, NonFiniteLossError,
        SupersededError,
    )  # fmt: skip
    _take_checkpoint(config)
    reporter = _Reporter(config, order)
    try:
        run(config, on_epoch=reporter)
    except hopeless as error:
        tune.report({"run_id": run_id, "failed": f"{type(error).__name__}: {error}{_log(config)}"})
    except Exception:
        _log(config)
        raise
    else:
        tune.report({"run_id": run_id, "finished": True})


class _Reporter:
    """Called after each epoch."""

    def __init__(self, config: Config, order: Order) -> None:
        from lico.launchers.tune.validation import Validation  # noqa: PLC0415 (imports torch)

        self.config = config
        self.validation = Validation(config, order["validation_images"])
        self.search = Search.model_validate(order["search"]) if order["search"] else None

    def __call__(self, epoch: int, scalars: dict[str, float]) -> None:
        from lico.launchers.tune.validation import read_checkpoint  # noqa: PLC0415

        done = epoch + 1
        report = {
            "run_id": self.config.run_id(),
            "epoch": done,
            "epochs": self.config.training.epochs,
            **scalars,
        }
        checkpoint = None
        if self._is_saved(done):
            checkpoint = read_checkpoint(self.config, done)
        if checkpoint is None:
            tune.report(report)
            return
        report["energy_kwh"] = checkpoint["progress"]["energy_kwh"]
        report |= self._scores(done, checkpoint)
        with _as_tunes(self.config) as given:
            tune.report(report, checkpoint=given)

    def _is_saved(self, done: int) -> bool:
        training = self.config.training
        return done % training.checkpoint_every == 0 or done == training.epochs

    def _scores(self, done: int, checkpoint: dict[str, Any]) -> dict[str, float]:
        search = self.search
        if search is None or done not in search.halvings(self.config.training.epochs):
            return self.validation.scores(checkpoint)
        scores = self.validation.scores(checkpoint, search.metric)
        return scores | {"objective": search.objective(scores)} if scores else {}


@contextmanager
def _as_tunes(config: Config) -> Generator[Any]:
    """The run's checkpoint as one of Ray Tune."""
    source = checkpoint_file(config)
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        target = Path(folder) / source.name
        try:
            target.hardlink_to(source)
        except OSError:  # a file system without links
            shutil.copyfile(source, target)
        yield tune.Checkpoint.from_directory(folder)


def _take_checkpoint(config: Config) -> None:
    """Put Tune's checkpoint where the run looks for one, if it has none: its folder was lost."""
    given, own = tune.get_checkpoint(), checkpoint_file(config)
    if given is None or own.exists():
        return
    own.parent.mkdir(parents=True, exist_ok=True)
    with given.as_directory() as folder, suppress(FileNotFoundError):
        shutil.copyfile(Path(folder) / own.name, own.with_suffix(".taken"))
        own.with_suffix(".taken").replace(own)


def _log(config: Config) -> str:
    """Keep the traceback; says where."""
    log = log_file(config)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(traceback.format_exc())
    except OSError:
        return ""
    return f" (see {log})"
