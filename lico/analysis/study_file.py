"""`study.h5`: all numbers of an experiment's runs in one file, in long form.

Format "lico-study", version 1, sealed like a run's file (`lico.results.hdf5`). Each group below
is a table; its data sets are columns of one length:

    /                attributes: format, version, experiment, complete
    /runs/run_id, system, seed, config, provenance       one row a run; the last two JSON
    /runs/axis_<name>                                    its place in the study, "" if none
    /values/run_id, system, place, seed, saliency, metric, value, images, undefined, infinite
                                                         one row a run and metric
    /statistics/system, place, saliency, metric, mean, std, n
                                                         one row a system and metric; std NaN: n < 2
    /broken/file, reason    /left_out/run_id, reason    /missing/run_id
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from lico.analysis.collect import Study
from lico.atomic import write_atomically
from lico.results.hdf5 import Node, sealed, write_array, write_strings

FORMAT = "lico-study"
VERSION = 1

Column = list[str] | list[int] | list[float]


def write_study(study: Study, path: Path) -> None:
    """Write the file in one step.

    Raises:
        ResultsError: if it cannot be written; an older file is then untouched.
    """
    write_atomically(path, sealed(lambda file: _fill(file, study)))


def _fill(file: Node, study: Study) -> None:
    file.attrs.update(format=FORMAT, version=VERSION, experiment=study.name)
    _write(file, "runs", _runs(study))
    _write(file, "values", _values(study))
    _write(file, "statistics", _statistics(study))
    _write(file, "broken", {"file": list(study.broken), "reason": list(study.broken.values())})
    _write(
        file, "left_out", {"run_id": list(study.left_out), "reason": list(study.left_out.values())}
    )
    _write(file, "missing", {"run_id": study.missing()})


def _runs(study: Study) -> dict[str, Column]:
    runs = study.runs
    axes = list({axis: None for run in runs for axis in run.config.axes})
    return {
        "run_id": [run.run_id for run in runs],
        "system": [run.system for run in runs],
        "seed": [run.config.seed for run in runs],
        **{f"axis_{axis}": [run.config.axes.get(axis, "") for run in runs] for axis in axes},
        "config": [run.config.model_dump_json() for run in runs],
        "provenance": [json.dumps(run.provenance) for run in runs],
    }


def _values(study: Study) -> dict[str, Column]:
    rows = [
        (run, saliency, metric, score)
        for run in study.runs
        for (saliency, metric), score in sorted(run.scores.items())
    ]
    return {
        "run_id": [run.run_id for run, *_ in rows],
        "system": [run.system for run, *_ in rows],
        "place": [" / ".join(run.place) for run, *_ in rows],
        "seed": [run.config.seed for run, *_ in rows],
        "saliency": [saliency for _, saliency, _, _ in rows],
        "metric": [metric for _, _, metric, _ in rows],
        "value": [score.mean for *_, score in rows],
        "images": [score.images for *_, score in rows],
        "undefined": [score.undefined for *_, score in rows],
        "infinite": [score.infinite for *_, score in rows],
    }


def _statistics(study: Study) -> dict[str, Column]:
    keys = sorted(
        {(run.system, run.place, quantity) for run in study.runs for quantity in run.scores}
    )
    spreads = [study.spread(system, quantity, place) for system, place, quantity in keys]
    found = [(key, each) for key, each in zip(keys, spreads, strict=True) if each]
    return {
        "system": [system for (system, _, _), _ in found],
        "place": [" / ".join(place) for (_, place, _), _ in found],
        "saliency": [saliency for (_, _, (saliency, _)), _ in found],
        "metric": [metric for (_, _, (_, metric)), _ in found],
        "mean": [each.mean for _, each in found],
        "std": [math.nan if each.std is None else each.std for _, each in found],
        "n": [each.n for _, each in found],
    }


_NUMBERS: dict[str, Any] = {
    **dict.fromkeys(("seed", "images", "undefined", "infinite", "n"), np.int64),
    **dict.fromkeys(("value", "mean", "std"), np.float64),
}


def _write(file: Node, name: str, columns: dict[str, Column]) -> None:
    group = file.create_group(name)
    for column, values in columns.items():
        if column in _NUMBERS:
            write_array(group, column, np.asarray(values, _NUMBERS[column]))
        else:
            write_strings(group, column, [str(value) for value in values])
