"""Numbers as the paper prints them."""

import math

from lico.analysis.measures import Measure
from lico.analysis.paper import Published
from lico.analysis.statistics import Difference, Spread

MINUS, NONE = "\N{MINUS SIGN}", "–"


def plain(value: float, decimals: int) -> str:
    """`.727`, `−.021`, `12.34` or `10,000`: no zero before the point, a true minus sign."""
    if math.isnan(value):
        return NONE
    if math.isinf(value):
        return f"{MINUS if value < 0 else ''}∞"
    text = f"{abs(value):,.{decimals if abs(value) < 1000 else 0}f}"
    if text.startswith("0."):
        text = text[1:]
    negative = value < 0 and text.strip("0.") != ""
    return f"{MINUS if negative else ''}{text}"


def measured(spread: Spread | None, measure: Measure, usual_n: int) -> str:
    """`.727 ± .003`, with the number of runs where it is not the table's usual one."""
    if spread is None or not spread.n:
        return NONE
    if measure.style == "count":
        ones = sum(value == 1 for value in spread.values.values())
        return f"{ones} of {spread.n} runs"
    text = plain(spread.mean, measure.decimals)
    if spread.std is not None:
        text += f" ± {plain(spread.std, measure.decimals)}"
    if measure.style == "factor":
        text += " ×"
    return text if spread.n == usual_n else f"{text} (n = {spread.n})"


def published(number: Published | None, measure: Measure) -> str:
    """The published number in the same form; ranges as `2.4 to 4.3`."""
    if number is None:
        return NONE
    text = number.bound + plain(number.mean, measure.decimals)
    if number.std is not None:
        text += f" ± {plain(number.std, measure.decimals)}"
    if number.high is not None:
        text += f" to {plain(number.high, measure.decimals)}"
    return f"{text} ×" if measure.style == "factor" else text


def signed(value: float, decimals: int) -> str:
    """With a plus sign, for differences."""
    text = plain(value, decimals)
    return text if text.startswith((MINUS, NONE)) else f"+{text}"


def difference(change: Difference | None, measure: Measure) -> str:
    """`+.012 ± .004` over paired seeds."""
    if change is None:
        return NONE
    text = signed(change.mean, measure.decimals)
    return text if change.std is None else f"{text} ± {plain(change.std, measure.decimals)}"


def per_seed(spread: Spread, measure: Measure) -> str:
    """Each run's id and value, for a hover text."""
    return "\n".join(
        f"{run_id}: {plain(value, measure.decimals + 1)}" for run_id, value in spread.values.items()
    )
