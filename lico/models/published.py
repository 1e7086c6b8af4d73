"""Weights that others have published, read without running anything that a pickle asks for."""

import pickle
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lico.config import Model
from lico.models.classifier import Classifier, build_classifier

LabelOrder = Literal["data", "numeric_folders", "marked_last"]

FIRST, HEAD = "conv1.weight", "fc.weight"
TABLES = ("state_dict", "model", "model_state_dict", "net")  # where a checkpoint keeps its weights
HARMLESS = {
    ("collections", "OrderedDict"),
    ("torch", "Size"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch.serialization", "_get_layout"),
    ("torch.storage", "UntypedStorage"),
}
BROKEN = (
    pickle.UnpicklingError, RuntimeError, AttributeError, TypeError, ValueError, KeyError,
    IndexError, EOFError, AssertionError, ImportError, OSError, zipfile.BadZipFile,
)  # fmt: skip


class WeightsError(ValueError):
    """A weights file cannot be read or does not fit; the message says what it holds."""


def load_published(
    path: Path, settings: Model, classes: int, *, marked: int | None = None,
    order: LabelOrder = "data",
) -> Classifier:  # fmt: skip
    """A classifier with published weights.

    Args:
        path: a Lightning checkpoint, a torch file with a state dict, or safetensors.
        settings: the model's architecture.
        classes: of the data set.
        marked: label of the Adversarial set's marked class, for `order="marked_last"`.
        order: how the file numbers the classes: as the data set does; in the order of class
            folders named 0, 1, 10, 11, …, 2, 20, as the reproduction's CIFAR-100 runs; or with
            the marked class last, as its Adversarial run (its folder was renamed).

    Raises:
        WeightsError: if the file cannot be read, or has no such network with as many classes.
    """
    classifier = build_classifier(settings, classes)
    wanted: dict[str, Tensor] = classifier.backbone.state_dict()
    found = _network(read_weights(path), wanted, path)
    if found[HEAD].shape[0] != classes:
        raise WeightsError(
            f"{path} tells {found[HEAD].shape[0]} classes apart, the data set has {classes}"
        )
    for name, tensor in found.items():
        if tensor.shape != wanted[name].shape:
            raise WeightsError(
                f"{path}: {name} is {list(tensor.shape)}, but {list(wanted[name].shape)} in "
                f"{settings.name}; choose the model that was trained with model=NAME"
            )
    places = torch.tensor(_places(order, classes, marked))
    for name in (HEAD, HEAD.replace("weight", "bias")):
        found[name] = found[name][places]
    classifier.backbone.load_state_dict(found, strict=False)
    return classifier


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a weights file by name; classes and functions in it are never used.

    Raises:
        WeightsError: if it cannot be read or has no tensors.
    """
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, "cpu", pickle_module=_PICKLE, weights_only=False)
    except (*BROKEN, SafetensorError) as error:
        raise WeightsError(f"{path} is no weights file: {type(error).__name__}: {error}") from error
    table = next((content[key] for key in TABLES if _has_tensors(content, key)), content)
    tensors = (
        {str(name): each for name, each in table.items() if isinstance(each, Tensor)}
        if isinstance(table, dict)
        else {}
    )
    if not tensors:
        raise WeightsError(f"{path} has no state dict; it holds a {type(content).__name__}")
    return tensors


def _has_tensors(content: Any, key: str) -> bool:
    table = content.get(key) if isinstance(content, dict) else None
    return isinstance(table, dict) and any(isinstance(each, Tensor) for each in table.values())


def _network(
    tensors: dict[str, Tensor], wanted: dict[str, Tensor], path: Path
) -> dict[str, Tensor]:
    """The backbone's part of the tensors, under whatever prefix it has, such as `image_model.`."""
    needed = [name for name in wanted if not name.endswith("num_batches_tracked")]
    prefixes = sorted(name.removesuffix(FIRST) for name in tensors if name.endswith(FIRST))
    for prefix in prefixes:
        if all(prefix + name in tensors for name in needed):
            return {n: tensors[prefix + n] for n in wanted if prefix + n in tensors}
    shown = ", ".join(list(tensors)[:3])
    raise WeightsError(
        f"{path} has {len(tensors)} tensors ({shown}, …), but under no prefix all of this "
        "network's; choose the model that was trained with model=NAME"
    )


def _places(order: LabelOrder, classes: int, marked: int | None) -> list[int]:
    """For each label the row of the file's head."""
    labels = list(range(classes))
    if order == "data":
        return labels
    if order == "numeric_folders":
        listed = sorted(labels, key=str)
    else:
        if marked is None:
            raise WeightsError("marked_last needs data.marker.class_name, the marked class")
        listed = [label for label in labels if label != marked] + [marked]
    return [listed.index(label) for label in labels]


class _Inert:
    """Stands for every class of a pickle that is not part of a tensor; it does nothing."""

    def __init__(self, *_arguments: Any, **_options: Any) -> None:
        pass

    def __setstate__(self, _state: Any) -> None:
        pass

    def __setitem__(self, _key: Any, _value: Any) -> None:
        pass

    def append(self, _value: Any) -> None:
        """As a list subclass is filled."""

    def extend(self, _values: Any) -> None:
        """As a list subclass is filled."""

    def __hash__(self) -> int:
        return 0


class _TensorUnpickler(pickle.Unpickler):
    """Knows how tensors are put together; anything else becomes inert."""

    def find_class(self, module: str, name: str) -> Any:
        storage = module in {"torch", "torch.cuda"} and name.endswith("Storage")
        kind = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if (module, name) in HARMLESS or storage or kind:
            return super().find_class(module, name)
        return _Inert


_PICKLE = SimpleNamespace(
    __name__="tensors_only",
    Unpickler=_TensorUnpickler,
    load=lambda file, **options: _TensorUnpickler(file, **options).load(),
)
