"""The published numbers, typed (`paper_tables.yaml`)."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

_FILE = Path(__file__).with_name("paper_tables.yaml")
_TIMED_MODELS = ("resnet18", "resnet50")


@dataclass(frozen=True)
class Published:
    """A published number.

    Attributes:
        mean: the number, or the lower end of a range.
        std: standard deviation over seeds; None where one seed was run.
        high: the upper end, if this is a range.
        bound: ">" if the number is only a lower bound.
    """

    mean: float
    std: float | None = None
    high: float | None = None
    bound: str = ""


Section = dict[str, dict[str, list[float]]]  # system → metric → [mean] or [mean, std]


class Timing(BaseModel):
    """Table 1: seconds an epoch for ResNet-18 and ResNet-50; None: out of memory."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cifar100_batch64: dict[str, list[float | None]]
    imagenet_s50_batch64: dict[str, list[float | None]]
    imagenet_s50_batch128: dict[str, list[float | None]]
    peak_memory_gb_resnet50_imagenet_s50_batch128: dict[str, float | str]

    def settings(self) -> dict[str, dict[str, list[float | None]]]:
        """Seconds by data set and batch size."""
        return {
            "cifar100_batch64": self.cifar100_batch64,
            "imagenet_s50_batch64": self.imagenet_s50_batch64,
            "imagenet_s50_batch128": self.imagenet_s50_batch128,
        }


class Adversarial(BaseModel):
    """Appendix A."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    deletion: dict[str, float]


class Environment(BaseModel):
    """Appendix D."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    watts: float
    seconds_per_run: float
    runs: int
    kwh: float
    grams_co2_per_kwh: float
    kg_co2: float


class Paper(BaseModel):
    """All published tables."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table1_seconds_per_epoch: Timing
    table2_insertion_deletion: Section
    table3_cifar100: Section
    table4_loss_ablation: Section
    table5_prompt_variants: Section
    appendix_a_adversarial: Adversarial
    appendix_d_environment: Environment

    def section(self, name: str) -> Section:
        """One of Tables 2 to 5, or none."""
        return {
            "table2": self.table2_insertion_deletion,
            "table3": self.table3_cifar100,
            "table4": self.table4_loss_ablation,
            "table5": self.table5_prompt_variants,
        }.get(name, {})

    def score(self, tables: tuple[str, ...], system: str, metric: str) -> Published | None:
        """A number of the first of the tables that has it."""
        for table in tables:
            numbers = self.section(table).get(system, {}).get(metric)
            if numbers:
                return Published(numbers[0], numbers[1] if len(numbers) > 1 else None)
        return None

    def marked_deletion(self, which: str) -> Published:
        """Appendix A: "all_classes" or "marked_class"."""
        return Published(self.appendix_a_adversarial.deletion[which])

    def seconds(self, setting: str, model: str, system: str) -> Published | None:
        """Seconds an epoch, if this data set, batch size and model were timed."""
        numbers = self.table1_seconds_per_epoch.settings().get(setting, {}).get(system)
        if numbers is None or model not in _TIMED_MODELS:
            return None
        value = numbers[_TIMED_MODELS.index(model)]
        return None if value is None else Published(value)

    def time_ratio(self, setting: str, model: str, system: str) -> Published | None:
        """Seconds over the baseline's; for what was not timed, the range over ResNet-18's."""
        settings = self.table1_seconds_per_epoch.settings()
        if setting in settings and model in _TIMED_MODELS:
            own, base = (self.seconds(setting, model, each) for each in (system, "baseline"))
            return Published(own.mean / base.mean) if own and base else None
        ratios = [self.time_ratio(each, "resnet18", system) for each in settings]
        means = [ratio.mean for ratio in ratios if ratio]
        if not means:
            return None
        return Published(min(means), high=max(means)) if min(means) < max(means) else Published(1.0)

    def memory_gb(self, setting: str, model: str, system: str) -> Published | None:
        """Peak memory where it was published: ResNet-50 on ImageNet-S50 at batch 128."""
        if (setting, model) != ("imagenet_s50_batch128", "resnet50"):
            return None
        table = self.table1_seconds_per_epoch.peak_memory_gb_resnet50_imagenet_s50_batch128
        value = table.get(system)
        if value is None:
            return None
        if isinstance(value, str):
            return Published(float(value.removeprefix(">")), bound=">")
        return Published(value)


@cache
def paper() -> Paper:
    """The published numbers."""
    return Paper.model_validate(yaml.safe_load(_FILE.read_text()))
