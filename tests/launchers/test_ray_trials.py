"""Trials on a real Ray: pauses, deaths, failures, early stopping, limits."""

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lico.config import Config
from lico.errors import ResultsError
from lico.launchers.tune.launch import Share, TuneOutcome, run_all, share
from lico.launchers.tune.record import Record, open_record
from lico.launchers.tune.session import RayError, Session, ray_session
from lico.launchers.tune.settings import TuneSettings
from lico.results.layout import log_file, run_file
from lico.results.reader import check_run, is_finished, read_run
from lico.run import run
from lico.study import Experiment, expand
from tests.end_to_end.small import TINY

SMALL = [each for each in TINY if "learning_rate" not in each]
PAIR = Experiment.model_validate(
    {
        "title": "x", "claim": "y", "tables": ["table2"], "seeds": [1, 2],
        "axes": {"system": {"baseline": ["method=ce"]}},
    }
)  # fmt: skip
SETTINGS = TuneSettings(retries=1, dashboard=False)


class Watching:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []
        self.ended: dict[str, str | None] = {}

    def started(self, run_id: str) -> None:
        pass

    def reported(self, run_id: str, report: dict[str, Any]) -> None:
        assert run_id == report["run_id"]
        self.reports.append(report)

    def end(self, run_id: str, failure: str | None) -> None:
        self.ended[run_id] = failure


@pytest.fixture(scope="module")
def ray_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """One cluster for all tests here; Ray's own warnings are its own."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        warnings.simplefilter("ignore")
        with ray_session(SETTINGS, 1, gpus=False) as session:
            yield session


def configs(folder: Path, given: Experiment, *overrides: str) -> list[Config]:
    return expand("mine", given, [*SMALL, f"run.results='{folder}'", *overrides])


def trials(
    folder: Path,
    given: Experiment,
    watch: Watching,
    *overrides: str,
    settings: TuneSettings = SETTINGS,
) -> TuneOutcome:
    runs = configs(folder, given, *overrides)
    with open_record("mine", given, runs) as record:
        return run_all(runs, record, Share(1, 0, 1), settings, given.search, watch)


def finished(runs: list[Config]) -> list[str]:
    return [each.run_id() for each in runs if is_finished(run_file(each), each)]


def test_reports_are_whole_and_a_hopeless_trial_is_not_tried_again(
    ray_up: Session, tmp_path: Path
) -> None:
    levels = {"lico": ["method=lico"], "broken": ["method=ce", "training.learning_rate=1e30"]}
    given = PAIR.model_copy(update={"axes": {"system": levels}, "seeds": [1]})
    watch = Watching()
    outcome = trials(tmp_path, given, watch)
    config, broken = configs(tmp_path, given)
    assert outcome.finished == finished([config, broken]) == [config.run_id()]
    ((run_id, reason),) = outcome.failed.items()
    assert (run_id, reason.split(":")[0]) == (broken.run_id(), "NonFiniteLossError")
    assert log_file(broken).read_text().startswith("Traceback")
    assert watch.ended == {run_id: reason, config.run_id(): None}

    last, record = watch.reports[-1], read_run(run_file(config))
    assert [report["epoch"] for report in watch.reports] == [1, 2]
    for name in ("loss", "train_top1", "marginal_error", "images_per_second"):
        assert last[name] == record.training[name][-1]
    assert last["top1"] == record.evaluation.accuracy["top1"].mean()
    assert last["energy_kwh"] == record.cost.energy_kwh
    logged = (tmp_path / "mine" / "tune" / "reports.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in logged] == watch.reports
    assert not (tmp_path / "mine" / "tune" / "trials").exists()
    assert record.provenance["command"].split()[1:] == sys.argv[1:]


def test_a_trial_that_is_paused_goes_on_to_the_same_bits(ray_up: Session, tmp_path: Path) -> None:
    from ray.tune.schedulers import FIFOScheduler, TrialScheduler  # noqa: PLC0415 (after its start)

    from lico.launchers.tune.trials import Trials  # noqa: PLC0415

    paused: list[str] = []

    class PausesOnce(FIFOScheduler):
        def on_trial_result(self, tune_controller: Any, trial: Any, result: Any) -> str:
            if result.get("epoch") == 1 and trial.trial_id not in paused:
                paused.append(trial.trial_id)
                return TrialScheduler.PAUSE
            return TrialScheduler.CONTINUE

    runs = configs(tmp_path / "paused", PAIR)
    outcome, watch = TuneOutcome(), Watching()
    with open_record("mine", PAIR, runs) as record:
        work = Trials(record, Share(1, 0, 1), SETTINGS, watch, outcome)
        work.run(runs, PausesOnce())
    assert len(paused) == 2
    assert [report["epoch"] for report in watch.reports].count(1) == 2
    for resumed, whole in zip(runs, configs(tmp_path / "whole", PAIR), strict=True):
        expected = read_run(run(whole)).evaluation.logits
        assert (read_run(run_file(resumed)).evaluation.logits == expected).all()


class Kills(Watching):
    """Kills the workers after some reports."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def reported(self, run_id: str, report: dict[str, Any]) -> None:
        super().reported(run_id, report)
        if self.times:
            self.times -= 1
            for process in psutil.Process().children(recursive=True):
                if "LicoRun" in " ".join(process.cmdline()):
                    process.kill()


def test_a_trial_whose_worker_is_killed_goes_on_in_another(ray_up: Session, tmp_path: Path) -> None:
    watch = Kills(1)
    outcome = trials(tmp_path, PAIR, watch, "training.epochs=6")
    runs = configs(tmp_path, PAIR, "training.epochs=6")
    assert watch.times == 0
    assert sorted(outcome.finished) == sorted(finished(runs)) == sorted(c.run_id() for c in runs)
    assert outcome.failed == {}
    assert all(check_run(run_file(each)) is None for each in runs)
    epochs = [r["epoch"] for r in watch.reports if r["run_id"] == watch.reports[0]["run_id"]]
    assert epochs == sorted(set(epochs))


def test_a_trial_whose_worker_dies_each_time_is_given_up(ray_up: Session, tmp_path: Path) -> None:
    given = PAIR.model_copy(update={"seeds": [1]})
    outcome = trials(tmp_path, given, Kills(99), "training.epochs=6")
    (config,) = configs(tmp_path, given, "training.epochs=6")
    assert "process died 2 times" in outcome.failed[config.run_id()]
    assert finished([config]) == []


SEARCH = Experiment.model_validate(
    {
        "title": "x", "claim": "y", "tables": ["hyperparameters"], "seeds": [1, 2],
        "base": ["method=ce"],
        "search": {
            "space": {"training.learning_rate": {"choice": [0.05, 1e-6, 2e-6, 3e-6, 4e-6]}},
            "points": 5,
            "reduction": 2,
        },
    }
)  # fmt: skip


def test_search_stops_what_falls_behind_repeats_the_rest_and_stays_finished(
    ray_up: Session, tmp_path: Path
) -> None:
    first = trials(tmp_path, SEARCH, Watching(), "training.epochs=3")
    runs = configs(tmp_path, SEARCH, "training.epochs=3")
    by_seed = {
        seed: {c.axes["point"] for c in runs if c.seed == seed and c.run_id() in finished(runs)}
        for seed in (1, 2)
    }
    assert by_seed[1] == by_seed[2]
    stopped = {c.axes["point"] for c in runs if c.run_id() in first.stopped}
    assert by_seed[1] | stopped == {c.axes["point"] for c in runs}
    assert not by_seed[1] & stopped
    watch = Watching()
    again = trials(tmp_path, SEARCH, watch, "training.epochs=3")
    assert again.stopped == first.stopped
    assert watch.reports == []


def test_an_energy_limit_ends_the_command_and_holds_for_the_next(
    ray_up: Session, tmp_path: Path
) -> None:
    tight = SETTINGS.model_copy(update={"max_kwh": 1e-12})
    watch = Watching()
    outcome = trials(tmp_path, PAIR, watch, "training.epochs=9", settings=tight)
    assert outcome.limit is not None
    assert outcome.limit.startswith("tune.max_kwh")
    assert 1 <= len(watch.reports) < 9
    assert finished(configs(tmp_path, PAIR, "training.epochs=9")) == outcome.finished == []
    again = Watching()
    assert trials(tmp_path, PAIR, again, "training.epochs=9", settings=tight).limit is not None
    assert again.reports == []


def test_nothing_listens_beyond_this_machine(ray_up: Session) -> None:
    me = psutil.Process()
    ours = {process.pid for process in [me, *me.children(recursive=True)]}
    listening = [
        each for each in psutil.net_connections("inet")
        if each.pid in ours and each.status == psutil.CONN_LISTEN
    ]  # fmt: skip
    assert listening
    assert {each.laddr.ip.removeprefix("::ffff:") for each in listening} == {"127.0.0.1"}


def test_more_gpus_than_there_are_is_refused_by_what_ray_sees(
    ray_up: Session, tmp_path: Path
) -> None:
    with pytest.raises(RayError, match="no node has more than 0"):
        share(TuneSettings(gpus=1), ray_up, configs(tmp_path, PAIR), None)


def test_a_record_that_cannot_be_written_ends_the_command(
    ray_up: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_record: Record, _report: dict[str, Any]) -> None:
        raise ResultsError("cannot write: no space left")

    monkeypatch.setattr(Record, "add", full)
    with pytest.raises(ResultsError, match="no space left"):
        trials(tmp_path, PAIR, Watching())
