"""The study's systems: names in words, and a colour that each keeps in every figure."""

from typing import NamedTuple


class System(NamedTuple):
    """How a system is shown."""

    label: str
    short: str
    colour: str


SYSTEMS = {
    "baseline": System("CE loss (baseline)", "baseline", "#818b98"),
    "mm": System("+ MM loss", "+ MM", "#2f81f7"),
    "ot": System("+ OT loss", "+ OT", "#d4940e"),
    "lico": System("+ MM & OT (LICO)", "LICO", "#e5484d"),
    "cgc": System("CGC", "CGC", "#8957e5"),
    "lico_class_specific": System("LICO + class-specific context", "class-specific", "#2da44e"),
    "lico_label_front": System("LICO + class label at the front", "label in front", "#14a3a3"),
    "lico_authors": System("LICO, authors' reading", "authors", "#d065b0"),
    "lico_converged": System("LICO, converged transport", "converged", "#a5714a"),
    "adversarial": System("CE loss, marked class", "adversarial", "#98a32b"),
}


def system_of(name: str) -> System:
    """How to show a system; one that is not of the study has its own name."""
    return SYSTEMS.get(name, System(name, name, "#818b98"))


def in_order(names: set[str]) -> list[str]:
    """The study's order; others after it by name."""
    return [name for name in SYSTEMS if name in names] + sorted(names - SYSTEMS.keys())
