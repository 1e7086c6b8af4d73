"""Bring a frozen text encoder into memory: the embedded one, an open_clip tag, or a file."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import open_clip
import torch
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from open_clip.factory import load_checkpoint, load_state_dict
from safetensors import SafetensorError
from torch import Tensor, nn

from lico.config import Text
from lico.names import suggestion
from lico.text.encoder import TextEncoder
from lico.text.token_rows import expand

EMBEDDED = Path(__file__).with_name("embedded") / "scenes-clip"


# What open_clip, torch and safetensors raise on files that are not what they should be.
_UNREADABLE = (
    OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, EOFError,
    UnpicklingError, SafetensorError, AssertionError,
)  # fmt: skip


class TextWeightsError(Exception):
    """The text encoder's weights are not to be had; the message says how to get them."""


def load_text_encoder(settings: Text) -> TextEncoder:
    """The text tower of `settings.model` with the weights of `settings.pretrained`.

    Raises:
        TextWeightsError: for an unknown model or tag, a file that is missing or unreadable, or
            a download that fails.
    """
    open_clip.add_model_config(EMBEDDED.with_suffix(".json"))
    if settings.model not in (models := open_clip.list_models()):
        raise TextWeightsError(
            f"text.model={settings.model} is no open_clip model{suggestion(settings.model, models)}"
        )
    path = weights_file(settings)
    with torch.random.fork_rng(devices=[]), _without_warnings():
        model = open_clip.create_model(settings.model, load_weights=False)
    known = _load_weights(model, path)
    tower = model if hasattr(model, "token_embedding") else model.get_submodule("text")
    tokenizer = open_clip.get_tokenizer(settings.model)
    if not isinstance(tokenizer, open_clip.SimpleTokenizer):
        raise TextWeightsError(
            f"text.model={settings.model} has a tokenizer of {type(tokenizer).__name__}; choose a "
            "model with CLIP's byte-pair tokenizer, such as ViT-B-32-quickgelu"
        )
    return TextEncoder(tower, tokenizer, known)


@contextmanager
def _without_warnings() -> Generator[None]:
    """open_clip warns of random weights, which are replaced at once."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def weights_file(settings: Text, *, download: bool = True) -> Path:
    """Where the weights lie; fetched by open_clip if they are a tag and not yet on this machine.

    Raises:
        TextWeightsError: see `load_text_encoder`.
    """
    if settings.pretrained == "embedded":
        return EMBEDDED.with_suffix(".safetensors")
    tags = open_clip.list_pretrained_tags_by_model(settings.model)
    if settings.pretrained in tags:
        return _tag_file(settings, download=download)
    path = Path(settings.pretrained)
    if path.is_file():
        return path
    raise TextWeightsError(
        f"text.pretrained={settings.pretrained} is neither a file nor a tag of {settings.model}; "
        f"its tags: {', '.join(tags) or 'none'}{suggestion(settings.pretrained, tags)}"
    )


def _tag_file(settings: Text, *, download: bool) -> Path:
    source: dict[str, Any] = open_clip.get_pretrained_cfg(settings.model, settings.pretrained)
    try:
        if download:
            return Path(open_clip.download_pretrained(source))
        return _cached(source)
    except (OSError, LocalEntryNotFoundError, HfHubHTTPError, RuntimeError) as error:
        raise TextWeightsError(
            f"the weights {settings.model} / {settings.pretrained} are not on this machine and "
            'cannot be fetched from here; on a machine with network run "lico data clip" and copy '
            "its Hugging Face cache (HF_HOME), or set text.pretrained to a weights file; or use "
            f"text=embedded, which needs no download. The cause: {error}"
        ) from error


def _cached(source: dict[str, Any]) -> Path:
    """The file of a tag if it was fetched before."""
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 (slow to import)

    repository, name = str(source.get("hf_hub", "")).rsplit("/", 1)
    for file in (name, "open_clip_model.safetensors", "open_clip_pytorch_model.bin"):
        found = try_to_load_from_cache(repository, file) if file else None
        if isinstance(found, str):
            return Path(found)
    raise FileNotFoundError(f"{repository} is not in the Hugging Face cache")


def _load_weights(model: nn.Module, path: Path) -> Tensor:
    """Load the file into the model; which vocabulary rows it brings.

    A file made elsewhere may hold anything, so whatever its reading raises is the user's to see.
    """
    try:
        state = cast("dict[str, Tensor]", load_state_dict(str(path)))
        if "token_ids" not in state:
            load_checkpoint(cast("Any", model), str(path))
            return torch.ones(_vocabulary(model), dtype=torch.bool)
        known = torch.zeros(_vocabulary(model), dtype=torch.bool)
        known[state["token_ids"]] = True
        model.load_state_dict(expand(state, _vocabulary(model)))
    except _UNREADABLE as error:
        raise TextWeightsError(
            f"the text weights {path} cannot be read as {type(model).__name__} weights "
            f"({error.__class__.__name__}: {str(error)[:200]}); give a safetensors or PyTorch "
            "state dict of the open_clip model named by text.model"
        ) from error
    else:
        return known


def _vocabulary(model: nn.Module) -> int:
    tower = model if hasattr(model, "token_embedding") else model.get_submodule("text")
    return tower.get_submodule("token_embedding").get_parameter("weight").shape[0]
