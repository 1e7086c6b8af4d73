"""The tables that an experiment may ask for by name."""

from collections.abc import Callable
from dataclasses import dataclass

from lico.analysis.collect import Study
from lico.analysis.errors import AnalysisError
from lico.analysis.measures import MEASURES, Measure, measures
from lico.analysis.notes import data_notes, difference_note, seed_note
from lico.analysis.paper import paper
from lico.analysis.summary import Place, Quantity
from lico.analysis.systems import in_order, system_of
from lico.analysis.table import Cell, Row, Table
from lico.analysis.tables_cost import appendix_d, table1
from lico.names import suggestion

PRIMARY = "gradcam"

_QUALITY = ("ses", "sch", "mosu")
_SALIENCY_METRICS = ("insertion", "deletion", "combined", *_QUALITY, "spurious_share")
SALIENCY_LABELS = {
    "gradcam": "Grad-CAM",
    "gradcam_pp": "Grad-CAM++",
    "layercam": "Layer-CAM",
    "scorecam": "Score-CAM",
    "rise": "RISE",
}


@dataclass(frozen=True)
class Comparison:
    """Systems in rows, measures in columns, differences to a reference system.

    Attributes:
        title: of the table.
        systems: rows; none: all systems of the study.
        columns: keys of measures.
        published: which published tables have the numbers, the first that has one counts.
        reference: system that differences are to.
    """

    title: str
    systems: tuple[str, ...]
    columns: tuple[str, ...]
    published: tuple[str, ...] = ()
    reference: str = "baseline"


COMPARISONS = {
    "table2": Comparison(
        "Table 2. Insertion and deletion",
        ("baseline", "mm", "ot", "lico"),
        ("insertion", "deletion", "combined"),
        ("table2",),
    ),
    "table3": Comparison(
        "Table 3. Accuracy and SES against CGC",
        ("baseline", "cgc", "lico"),
        ("top1", "top5", "ses"),
        ("table3",),
    ),
    "table4": Comparison(
        "Table 4. Accuracy and interpretability of the loss ablation",
        ("baseline", "mm", "ot", "lico"),
        ("top1", "top5", *_QUALITY),
        ("table4",),
    ),
    "table5": Comparison(
        "Table 5. Prompt variants",
        ("lico", "lico_class_specific", "lico_label_front"),
        ("top1", "top5", *_QUALITY),
        ("table5",),
        reference="lico",
    ),
    "appendix_a": Comparison(
        "Appendix A. Deletion where one class is marked by a dot",
        (),
        ("deletion", "deletion_marked", "deletion_others"),
        reference="",
    ),
    "readings": Comparison(
        "Readings of LICO",
        ("lico", "lico_authors", "lico_converged"),
        (
            "final_marginal_error",
            "final_sinkhorn_iterations",
            "final_unrolled_cosine",
            "final_unrolled_length_ratio",
            "final_optimal_transport",
            "final_temperature",
            "temperature_at_clamp",
            "top1",
            "combined",
            *_QUALITY,
        ),
        ("table4", "table2"),
        reference="lico",
    ),
    "hyperparameters": Comparison(
        "Hyperparameters. Settings drawn at random",
        (),
        (
            "alpha",
            "beta",
            "epsilon",
            "context_length",
            "learning_rate",
            "top1",
            "combined",
            *_QUALITY,
            "final_marginal_error",
        ),
        reference="",
    ),
    "spurious": Comparison(
        "Spurious share. Saliency on the misleading texture",
        (),
        ("spurious_share", "sch", "top1"),
    ),
}

_CAPTIONS = {
    "hyperparameters": [
        (
            "Every drawn setting that early stopping left, with its values. Settings that fell "
            "behind ended after fewer epochs and have no row; the best row is the best of many, "
            "so its own value is flattered, most of all where n is 1."
        )
    ],
    "appendix_a": [
        (
            "Lower deletion is said to be better; a model that looks at the dot alone gets the "
            "lowest. The published run is of one seed and 15 epochs."
        )
    ],
    "readings": [
        (
            "Marginal error, iterations, losses and temperature are means over the last epoch. "
            "A marginal error far from 0 means that the plan is no transport plan yet. The "
            "temperature's clamp is [0, log 100 = 4.605]; at its lower end manifold matching "
            "sees nearly uniform neighbourhoods. The authors' reading divides by t, unclamped."
        )
    ],
    "spurious": [
        (
            "Mean share of Grad-CAM on the background texture that gives the class away in "
            "training; lower means that the model looks elsewhere."
        )
    ],
}


def build_tables(study: Study, names: list[str]) -> list[Table]:
    """The tables with these names, in their order.

    Raises:
        AnalysisError: for a name that there is not; says which there are.
    """
    for name in names:
        if name not in TABLES:
            raise AnalysisError(
                f"tables: {name!r} is not one of {', '.join(TABLES)}{suggestion(name, TABLES)}"
            )
    return [TABLES[name](study) for name in names]


def _comparison(name: str) -> Callable[[Study], Table]:
    return lambda study: _build(name, COMPARISONS[name], study)


def _build(name: str, what: Comparison, study: Study) -> Table:
    columns = measures(*what.columns)
    rows = [
        _row(study, what, columns, system, place)
        for place in study.places()
        for system in _systems(name, what, study)
    ]
    caption = [*data_notes(study), *_CAPTIONS.get(name, [])]
    notes = [seed_note(study)]
    if what.reference:
        notes.append(difference_note(what.reference))
    return Table(name, what.title, columns, rows, caption, notes, what.reference)


def _systems(name: str, what: Comparison, study: Study) -> list[str]:
    if what.systems:
        return list(what.systems)
    if name == "appendix_a":
        configs = [*(study.expected or []), *(run.config for run in study.runs)]
        return in_order(study.systems_of([c for c in configs if c.data.marker.class_name]))
    return in_order(study.systems())


def _row(
    study: Study,
    what: Comparison,
    columns: tuple[Measure, ...],
    system: str,
    place: Place,
) -> Row:
    return Row(
        label=" · ".join([system_of(system).label, *place]),
        system=system,
        cells=[_cell(study, what, system, place, _quantity(column, PRIMARY)) for column in columns],
        place=place,
        saliency=PRIMARY,
        runs=len(study.of(system, place)),
        expected=study.expected_of(system, place),
    )


def _cell(study: Study, what: Comparison, system: str, place: Place, quantity: Quantity) -> Cell:
    metric = quantity[1]
    published = paper().score(what.published, system, metric)
    if metric in _APPENDIX_A and what is COMPARISONS["appendix_a"]:
        published = paper().marked_deletion(_APPENDIX_A[metric])
    base = paper().score(what.published, what.reference, metric)
    difference = published_difference = None
    if what.reference and system != what.reference and MEASURES[metric].better:
        difference = study.difference(system, what.reference, quantity, place)
        if published and base:
            published_difference = published.mean - base.mean
    return Cell(
        measured=study.spread(system, quantity, place),
        published=published,
        difference=difference,
        published_difference=published_difference,
        scores=study.image_scores(system, quantity, place),
    )


_APPENDIX_A = {"deletion": "all_classes", "deletion_marked": "marked_class"}


def _quantity(measure: Measure, saliency: str) -> Quantity:
    return (saliency if measure.saliency else "", measure.key)


def saliency_methods(study: Study) -> Table:
    """Every post-hoc method on the baseline and on LICO."""
    columns = measures(*_SALIENCY_METRICS)
    pair = ("baseline", "lico")
    what = Comparison("", pair, (), ("table2", "table4"))
    unpublished = Comparison("", pair, ())
    rows = [
        Row(
            label=" · ".join([SALIENCY_LABELS[method], system_of(system).short, *place]),
            system=system,
            cells=[
                _cell(
                    study,
                    what if method == PRIMARY else unpublished,
                    system,
                    place,
                    (method, column.key),
                )
                for column in columns
            ],
            place=place,
            saliency=method,
            runs=len(study.of(system, place)),
            expected=study.expected_of(system, place),
        )
        for place in study.places()
        for method in study.saliency_methods() or [PRIMARY]
        for system in pair
    ]
    notes = [seed_note(study), difference_note("baseline")]
    title = "Saliency methods"
    return Table("saliency_methods", title, columns, rows, data_notes(study), notes, "baseline")


TABLES: dict[str, Callable[[Study], Table]] = {
    "table1": table1,
    **{name: _comparison(name) for name in COMPARISONS if name.startswith("table")},
    "appendix_a": _comparison("appendix_a"),
    "appendix_d": appendix_d,
    "hyperparameters": _comparison("hyperparameters"),
    "readings": _comparison("readings"),
    "saliency_methods": saliency_methods,
    "spurious": _comparison("spurious"),
}
