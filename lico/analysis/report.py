"""One self-contained page: verdicts, tables, curves, gallery, provenance."""

import json
import math
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lico.analysis import numbers
from lico.analysis.claims import judge
from lico.analysis.collect import Study, collect
from lico.analysis.gallery import gallery_data
from lico.analysis.measures import MEASURES
from lico.analysis.panels import perturbation_panels, spurious_panel, training_panels
from lico.analysis.summary import Place, RunSummary
from lico.analysis.systems import in_order, system_of
from lico.analysis.tables import SALIENCY_LABELS, build_tables
from lico.atomic import write_atomically
from lico.config import Config

_TEMPLATES = Path(__file__).with_name("templates")


def write_report(
    folder: Path,
    tables: list[str],
    *,
    title: str,
    claim: str,
    expected: list[Config] | None = None,
) -> Path:
    """Write `report.html` from the finished runs of an experiment.

    The page needs nothing but itself: no network, no other file. What is missing or broken is
    said at its top.

    Args:
        folder: `<results>/<experiment>`, with the run files in `runs`.
        tables: names of the tables to show (`lico.analysis.tables.TABLES`).
        title: heading.
        claim: what the experiment is to show.
        expected: the whole study's configurations, if known (`lico.analysis.collect`).

    Returns:
        The page.

    Raises:
        AnalysisError: for an unknown table.
        ResultsError: if the page cannot be written.
    """
    study = collect(folder, expected)
    page = (
        _environment()
        .get_template("report.html")
        .render(
            title=title,
            claim=claim,
            study=study,
            judgements=judge(study),
            tables=build_tables(study, tables),
            places=[_place_view(study, place) for place in study.places()],
            undefined=_undefined(study),
            runs=[_run_view(run) for run in study.runs],
            commits=_commits(study.runs),
            hardware=_hardware(study.runs),
        )
    )
    path = folder / "report.html"
    write_atomically(path, page.encode())
    return path


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    known: Any = environment.globals
    known.update(numbers=numbers, system_of=system_of, zip=zip)
    return environment


def _place_view(study: Study, place: Place) -> dict[str, Any]:
    """The figures of one place; a study without axes of its own has one place without a name."""
    shown = {run.system for run in study.runs if run.place == place}
    return {
        "name": " · ".join(place),
        "systems": [system_of(name) for name in in_order(shown)],
        "training": training_panels(study, place),
        "perturbation": perturbation_panels(study, place),
        "spurious": spurious_panel(study, place),
        "gallery": gallery_data(study, place, SALIENCY_LABELS),
    }


def _undefined(study: Study) -> dict[str, Any]:
    """Images without a finite value, by metric and system, over all runs."""
    systems = in_order({run.system for run in study.runs})
    keys = list(
        {key: None for run in study.runs for key in run.scores if key[0] and key[1] in MEASURES}
    )
    rows: list[tuple[str, list[str]]] = []
    for saliency, metric in keys:
        counts = [_not_finite(study, system, (saliency, metric)) for system in systems]
        if any(undefined or infinite for undefined, infinite, _ in counts):
            label = f"{SALIENCY_LABELS[saliency]}: {MEASURES[metric].heading}"
            rows.append((label, [_counted(*count) for count in counts]))
    return {"systems": [system_of(name).short for name in systems], "rows": rows}


def _not_finite(study: Study, system: str, key: tuple[str, str]) -> tuple[int, int, int]:
    """Undefined, infinite and all."""
    scores = [run.scores[key] for run in study.runs if run.system == system and key in run.scores]
    undefined, infinite = sum(s.undefined for s in scores), sum(s.infinite for s in scores)
    return undefined, infinite, sum(s.images for s in scores) + undefined + infinite


def _counted(undefined: int, infinite: int, whole: int) -> str:
    if not whole:
        return numbers.NONE
    text = str(undefined) if not infinite else f"{undefined} + {infinite} infinite"
    return f"{text} of {whole}"


def _run_view(run: RunSummary) -> dict[str, Any]:
    """A line of the list of runs."""
    kwh = run.cost.energy_kwh
    return {
        "id": run.run_id,
        "system": system_of(run.system),
        "seed": run.config.seed,
        "hash": run.config.hash(),
        "device": run.cost.device,
        "duration": _duration(run.cost.training_seconds + run.cost.evaluation_seconds),
        "memory": f"{run.cost.peak_memory_bytes / 1e9:.2f} GB",
        "energy": numbers.NONE if math.isnan(kwh) else f"{1000 * kwh:.2f} Wh",
        "finished": str(run.provenance.get("time", "unknown")),
        "config": json.dumps(run.config.model_dump(mode="json"), indent=2),
        "provenance": json.dumps(run.provenance, indent=2),
    }


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return numbers.NONE
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def _commits(runs: list[RunSummary]) -> list[str]:
    """Commits that the runs were made with; more than one is worth a warning."""
    found = {
        f"{run.provenance.get('commit', 'unknown')}"
        f"{' with uncommitted changes' if run.provenance.get('modified') else ''}"
        for run in runs
    }
    return sorted(found)


def _hardware(runs: list[RunSummary]) -> list[str]:
    """Machines that the runs were made on."""
    machines: set[str] = set()
    for run in runs:
        parts: dict[str, Any] = run.provenance.get("hardware", {})
        shown = [parts.get("device"), parts.get("cpu"), parts.get("cores")]
        machines.add(", ".join(str(part) for part in shown if part) + " cores")
    return sorted(machines)
