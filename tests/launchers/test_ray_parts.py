"""What the Ray launcher is made of, without Ray's processes."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from lico.compose import ConfigError, compose_config, config_folder
from lico.config import Config
from lico.errors import ResultsError
from lico.launchers.tune.asha import RestorableAsha
from lico.launchers.tune.launch import share
from lico.launchers.tune.record import Record, Report, not_stopped, open_record
from lico.launchers.tune.session import (
    SOCKET_BELOW,
    SOCKET_PATH_LIMIT,
    RayError,
    Session,
    _environment,
    _private_folder,
    _require_listening,
)
from lico.launchers.tune.settings import TuneSettings, load_settings
from lico.launchers.tune.validation import Validation, read_checkpoint
from lico.results.layout import checkpoint_file
from lico.results.reader import read_run
from lico.run import run
from lico.search import Search
from lico.study import Experiment, expand
from tests.end_to_end.small import TINY

SEARCH = Search.model_validate(
    {"space": {"method.alpha": {"log_uniform": [0.1, 100]}}, "points": 9}
)


def experiment(**changes: object) -> Experiment:
    values = {
        "title": "x", "claim": "y", "tables": ["table2"], "axes": {"system": {"a": ["method=ce"]}},
    }  # fmt: skip
    return Experiment.model_validate(values | changes)


def configs(folder: Path, given: Experiment, *overrides: str) -> list[Config]:
    return expand("mine", given, [*TINY, f"run.results='{folder}'", *overrides])


# --- settings


def test_settings_come_from_the_file_then_from_single_values_in_any_order() -> None:
    settings, rest = load_settings(["seed=2", "tune.gpus=0.5", "tune=shared_gpu", "tune.jobs=3"])
    assert (settings.gpus, settings.jobs, rest) == (0.5, 3, ["seed=2"])
    assert load_settings(["tune=shared_gpu"])[0].gpus == 0.25


@pytest.mark.parametrize("file", sorted((config_folder() / "tune").glob("*.yaml")))
def test_every_file_of_settings_is_valid_and_changes_something(file: Path) -> None:
    assert load_settings([f"tune={file.stem}"])[0] != TuneSettings()


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("tune.gpu=1", "did you mean 'gpus'"),
        ("tune=shard_gpu", "did you mean 'shared_gpu'"),
        ("tune.max_hours=0", "tune.max_hours"),
        ("tune.jobs=many", "tune.jobs"),
    ],
)
def test_a_wrong_setting_is_explained(override: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_settings([override])


# --- resources


def session(gpus: float = 0, largest: float | None = None) -> Session:
    return Session(None, None, 8, gpus, gpus if largest is None else largest)


@pytest.mark.parametrize(
    ("settings", "there", "says"),
    [
        ({"gpus": 1.0}, session(0), "no node has more than 0"),
        ({"gpus": 0.5}, session(0), "no node has more than 0"),
        ({"gpus": 3.0}, session(4, largest=2), "no node has more than 2"),
        ({"gpus": 1.5}, session(4), "whole GPUs"),
        ({"cpus": 9}, session(0), "there are 8"),
    ],
)
def test_more_than_there_is_is_refused(
    tmp_path: Path, settings: dict[str, float], there: Session, says: str
) -> None:
    with pytest.raises(RayError, match=says):
        share(TuneSettings.model_validate(settings), there, configs(tmp_path, experiment()), None)


def test_what_a_trial_gets(tmp_path: Path) -> None:
    runs = configs(tmp_path, experiment(), "run.threads=2")
    alone = share(TuneSettings(), session(0), runs, 3)
    assert (alone.cpus, alone.gpus, alone.jobs) == (2, 0, 3)
    on_gpus = share(TuneSettings(), session(4), runs, 3)
    assert (on_gpus.gpus, on_gpus.jobs) == (1, None)
    shared = share(TuneSettings(gpus=0.25, jobs=2), session(4), runs, 3)
    assert (shared.gpus, shared.jobs) == (0.25, 2)
    on_cpu = configs(tmp_path, experiment(), "run.device=cpu")
    assert share(TuneSettings(), session(4), on_cpu, None).gpus == 0
    with pytest.raises(RayError, match=r"tune\.gpus=0"):
        share(
            TuneSettings(gpus=0), session(4), configs(tmp_path, experiment(), "run.device=cuda"), 1
        )
    with pytest.raises(RayError, match="make submit"):
        share(TuneSettings(), session(4), configs(tmp_path, experiment(), "run.nodes=2"), 1)


# --- record


def opened(folder: Path, name: str, given: Experiment, *overrides: str) -> Record:
    with open_record(name, given, configs(folder, given, *overrides)) as record:
        return record


def test_a_record_goes_on_and_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    record = opened(tmp_path, "mine", experiment())
    record.add({"run_id": "a", "epoch": 1})
    with record.log.open("a") as log:
        log.write('{"run_id": "b", "ep')
    record = opened(tmp_path, "mine", experiment(), "training.epochs=3")
    record.add({"run_id": "c", "epoch": 1})
    assert [report["run_id"] for report in record.reports()] == ["a", "c"]


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("yours", experiment(), "left by the experiment 'mine', and this is 'yours'"),
        ("mine", experiment(axes={"system": {"b": ["method=lico"]}}), "axes"),
        ("mine", experiment(search=SEARCH.model_dump(exclude_none=True)), "search"),
    ],
)
def test_the_record_of_another_study_is_refused_and_not_touched(
    tmp_path: Path, name: str, given: Experiment, says: str
) -> None:
    record = opened(tmp_path, "mine", experiment())
    record.add({"run_id": "a", "epoch": 1})
    before = {path: path.read_bytes() for path in record.folder.iterdir()}
    with pytest.raises(ResultsError, match=says):
        opened(tmp_path, name, given)
    assert {path: path.read_bytes() for path in record.folder.iterdir()} == before


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"format": 3}'])
def test_a_record_that_cannot_be_read_is_refused(tmp_path: Path, content: str) -> None:
    record = opened(tmp_path, "mine", experiment())
    record.study.write_text(content)
    with pytest.raises(ResultsError, match=r"move .* away"):
        opened(tmp_path, "mine", experiment())
    assert record.study.read_text() == content


def test_a_search_goes_on_with_more_points_but_not_with_other_settings(tmp_path: Path) -> None:
    few = experiment(search=SEARCH.model_dump(exclude_none=True))
    opened(tmp_path, "mine", few)
    more = experiment(search=SEARCH.model_dump(exclude_none=True) | {"points": 12})
    opened(tmp_path, "mine", more, "seed=4")
    with pytest.raises(ResultsError, match="settings were others"):
        opened(tmp_path, "mine", more, "training.epochs=7")


def test_two_commands_do_not_work_on_one_study(tmp_path: Path) -> None:
    given = experiment()
    with (
        open_record("mine", given, configs(tmp_path, given)),
        pytest.raises(ResultsError, match="another lico tune"),
    ):
        opened(tmp_path, "mine", given)


# --- early stopping


def race(points: int, epochs: int, seed: int) -> list[Report]:
    """Reports of trials that come in turn, a few at a time."""
    source = random.Random(seed)  # noqa: S311 (of an order, not of a secret)
    waiting = [f"p{index}" for index in range(points)]
    under_way: dict[str, int] = {}
    found: list[Report] = []
    while waiting or under_way:
        while waiting and len(under_way) < 3:
            under_way[waiting.pop(0)] = 0
        run_id = source.choice(list(under_way))
        under_way[run_id] += 1
        found.append({"run_id": run_id, "epoch": under_way[run_id], "objective": source.random()})
        if under_way[run_id] == epochs:
            del under_way[run_id]
    return found


def decisions(asha: RestorableAsha, reports: list[Report]) -> list[str]:
    return [asha.on_trial_result(None, None, report) for report in reports]


@pytest.mark.parametrize("cut", [0, 1, 17, 50, 80])
def test_early_stopping_goes_on_as_if_it_had_not_been_interrupted(cut: int) -> None:
    reports = race(9, 10, seed=cut)
    whole = RestorableAsha(SEARCH, 10, [])
    expected = decisions(whole, reports)
    again = RestorableAsha(SEARCH, 10, reports[:cut])
    assert decisions(again, reports[cut:]) == expected[cut:]
    assert again.stopped == whole.stopped
    assert whole.stopped


def test_a_trial_goes_on_if_it_is_in_the_best_third_of_those_that_came_before() -> None:
    values = [0.5, 0.6, 0.4, 0.7, 0.1, 0.65, 0.8, 0.2, 0.3, 0.68]
    asha = RestorableAsha(SEARCH, 2, [])
    for position, value in enumerate(values):
        report = {"run_id": str(value), "epoch": 1, "objective": value}
        before = values[:position]
        falls_behind = bool(before) and value < np.quantile(before, 2 / 3)
        assert decisions(asha, [report]) == ["STOP" if falls_behind else "CONTINUE"]
    assert {"0.4", "0.1"} <= set(asha.stopped)
    assert {"0.5", "0.8"}.isdisjoint(asha.stopped)


def test_nothing_is_stopped_after_its_last_epoch_or_without_an_objective() -> None:
    asha = RestorableAsha(SEARCH, 3, [])
    for value in (0.9, 0.8):
        report = {"run_id": str(value), "epoch": 3, "objective": value}
        assert decisions(asha, [report, {"run_id": "x", "epoch": 2}]) == ["CONTINUE", "CONTINUE"]


def test_the_report_counts_every_seed_of_what_was_not_stopped(tmp_path: Path) -> None:
    given = experiment(search=SEARCH.model_dump(exclude_none=True))
    runs = configs(tmp_path, given)
    assert not_stopped(runs) == runs
    with open_record("tiny", given, runs) as record:
        record.note_stopped([runs[0].run_id(), runs[2].run_id()])
    left = not_stopped(runs)
    assert len(left) == 3 * 7
    assert {"p000", "p002"}.isdisjoint(config.axes["point"] for config in left)


def test_what_was_stopped_and_is_finished_by_another_launcher_counts(tmp_path: Path) -> None:
    given = experiment(search=SEARCH.model_dump(exclude_none=True))
    runs = configs(tmp_path, given, "training.epochs=1")
    with open_record("tiny", given, runs) as record:
        record.note_stopped([runs[0].run_id()])
    assert runs[0] not in not_stopped(runs)
    run(runs[0])
    assert not_stopped(runs) == runs


# --- session


@pytest.fixture
def deep_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    deep = tmp_path / ("deep " * 20) / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(deep))
    yield deep
    assert list((deep / "ray").iterdir()) == []


def test_a_deep_cache_is_reached_by_a_short_link_that_goes(deep_cache: Path) -> None:
    with _private_folder() as (folder, short):
        assert folder.parent == deep_cache / "ray"
        assert len(os.fsencode(short)) + SOCKET_BELOW <= SOCKET_PATH_LIMIT
        assert Path(short).resolve() == folder
        assert folder.stat().st_mode & 0o777 == Path(short).parent.stat().st_mode & 0o777 == 0o700
    assert not Path(short).parent.exists()


def test_a_cache_that_may_not_be_written_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ResultsError, match="XDG_CACHE_HOME"), _private_folder():
        pass


@pytest.mark.parametrize("address", ["somewhere", "127.0.0.1:port", "127.0.0.1:9", ":9"])
def test_an_address_where_nothing_answers_is_said_at_once(address: str) -> None:
    with pytest.raises(RayError, match=r"tune\.address"):
        _require_listening(address)


# --- validation


def test_validation_is_that_of_the_finished_run_and_disturbs_nothing(tmp_path: Path) -> None:
    config = compose_config([*TINY, "method=lico", f"run.results='{tmp_path}'"])
    found: list[dict[str, float]] = []

    def look(epoch: int, _scalars: dict[str, float]) -> None:
        checkpoint = read_checkpoint(config, epoch + 1)
        assert checkpoint is not None
        assert read_checkpoint(config, epoch) is None
        before = torch.random.get_rng_state()
        validation = Validation(config, 24)
        found.extend([validation.scores(checkpoint), validation.scores(checkpoint, "sch")])
        assert torch.equal(torch.random.get_rng_state(), before)
        assert Validation(config, 0).scores(checkpoint) == {}
        with pytest.raises(ValueError, match="can have insertion"):
            validation.scores(checkpoint, "nonsense")

    record = read_run(run(config, on_epoch=look))
    sch = record.evaluation.saliency["gradcam"].scores["sch"]
    top1 = record.evaluation.accuracy["top1"].mean()
    assert found[-2]["top1"] == found[-1]["top1"] == top1
    assert found[-1]["sch"] == pytest.approx(sch[torch.isfinite(torch.tensor(sch))].mean())
    assert not checkpoint_file(config).exists()
    assert len(found) == 4


def test_what_comes_after_a_session_sees_nothing_of_its_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_OF_ONES_OWN", "kept")
    monkeypatch.delenv("RAY_OF_NOBODY", raising=False)
    with _environment({"RAY_OF_ONES_OWN": "changed", "RAY_OF_NOBODY": "new"}):
        assert (os.environ["RAY_OF_ONES_OWN"], os.environ["RAY_OF_NOBODY"]) == ("changed", "new")
    assert os.environ["RAY_OF_ONES_OWN"] == "kept"
    assert "RAY_OF_NOBODY" not in os.environ
