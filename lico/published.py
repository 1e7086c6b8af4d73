"""Evaluate weights that others have trained, into the same file that a run of ours leaves."""

import hashlib
import math
import re
import time
from collections.abc import Callable
from pathlib import Path

import torch

from lico.config import Config
from lico.data.registry import data_record, load_data
from lico.evaluate import evaluate
from lico.models.published import LabelOrder, WeightsError, load_published
from lico.names import class_index
from lico.provenance import device_name, provenance
from lico.randomness import be_deterministic
from lico.results.format import Cost, RunRecord
from lico.results.layout import require_writable, run_file
from lico.results.reader import is_finished
from lico.results.writer import write_run
from lico.training.processes import choose_device


def evaluate_published(
    config: Config,
    weights: Path,
    order: LabelOrder = "data",
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Evaluate a weights file as a run would be; a finished evaluation is left alone.

    The run is of the experiment `published`, and its axis `system` names the file and the start
    of its SHA-256, so that two files never share results. There is no training in the record.

    Args:
        config: data set, model and saliency.
        weights: a Lightning checkpoint, a torch file or safetensors.
        order: how the file numbers the classes (`lico.models.published.load_published`).
        on_progress: called with "evaluate", what is done, and of how much.

    Returns:
        The HDF5 file.

    Raises:
        WeightsError: if the file cannot be read or does not fit.
        DataMissingError, PackError, ResultsError: before any work, naming the remedy.
    """
    report = on_progress or (lambda _phase, _done, _whole: None)
    placed = named_after(config, weights, order)
    target = run_file(placed)
    if is_finished(target, placed):
        return target
    require_writable(target.parent)
    torch.set_num_threads(config.run.threads)
    be_deterministic()
    device = choose_device(config.run)
    data = load_data(config.data, "val")
    names, marked = data.class_names, config.data.marker.class_name
    classifier = load_published(
        weights,
        config.model,
        len(names),
        order=order,
        marked=None if marked is None else class_index(names, marked, "data.marker.class_name"),
    ).to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    started = time.perf_counter()
    evaluation = evaluate(
        classifier,
        data,
        config.saliency,
        device=device,
        on_progress=lambda done, whole: report("evaluate", done, whole),
    )
    seconds = time.perf_counter() - started
    cost = Cost(device_name(device), 0.0, math.nan, seconds, 0.0, math.nan, math.nan)
    made = provenance(device) | data_record(data)
    made |= {"weights": weights.name, "label_order": order}
    record = RunRecord(placed, made, names, {}, evaluation, cost)
    write_run(record, target)
    return target


def named_after(config: Config, weights: Path, order: LabelOrder = "data") -> Config:
    """The configuration whose results are those of this file's content.

    Raises:
        WeightsError: if there is no such file.
    """
    if not weights.is_file():
        raise WeightsError(f"there is no weights file {weights}")
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:8]
    stem = re.sub(r"[^A-Za-z0-9_.]+", "_", weights.stem)
    suffix = "" if order == "data" else f"-{order}"
    axes = {"system": f"{stem}-{digest}{suffix}"}
    values = config.model_dump() | {"experiment": "published", "axes": axes}
    return Config.model_validate(values)
