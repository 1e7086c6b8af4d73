"""Means over images, means over seeds, and differences that are paired by seed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats  # pyright: ignore[reportMissingTypeStubs]

CONFIDENCE = 0.95


class Score(NamedTuple):
    """A mean over the images where the value is a finite number.

    Attributes:
        mean: NaN if there is no such image.
        images: how many there are.
        undefined: images left out because the value is NaN.
        infinite: images left out because the value is infinite.
    """

    mean: float
    images: int
    undefined: int
    infinite: int


def score(values: Float[np.ndarray, " images"]) -> Score:
    """The mean of the finite values, and how many were not finite."""
    finite = np.isfinite(values)
    count = int(finite.sum())
    mean = float(values[finite].astype(np.float64).mean()) if count else math.nan
    undefined = int(np.isnan(values).sum())
    return Score(mean, count, undefined, len(values) - count - undefined)


@dataclass(frozen=True)
class Spread:
    """A value over seeds.

    Attributes:
        mean: over the runs with a finite value; NaN if there is none.
        std: sample standard deviation (n - 1 in the denominator); None for fewer than two runs.
        n: runs with a finite value.
        values: by run id, all of them, in the order of the runs.
    """

    mean: float
    std: float | None
    n: int
    values: Mapping[str, float]


def spread(values: Mapping[str, float]) -> Spread:
    """Mean and sample standard deviation of one value a run."""
    finite = [value for value in values.values() if math.isfinite(value)]
    return Spread(
        mean=fmean(finite) if finite else math.nan,
        std=stdev(finite) if len(finite) > 1 else None,
        n=len(finite),
        values=values,
    )


@dataclass(frozen=True)
class Difference:
    """A difference to the reference, one a seed that both have.

    Attributes:
        mean: over the pairs; NaN if there is none.
        std: sample standard deviation of the pairs' differences; None for fewer than two.
        n: pairs.
        half_width: of the 95 % t interval of the mean; None for fewer than two pairs.
    """

    mean: float
    std: float | None
    n: int
    half_width: float | None

    @property
    def noise(self) -> Literal["beyond", "within", "unknown"]:
        """Whether the interval leaves zero out; unknown for fewer than two pairs."""
        if self.half_width is None:
            return "unknown"
        return "beyond" if abs(self.mean) > self.half_width else "within"


def paired_difference(
    values: Mapping[int, float], reference: Mapping[int, float]
) -> Difference | None:
    """The mean over seeds of value minus reference, with its t interval.

        d_s = x_s - r_s,   mean(d) ± t(0.975, n - 1) · std(d) / √n

    Args:
        values: by seed.
        reference: by seed.

    Returns:
        The difference, or None without a seed where both are finite.
    """
    seeds = [
        seed
        for seed in sorted(values.keys() & reference.keys())
        if math.isfinite(values[seed]) and math.isfinite(reference[seed])
    ]
    if not seeds:
        return None
    differences = [values[seed] - reference[seed] for seed in seeds]
    n = len(differences)
    if n == 1:
        return Difference(differences[0], None, 1, None)
    std = stdev(differences)
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    return Difference(fmean(differences), std, n, quantile * std / math.sqrt(n))


Verdict = Literal[
    "same direction",
    "opposite direction",
    "beyond noise",
    "within noise",
    "same sign, one seed",
    "opposite sign, one seed",
]


def verdict(ours: Difference, published: float | None) -> Verdict | None:
    """How our difference to the reference compares with the published one.

    Args:
        ours: paired by seed.
        published: of the published means; None or 0: there is no direction to compare with.

    Returns:
        None for a single seed without anything to compare with.
    """
    if ours.noise == "within":
        return "within noise"
    if not published or ours.mean == 0:
        return "beyond noise" if ours.noise == "beyond" else None
    same = (ours.mean > 0) == (published > 0)
    if ours.noise == "unknown":
        return "same sign, one seed" if same else "opposite sign, one seed"
    return "same direction" if same else "opposite direction"
