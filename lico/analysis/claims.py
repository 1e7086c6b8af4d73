"""The three claims under test, and what the runs at hand say of each."""

from dataclasses import dataclass
from typing import Literal

from lico.analysis import numbers
from lico.analysis.collect import Study
from lico.analysis.measures import MEASURES, Measure
from lico.analysis.statistics import Difference
from lico.analysis.systems import system_of
from lico.analysis.tables import PRIMARY

Outcome = Literal["better", "worse", "within noise", "one seed"]
Tone = Literal["for", "against", "open"]


@dataclass(frozen=True)
class Claim:
    """A claim and the comparisons that speak to it.

    Attributes:
        name: short.
        text: in a sentence.
        paper: what the reproduction study found.
        system: the one that should be better.
        references: those that it should be better than.
        measures: keys.
    """

    name: str
    text: str
    paper: str
    system: str
    references: tuple[str, ...]
    measures: tuple[str, ...]


_INTERPRETABILITY = ("insertion", "deletion", "combined", "ses", "sch", "mosu", "spurious_share")
CLAIMS = (
    Claim(
        "Claim 1: more interpretable",
        "Matching language and image manifolds makes saliency maps agree better with human "
        "expectations.",
        "Not reproduced: insertion, deletion, SES, SCH and MOSU were all worse than the baseline's "
        "on ImageNet-S50.",
        "lico",
        ("baseline",),
        _INTERPRETABILITY,
    ),
    Claim(
        "Claim 2: no less accurate",
        "LICO does not harm the classifier's accuracy, and may improve it.",
        "Not reproduced: top-1 .8160 against .8218 on ImageNet-S50, .7309 against .7431 on "
        "CIFAR-100.",
        "lico",
        ("baseline",),
        ("top1", "top5"),
    ),
    Claim(
        "Claim 3: both losses needed",
        "Manifold matching and optimal transport together are better than either alone.",
        "Not reproduced: either loss alone was mostly better than both.",
        "lico",
        ("mm", "ot"),
        ("top1", *_INTERPRETABILITY[2:6]),
    ),
)


@dataclass(frozen=True)
class Finding:
    """One comparison of a claim."""

    measure: Measure
    reference: str
    difference: Difference

    @property
    def outcome(self) -> Outcome:
        """On the measure's better or worse side, if beyond noise."""
        if self.difference.noise == "within":
            return "within noise"
        if self.difference.noise == "unknown":
            return "one seed"
        good = (self.difference.mean > 0) == (self.measure.better == "higher")
        return "better" if good else "worse"

    @property
    def text(self) -> str:
        """`SCH −.012 ± .004 to baseline`."""
        change = numbers.difference(self.difference, self.measure)
        return f"{self.measure.title} {change} to {system_of(self.reference).short}"


@dataclass(frozen=True)
class Judgement:
    """A claim with what the runs say."""

    claim: Claim
    findings: list[Finding]

    @property
    def counts(self) -> dict[Outcome, int]:
        """Comparisons by outcome."""
        outcomes: tuple[Outcome, ...] = ("better", "worse", "within noise", "one seed")
        return {each: sum(f.outcome == each for f in self.findings) for each in outcomes}

    @property
    def headline(self) -> str:
        """In a few careful words."""
        counts = self.counts
        if not self.findings:
            return "No data yet"
        if counts["one seed"]:
            return "One seed: no verdict"
        if counts["better"] and counts["worse"]:
            return "Mixed"
        if counts["better"]:
            return "Some support"
        if counts["worse"]:
            return "Evidence against"
        return "Undecided: within noise"

    @property
    def tone(self) -> Tone:
        """For the card's colour."""
        tones: dict[str, Tone] = {"Some support": "for", "Evidence against": "against"}
        return tones.get(self.headline, "open")

    @property
    def summary(self) -> str:
        """How many comparisons there are, and how they end."""
        total = len(self.findings)
        if not total:
            return "The systems that this claim compares have no common seed yet."
        parts = [f"{count} {outcome}" for outcome, count in self.counts.items() if count]
        seeds = max(finding.difference.n for finding in self.findings)
        return (
            f"{total} comparison{'s' * (total > 1)} over {seeds} seed{'s' * (seeds > 1)}: "
            f"{', '.join(parts)}."
        )


def judge(study: Study) -> list[Judgement]:
    """What the study's first place says of each claim, with differences paired by seed."""
    place = study.places()[0]
    judgements: list[Judgement] = []
    for claim in CLAIMS:
        findings: list[Finding] = []
        for key in claim.measures:
            measure = MEASURES[key]
            quantity = (PRIMARY if measure.saliency else "", key)
            for reference in claim.references:
                difference = study.difference(claim.system, reference, quantity, place)
                if difference is not None:
                    findings.append(Finding(measure, reference, difference))
        judgements.append(Judgement(claim, findings))
    return judgements
