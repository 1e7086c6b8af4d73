"""What must be there before the first run starts: data, text weights, a place for results."""

from collections.abc import Iterable
from pathlib import Path

from lico.config import Config
from lico.data.shapes import SHAPES
from lico.names import class_index
from lico.results.layout import experiment_folder, require_writable


def check(configs: Iterable[Config]) -> None:
    """Look at everything that the runs need; text weights that are a tag are fetched once.

    Raises:
        DataMissingError, PackError, TextWeightsError, ResultsError, ValueError: the first thing
            that is not there, with the command or setting that helps.
    """
    needs_data = {config.data.model_dump_json(): config for config in configs}
    needs_text = {
        config.text.model_dump_json(): config
        for config in configs
        if config.method.name == "lico" and config.text.pretrained != "embedded"
    }
    for folder in {experiment_folder(c.run.results, c.experiment) for c in configs}:
        require_writable(Path(folder))
    for config in needs_data.values():
        _check_data(config)
    for config in needs_text.values():
        from lico.text.loading import weights_file  # noqa: PLC0415 (imports torch)

        weights_file(config.text)


def _check_data(config: Config) -> None:
    """Open both splits; the embedded scenes are always there, their marked class is checked."""
    marked = config.data.marker.class_name
    if config.data.name == "scenes":
        if marked is not None:
            class_index(list(SHAPES), marked, "data.marker.class_name")
        return
    from lico.data.registry import load_data  # noqa: PLC0415 (imports torch)

    here = config.data.model_copy(update={"stage": None})  # compute nodes copy, not this one
    load_data(here, "train")
    load_data(here, "val")
