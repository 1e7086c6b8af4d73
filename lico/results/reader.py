"""Read a run's file, and tell a whole one from a broken one."""

import json
from pathlib import Path

from lico.config import Config
from lico.errors import ResultsError
from lico.results.consistency import inconsistency
from lico.results.format import FORMAT, VERSION, Cost, Evaluation, RunRecord, SaliencyRecord
from lico.results.hdf5 import (
    Node,
    names,
    open_sealed,
    read_array,
    read_attributes,
    read_string,
    read_strings,
)


def read_run(path: Path) -> RunRecord:
    """All of one run.

    Raises:
        ResultsError: if the file is missing, damaged, of another format or version, not
            complete, named after another run, or lacks a part; says which.
    """
    with open_sealed(path) as file:
        _check_header(path, read_attributes(file))
        try:
            record = _record(file)
        except (KeyError, ValueError, TypeError, OSError, RuntimeError) as error:
            raise ResultsError(f"{path} lacks a part or has a wrong one: {error}") from error
    problem = inconsistency(record)
    if problem is not None:
        raise ResultsError(f"{path}: {problem}")
    if record.config.run_id() != path.stem:
        raise ResultsError(
            f"{path} holds the run {record.config.run_id()}, not the one that it is named after"
        )
    return record


def check_run(path: Path) -> str | None:
    """Why the file is not a whole run, or None if it is one; never raises on broken content."""
    try:
        read_run(path)
    except ResultsError as error:
        return str(error)
    return None


def is_finished(path: Path, config: Config) -> bool:
    """Whether the file is whole and of exactly this configuration."""
    try:
        record = read_run(path)
    except ResultsError:
        return False
    return record.config.identity() == config.identity()


def _check_header(path: Path, header: dict[str, object]) -> None:
    if header.get("format") != FORMAT:
        raise ResultsError(f"{path} has format {header.get('format')!r}, not {FORMAT!r}")
    if header.get("version") != VERSION:
        raise ResultsError(
            f"{path} has version {header.get('version')}, and this code reads {VERSION}; "
            "read it with the version of this package that wrote it, or run it again"
        )
    if header.get("complete") is not True:
        raise ResultsError(f"{path} is not complete")


def _record(file: Node) -> RunRecord:
    config = Config.model_validate_json(read_string(file, "config"))
    training = file["training"]
    return RunRecord(
        config=config,
        provenance=json.loads(read_string(file, "provenance")),
        class_names=read_strings(file, "class_names"),
        training={name: read_array(training, name).tolist() for name in names(training)},
        evaluation=_evaluation(file, config),
        cost=Cost(**read_attributes(file["cost"])),
    )


def _evaluation(file: Node, config: Config) -> Evaluation:
    images, gallery = file["images"], file["gallery"]
    return Evaluation(
        image_ids=read_strings(images, "id"),
        labels=read_array(images, "label"),
        logits=read_array(images, "logits"),
        accuracy={name: read_array(file["accuracy"], name) for name in names(file["accuracy"])},
        saliency={name: _saliency(file[f"saliency/{name}"]) for name in config.saliency.methods},
        gallery_index=read_array(gallery, "index"),
        gallery_images=read_array(gallery, "images"),
        gallery_masks=read_array(gallery, "masks") if "masks" in gallery else None,
    )


def _saliency(group: Node) -> SaliencyRecord:
    scores, curves = group["scores"], group["curves"]
    return SaliencyRecord(
        maps=read_array(group, "maps"),
        scores={name: read_array(scores, name) for name in names(scores)},
        curves={name: read_array(curves, name) for name in names(curves)},
        fractions=read_array(group, "fractions"),
    )
