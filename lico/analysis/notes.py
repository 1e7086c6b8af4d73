"""What a reader must know before comparing numbers."""

from lico.analysis.collect import Study
from lico.analysis.systems import system_of

_PAPER_DATA = {"cifar100": "CIFAR-100", "imagenet_s50": "ImageNet-S50"}


def data_notes(study: Study) -> list[str]:
    """Whether the published numbers are of the same data."""
    names = {run.config.data.name for run in study.runs} | {
        config.data.name for config in study.expected or []
    }
    if "scenes" in names:
        return [
            (
                "Measured on the embedded scenes, small synthetic pictures, not the paper's data: "
                "the published numbers stand beside ours for direction only, their level is "
                "not comparable."
            )
        ]
    return [f"Measured on {', '.join(_PAPER_DATA[name] for name in sorted(names))}."] * bool(names)


def seed_note(study: Study) -> str:
    """What the number after ± is."""
    seeds = sorted({run.config.seed for run in study.runs})
    if len(seeds) == 1:
        return f"One seed ({seeds[0]}), so there is no measure of noise."
    listed = ", ".join(map(str, seeds)) or "none yet"
    return (
        f"Mean ± sample standard deviation over seeds ({listed}); n is given where it differs. "
        "Means over images leave undefined and infinite values out; the report counts them."
    )


def difference_note(reference: str) -> str:
    """How differences are judged."""
    return (
        f"Δ is the difference to {system_of(reference).short}, paired by seed. It is within "
        "noise when the 95 % t interval of its mean includes 0, without correction for the number "
        "of comparisons; otherwise its direction is compared with that of the published means, "
        "whatever their own noise."
    )
