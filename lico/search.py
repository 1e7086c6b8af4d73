"""Points of a random search over keys of the configuration, each the same whoever asks for it."""

import math
import random
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

WORST = -1e6  # finite, so that percentiles over it are
SIGNIFICANT_DIGITS = 3  # of a drawn number; names of runs and tables stay readable

Metric = Literal["insertion", "deletion", "combined", "ses", "sch", "mosu", "spurious_share"]
LOWER_IS_BETTER = {"deletion", "mosu", "spurious_share"}


class Range(BaseModel):
    """Where one key is drawn from: exactly one of the four.

    Attributes:
        log_uniform: low and high of a number whose logarithm is uniform.
        uniform: low and high of a uniform number.
        integers: lowest and highest whole number.
        choice: allowed values.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    log_uniform: tuple[float, float] | None = None
    uniform: tuple[float, float] | None = None
    integers: tuple[int, int] | None = None
    choice: list[str | int | float | bool] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_range(self) -> "Range":
        given = {name: value for name, value in self if value is not None}
        if len(given) != 1:
            raise ValueError(
                f"give one of log_uniform, uniform, integers, choice, not {sorted(given) or 'none'}"
            )
        (name, value), *_ = given.items()
        if name != "choice" and not value[0] < value[1]:
            raise ValueError(f"{name}={list(value)} must be [low, high], low < high")
        if name == "log_uniform" and value[0] <= 0:
            raise ValueError(f"log_uniform={list(value)} must be above 0")
        return self

    def draw(self, source: random.Random) -> str | int | float | bool:
        """One value."""
        if self.log_uniform is not None:
            low, high = (math.log(end) for end in self.log_uniform)
            return _rounded(math.exp(source.uniform(low, high)))
        if self.uniform is not None:
            return _rounded(source.uniform(*self.uniform))
        if self.integers is not None:
            return source.randint(*self.integers)
        return source.choice(self.choice or [])


class Search(BaseModel):
    """A random search with early stopping of what falls behind (Ray Tune's ASHA).

    The objective is (1 − weight) · top-1 + weight · metric, where a metric of which less is
    better counts negatively.

    Attributes:
        space: range by key of the configuration.
        points: how many settings are drawn; more keep the first ones.
        seed: of the drawing.
        metric: interpretability metric of Grad-CAM maps in the objective.
        weight: its share of the objective; 0: accuracy alone.
        grace_epochs: every setting trains at least so long.
        reduction: one in so many goes on at each halving.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    space: dict[str, Range] = Field(min_length=1)
    points: PositiveInt = 16
    seed: int = Field(default=0, ge=0)
    metric: Metric = "sch"
    weight: float = Field(default=0.5, ge=0, le=1)
    grace_epochs: PositiveInt = 1
    reduction: int = Field(default=3, ge=2)

    def levels(self) -> dict[str, list[str]]:
        """Overrides by name of the point; point i depends on the seed, i and the space alone."""
        return {f"p{index:03d}": self._overrides(index) for index in range(self.points)}

    def objective(self, scores: dict[str, float]) -> float:
        """What is maximised; an undefined score is the worst.

        Args:
            scores: `top1` and the metric by name.
        """
        value = scores[self.metric] * (-1 if self.metric in LOWER_IS_BETTER else 1)
        total = (1 - self.weight) * scores["top1"] + (self.weight * value if self.weight else 0)
        return total if math.isfinite(total) else WORST

    def halvings(self, epochs: int) -> list[int]:
        """Epochs after which settings are compared; never the last, which nothing follows."""
        found: list[int] = []
        epoch = self.grace_epochs
        while epoch < epochs:
            found.append(epoch)
            epoch *= self.reduction
        return found

    def _overrides(self, index: int) -> list[str]:
        return [f"{key}={self._value(key, index)}" for key in self.space]

    def _value(self, key: str, index: int) -> Any:
        # seeded by text, Python's generator gives the same numbers on every machine
        return self.space[key].draw(random.Random(f"{self.seed}/{index}/{key}"))  # noqa: S311


def _rounded(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
