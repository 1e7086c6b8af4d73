"""Put a run's record on disk: whole, or not at all."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from lico.atomic import write_atomically
from lico.errors import ResultsError
from lico.results.consistency import inconsistency
from lico.results.format import FORMAT, VERSION, Evaluation, RunRecord, SaliencyRecord
from lico.results.hdf5 import (
    Node,
    sealed,
    write_array,
    write_attributes,
    write_string,
    write_strings,
)


def write_run(record: RunRecord, path: Path) -> None:
    """Write the layout of `lico.results.format`.

    The file is composed in memory and appears under its name in one step; attribute `complete`
    is the last thing in it.

    Args:
        record: all of one run.
        path: `<results>/<experiment>/runs/<run_id>.h5`; its folder must exist.

    Raises:
        ResultsError: if the parts do not belong together, the name is not that of the run, or
            the file cannot be written; an older file of the name is then untouched.
    """
    problem = inconsistency(record)
    if problem is not None:
        raise ResultsError(f"run {record.config.run_id()} is not written: {problem}")
    if path.stem != record.config.run_id():
        raise ResultsError(
            f"run {record.config.run_id()} cannot be written as {path.name}; "
            "a run file is named after its run"
        )
    write_atomically(path, sealed(lambda file: _fill(file, record)))


def _fill(file: Node, record: RunRecord) -> None:
    file.attrs.update(
        format=FORMAT,
        version=VERSION,
        run_id=record.config.run_id(),
        experiment=record.config.experiment,
        created=str(record.provenance.get("time", "unknown")),
    )
    write_string(file, "config", record.config.model_dump_json())
    write_string(file, "provenance", json.dumps(record.provenance))
    write_attributes(file, "axes", record.config.axes)
    write_strings(file, "class_names", record.class_names)
    training = file.create_group("training")
    for name, values in record.training.items():
        write_array(training, name, np.asarray(values, np.float64))
    _fill_images(file, record.evaluation)
    for method, saliency in record.evaluation.saliency.items():
        _fill_saliency(file.create_group(f"saliency/{method}"), saliency)
    _fill_gallery(file.create_group("gallery"), record.evaluation)
    write_attributes(file, "cost", asdict(record.cost))


def _fill_images(file: Node, evaluation: Evaluation) -> None:
    images = file.create_group("images")
    write_strings(images, "id", evaluation.image_ids)
    write_array(images, "label", evaluation.labels.astype(np.int64))
    write_array(images, "logits", evaluation.logits.astype(np.float32))
    accuracy = file.create_group("accuracy")
    for name, values in evaluation.accuracy.items():
        write_array(accuracy, name, values.astype(np.float64))


def _fill_saliency(group: Node, saliency: SaliencyRecord) -> None:
    write_array(group, "maps", saliency.maps.astype(np.float32))
    write_array(group, "fractions", saliency.fractions.astype(np.float64))
    scores, curves = group.create_group("scores"), group.create_group("curves")
    for name, values in saliency.scores.items():
        write_array(scores, name, values.astype(np.float64))
    for name, values in saliency.curves.items():
        write_array(curves, name, values.astype(np.float32))


def _fill_gallery(group: Node, evaluation: Evaluation) -> None:
    write_array(group, "index", evaluation.gallery_index.astype(np.int64))
    write_array(group, "images", evaluation.gallery_images.astype(np.uint8))
    if evaluation.gallery_masks is not None:
        write_array(group, "masks", evaluation.gallery_masks.astype(np.uint8))
