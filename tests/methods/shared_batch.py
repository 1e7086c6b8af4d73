"""One step of each method on a batch that processes share, in double precision."""

from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from lico.build import build_method
from lico.compose import compose_config
from lico.data.augment import CropFlip
from lico.data.loading import Batch, PairedViews
from lico.methods.step import TrainingMethod
from lico.models.classifier import build_classifier

IMAGES = 7
NAMES = ["star", "ring", "cross"]
CAPTIONS = ["a red star", "two rings", "a red star", "a green cross", "two rings", "a ring", "star"]
METHODS = {
    "ce": ["method=ce"],
    "repro": ["method=lico"],
    "converged": ["reading=converged"],
    "authors": ["reading=authors"],
    "mm": ["method.beta=0"],
    "class_specific": ["prompt=class_specific", "reading=converged"],
    "label_front": ["prompt=label_front", "reading=converged"],
    "captions": ["prompt=captions", "reading=converged"],
    "cgc": ["method=cgc"],
}
Result = dict[str, Tensor]


def method_of(name: str) -> TrainingMethod:
    """Without batch normalisation, which is about the images of one process."""
    shared = ["data.image_size=16", "reading.transport.max_iterations=12"]
    config = compose_config([*shared, *METHODS[name]])
    torch.manual_seed(0)
    classifier = build_classifier(config.model, len(NAMES))
    for parent in list(classifier.modules()):
        for child, module in parent.named_children():
            if isinstance(module, nn.BatchNorm2d):
                setattr(parent, child, nn.Identity())
    captions = CAPTIONS if name == "captions" else None
    return build_method(config, classifier, NAMES, captions).double().train()


def batch_of(part: slice, whole: int | None) -> Batch:
    random = torch.Generator().manual_seed(3)
    images, plain, cropped = torch.randn(
        3, IMAGES, 3, 16, 16, generator=random, dtype=torch.float64
    )
    labels = torch.randint(0, len(NAMES), (IMAGES,), generator=random)
    crops = [CropFlip(i, 2, 9, 7 + i, flip=i % 2 == 0) for i in range(IMAGES)]
    views = PairedViews(plain[part], cropped[part], crops[part])
    return Batch(images[part], labels[part], views, whole, torch.arange(IMAGES)[part])


def step(name: str, part: slice, whole: int | None = None) -> Result:
    """Loss, scalars and gradients; each the mean over processes, as training has them."""
    method = method_of(name)
    processes = distributed.get_world_size() if distributed.is_initialized() else 1
    wrapped = (
        method if processes == 1 else DistributedDataParallel(method, find_unused_parameters=True)
    )
    found = wrapped(batch_of(part, whole), 5)
    found.loss.backward()
    result = {"loss": found.loss.detach()} | found.scalars
    result = {key: value.double().clone() for key, value in result.items()}
    if processes > 1:
        for value in result.values():
            distributed.all_reduce(value)
        result = {key: value / processes for key, value in result.items()}
    gradients = {key: p.grad for key, p in method.named_parameters() if p.requires_grad}
    return result | {key: grad.clone() for key, grad in gradients.items() if grad is not None}


def process(rank: int, folder: Path) -> None:
    """One of four processes, the first two of which then share a batch alone."""
    torch.set_num_threads(1)
    for processes in (4, 2):
        if rank < processes:
            results = _results(rank, processes, folder)
            if rank == 0:
                torch.save(results, folder / f"{processes}.pt")


def _results(rank: int, processes: int, folder: Path) -> dict[str, Result]:
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/group{processes}", rank=rank, world_size=processes
    )
    indices = torch.arange(IMAGES).tensor_split(processes)[rank]
    part = slice(int(indices[0]), int(indices[-1]) + 1)
    results = {name: step(name, part, IMAGES) for name in METHODS}
    results["not told"] = step("converged", part)
    distributed.barrier()
    distributed.destroy_process_group()
    return results
