"""What is measured: heading, direction and number format of each column."""

from typing import Literal, NamedTuple


class Measure(NamedTuple):
    """A column of a table.

    Attributes:
        key: name of the metric in files.
        heading: in words.
        better: which direction is better; None: neither.
        decimals: digits after the point.
        style: "number"; "factor" (1.5 ×); "count" of runs where the value is 1.
        saliency: whether each saliency method has its own value.
    """

    key: str
    heading: str
    better: Literal["higher", "lower"] | None = None
    decimals: int = 3
    style: Literal["number", "factor", "count"] = "number"
    saliency: bool = False

    @property
    def title(self) -> str:
        """Heading with an arrow to the better side."""
        arrows = {"higher": " (↑)", "lower": " (↓)", None: ""}
        return self.heading + arrows[self.better]


def _score(key: str, heading: str, better: Literal["higher", "lower"]) -> Measure:
    return Measure(key, heading, better, saliency=True)


_ALL = [
    Measure("top1", "Top-1", "higher", 4),
    Measure("top5", "Top-5", "higher", 4),
    _score("insertion", "Insertion", "higher"),
    _score("deletion", "Deletion", "lower"),
    _score("combined", "Combined", "higher"),
    _score("ses", "SES", "higher"),
    _score("sch", "SCH", "higher"),
    _score("mosu", "MOSU", "lower"),
    _score("spurious_share", "Spurious share", "lower"),
    _score("deletion_marked", "Deletion, marked class", "lower"),
    _score("deletion_others", "Deletion, other classes", "lower"),
    Measure("seconds_per_epoch", "Seconds per epoch", "lower", 2),
    Measure("time_ratio", "Time ratio", "lower", 2, "factor"),
    Measure("peak_memory_gb", "Peak memory, GB", "lower", 2),
    Measure("memory_ratio", "Memory ratio", "lower", 2, "factor"),
    Measure("run_seconds", "Seconds per run", "lower", 0),
    Measure("energy_wh", "Energy, Wh", "lower", 2),
    Measure("co2_g", "CO₂, g", "lower", 2),
    Measure("grams_co2_per_kwh", "g CO₂ per kWh", "lower", 0),
    Measure("final_marginal_error", "Marginal error, L1", "lower"),
    Measure("final_optimal_transport", "OT loss"),
    Measure("final_manifold_matching", "MM loss"),
    Measure("final_sinkhorn_iterations", "Iterations", decimals=0),
    Measure("final_unrolled_cosine", "Cosine of unrolled and envelope gradient"),
    Measure("final_unrolled_length_ratio", "Unrolled over envelope gradient", decimals=1),
    Measure("final_temperature", "Temperature t"),
    Measure("alpha", "α (MM)", decimals=3),
    Measure("beta", "β (OT)", decimals=3),
    Measure("epsilon", "ε", decimals=4),
    Measure("context_length", "Context tokens", decimals=0),
    Measure("learning_rate", "Learning rate", decimals=4),
    Measure("temperature_at_clamp", "At the clamp", style="count"),
]
MEASURES = {measure.key: measure for measure in _ALL}


def measures(*keys: str) -> tuple[Measure, ...]:
    """Several measures by name."""
    return tuple(MEASURES[key] for key in keys)
