"""Which curves the report shows."""

import math

import numpy as np

from lico.analysis.collect import Study
from lico.analysis.figures import Panel, curves_svg, dots_svg
from lico.analysis.summary import Place
from lico.analysis.systems import in_order
from lico.analysis.tables import PRIMARY

_TRAINING = {
    "loss": "Training loss",
    "train_top1": "Training accuracy (augmented views)",
    "cross_entropy": "Cross-entropy",
    "manifold_matching": "Manifold matching loss",
    "optimal_transport": "Optimal transport loss",
    "temperature": "Temperature t of manifold matching",
    "marginal_error": "Marginal error of the transport plan (L1)",
    "unrolled_cosine": "Cosine of the unrolled with the envelope gradient",
    "unrolled_length_ratio": "Length of the unrolled over the envelope gradient",
    "contrast": "Contrastive Grad-CAM loss",
}
_CLAMP = {"clamp: 0": 0.0, "clamp: log 100": math.log(100)}


def training_panels(study: Study, place: Place) -> list[str]:
    """One SVG for each training curve that any run has."""
    panels: list[str] = []
    for name, title in _TRAINING.items():
        lines = {
            system: [
                np.asarray(run.training[name])
                for run in study.of(system, place)
                if run.training.get(name)
            ]
            for system in in_order(study.systems())
        }
        lines = {system: _same_length(curves) for system, curves in lines.items() if curves}
        if lines:
            x = {system: np.arange(1.0, 1 + len(curves[0])) for system, curves in lines.items()}
            levels = _CLAMP if name == "temperature" else {}
            panels.append(curves_svg(Panel(title, "Epoch", lines, x, levels)))
    return panels


def perturbation_panels(study: Study, place: Place) -> list[str]:
    """Mean probability of the true class while pixels are restored or removed."""
    titles = {
        "insertion": ("Insertion: probability of the true class", "Share of pixels restored"),
        "deletion": ("Deletion: probability of the true class", "Share of pixels removed"),
    }
    panels: list[str] = []
    for metric, (title, label) in titles.items():
        found = {
            system: [
                run.curves[PRIMARY, metric]
                for run in study.of(system, place)
                if (PRIMARY, metric) in run.curves
            ]
            for system in in_order(study.systems())
        }
        found = {system: curves for system, curves in found.items() if curves}
        if found:
            lines = {system: [c.values for c in curves] for system, curves in found.items()}
            x = {system: curves[0].fractions for system, curves in found.items()}
            panels.append(curves_svg(Panel(title, label, lines, x)))
    return panels


def spurious_panel(study: Study, place: Place) -> str | None:
    """Share of saliency on the misleading texture by system, a dot a seed."""
    quantity = (PRIMARY, "spurious_share")
    values = {
        system: [v for v in spread.values.values() if math.isfinite(v)]
        for system in in_order(study.systems())
        if (spread := study.spread(system, quantity, place)) and spread.n
    }
    return dots_svg("Saliency on the misleading texture", values) if values else None


def _same_length(curves: list[np.ndarray]) -> list[np.ndarray]:
    """Runs of different length are shown as far as all go."""
    shortest = min(map(len, curves))
    return [curve[:shortest] for curve in curves]
