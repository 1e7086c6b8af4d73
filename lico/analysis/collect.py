"""Gather the finished runs of an experiment's folder."""

from dataclasses import dataclass, field
from pathlib import Path

from lico.analysis.statistics import Difference, Score, Spread, paired_difference, spread
from lico.analysis.summary import (
    Place,
    Quantity,
    RunSummary,
    place_of_config,
    summarise,
    system_of_config,
)
from lico.config import Config
from lico.errors import ResultsError
from lico.results.reader import read_run


@dataclass(frozen=True)
class Study:
    """What an experiment has left.

    Attributes:
        name: of the experiment.
        runs: the runs to count, by system, place and seed.
        broken: reason by file name.
        left_out: reason by run id: whole files of runs that do not belong to the study.
        expected: configurations of the whole study, if known.
    """

    name: str
    runs: list[RunSummary]
    broken: dict[str, str] = field(default_factory=dict[str, str])
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    expected: list[Config] | None = None

    def missing(self) -> list[str]:
        """Expected runs without a whole file."""
        found = {run.run_id for run in self.runs}
        ids = [config.run_id() for config in self.expected or []]
        return [run_id for run_id in ids if run_id not in found]

    def systems(self) -> set[str]:
        """All systems that have a run, or should have one."""
        return self.systems_of([run.config for run in self.runs] + (self.expected or []))

    def systems_of(self, configs: list[Config]) -> set[str]:
        """The systems of some configurations."""
        return {system_of_config(config) for config in configs}

    def places(self) -> list[Place]:
        """Levels of all axes but system and seed."""
        found = {run.place: None for run in self.runs} | {
            place_of_config(config): None for config in self.expected or []
        }
        return list(found) or [()]

    def of(self, system: str, place: Place = ()) -> list[RunSummary]:
        """The runs of one system, a seed each."""
        return [run for run in self.runs if (run.system, run.place) == (system, place)]

    def expected_of(self, system: str, place: Place = ()) -> int | None:
        """How many runs a system should have, if known."""
        if self.expected is None:
            return None
        return sum(self.is_at(config, system, place) for config in self.expected)

    def is_at(self, config: Config, system: str, place: Place) -> bool:
        """Whether a configuration is of this system and place."""
        return (system_of_config(config), place_of_config(config)) == (system, place)

    def spread(self, system: str, quantity: Quantity, place: Place = ()) -> Spread | None:
        """A quantity over a system's seeds; None if no run has it."""
        runs = [run for run in self.of(system, place) if quantity in run.scores]
        return spread({run.run_id: run.value(quantity) for run in runs}) if runs else None

    def image_scores(self, system: str, quantity: Quantity, place: Place = ()) -> dict[str, Score]:
        """The means over images behind a spread, by run id."""
        return {
            run.run_id: run.scores[quantity]
            for run in self.of(system, place)
            if quantity in run.scores
        }

    def difference(
        self, system: str, reference: str, quantity: Quantity, place: Place = ()
    ) -> Difference | None:
        """Paired by seed; None without a common seed."""
        return paired_difference(
            *(
                {run.config.seed: run.value(quantity) for run in self.of(each, place)}
                for each in (system, reference)
            )
        )

    def saliency_methods(self) -> list[str]:
        """All methods of all runs, the first run's first."""
        return list({name: None for run in self.runs for name in run.config.saliency.methods})


def collect(folder: Path, expected: list[Config] | None = None) -> Study:
    """Read all run files of an experiment, one at a time.

    Args:
        folder: `<results>/<experiment>`.
        expected: configurations of the whole study; files of other runs are left out. Without it,
            of several runs in one place (system, other axes, seed) the newest counts.

    Returns:
        The study; broken files are listed in it, not fatal.
    """
    runs: list[RunSummary] = []
    broken: dict[str, str] = {}
    for path in sorted((folder / "runs").glob("*.h5")):
        try:
            runs.append(summarise(read_run(path)))
        except ResultsError as error:
            broken[path.name] = str(error).removeprefix(f"{path} ")
    chosen, left_out = (
        _newest(runs) if expected is None else _only(runs, {config.run_id() for config in expected})
    )
    chosen.sort(key=lambda run: (run.system, run.place, run.config.seed))
    return Study(folder.name, chosen, broken, left_out, expected)


def _only(runs: list[RunSummary], expected: set[str]) -> tuple[list[RunSummary], dict[str, str]]:
    reason = "not one of the study's runs: its configuration is another"
    return (
        [run for run in runs if run.run_id in expected],
        {run.run_id: reason for run in runs if run.run_id not in expected},
    )


def _newest(runs: list[RunSummary]) -> tuple[list[RunSummary], dict[str, str]]:
    by_time = sorted(runs, key=lambda run: str(run.provenance.get("time", "")))
    newest = {(run.system, run.place, run.config.seed): run for run in by_time}
    kept = {run.run_id for run in newest.values()}
    reason = "a newer run has the same system and seed"
    left_out = {run.run_id: reason for run in runs if run.run_id not in kept}
    return list(newest.values()), left_out
