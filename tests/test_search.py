"""Random points of a search: the same for everybody, within their ranges."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lico.compose import ConfigError, compose_config
from lico.search import WORST, Range, Search
from lico.study import expand, load_experiment


def search(**changes: object) -> Search:
    space = {"method.alpha": {"log_uniform": [0.1, 100]}, "seed": {"integers": [1, 3]}}
    return Search.model_validate({"space": space} | changes)


def test_more_points_keep_the_first_ones_and_another_seed_changes_all() -> None:
    few, many = search(points=4).levels(), search(points=9).levels()
    assert {name: many[name] for name in few} == few
    other = search(points=4, seed=1).levels()
    assert all(few[name] != other[name] for name in few)


def test_a_key_that_is_added_leaves_the_others_draws_alone() -> None:
    more = search().model_dump(exclude_none=True)
    more["space"] = {"method.beta": {"uniform": [0, 1]}, **more["space"]}
    wider = Search.model_validate(more).levels()
    assert all(set(search().levels()[name]) < set(wider[name]) for name in wider)


def numbers(within: Range, count: int, seed: int = 0) -> list[float]:
    source = random.Random(seed)  # noqa: S311 (of values, not of secrets)
    return [float(within.draw(source)) for _ in range(count)]


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_values_are_inside_their_range(seed: int) -> None:
    assert 0.1 <= numbers(Range(log_uniform=(0.1, 100)), 1, seed)[0] <= 100
    assert numbers(Range(integers=(4, 6)), 1, seed)[0] in {4, 5, 6}
    assert numbers(Range(choice=[1, 7]), 1, seed)[0] in {1, 7}
    assert -1 <= numbers(Range(uniform=(-1, 1)), 1, seed)[0] <= 1


def test_log_uniform_has_a_uniform_logarithm() -> None:
    """Its mean is the middle, to five standard errors of width/√12 each."""
    logarithms = [math.log10(value) for value in numbers(Range(log_uniform=(0.01, 100)), 4000)]
    assert abs(sum(logarithms) / 4000) < 5 * 4 / math.sqrt(12 * 4000)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "give one of"),
        ({"uniform": [0, 1], "integers": [0, 1]}, "give one of"),
        ({"uniform": [1, 0]}, "low < high"),
        ({"log_uniform": [0, 1]}, "above 0"),
        ({"choice": []}, "at least 1"),
    ],
)
def test_a_wrong_range_is_explained(values: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Range.model_validate(values)


def test_objective_is_a_weighted_sum_in_which_less_of_a_bad_thing_is_more() -> None:
    better = search(metric="sch", weight=0.25).objective({"top1": 0.8, "sch": 0.4})
    worse = search(metric="deletion", weight=0.5).objective({"top1": 0.8, "deletion": 0.2})
    assert (better, worse) == (pytest.approx(0.7), pytest.approx(0.3))
    assert search(weight=0).objective({"top1": 0.8, "sch": math.nan}) == 0.8
    assert search().objective({"top1": 0.8, "sch": math.nan}) == WORST


@pytest.mark.parametrize(
    ("epochs", "expected"), [(100, [4, 12, 36]), (36, [4, 12]), (4, []), (37, [4, 12, 36])]
)
def test_halvings_come_before_the_last_epoch(epochs: int, expected: list[int]) -> None:
    assert search(grace_epochs=4, reduction=3).halvings(epochs) == expected


def test_every_launcher_sees_the_points_as_an_axis() -> None:
    experiment = load_experiment("hyperparameters")
    configs = expand("hyperparameters", experiment, ["search.points=2", "seed=5"])
    assert [config.axes["point"] for config in configs] == ["p000", "p001"]
    drawn = configs[1]
    again = compose_config([f"method.alpha={drawn.method.alpha}"])
    assert again.method.alpha == drawn.method.alpha != configs[0].method.alpha


@pytest.mark.parametrize(
    ("name", "override", "says"),
    [
        ("hyperparameters", "search.pionts=3", "did you mean 'points'"),
        ("hyperparameters", "search.points=none", "search.points=none: points"),
        ("demo", "search.points=3", "searches nothing"),
    ],
)
def test_a_wrong_search_override_is_explained(name: str, override: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        expand(name, load_experiment(name), [override])


def test_an_unknown_key_in_the_space_stops_before_any_run() -> None:
    experiment = load_experiment("hyperparameters")
    wrong = experiment.model_copy(
        update={"search": Search.model_validate({"space": {"method.alhpa": {"uniform": [0, 1]}}})}
    )
    with pytest.raises(ConfigError, match=r"did you mean 'method\.alpha'"):
        expand("hyperparameters", wrong, [])
