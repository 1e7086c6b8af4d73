"""What each exact saving is worth: text, manifold matching and transport, step by step."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import Tensor

from lico.benchmarks import published
from lico.benchmarks.cases import Case, batch_of, class_names, method_of, random_encoder
from lico.benchmarks.figure import Figure, Setting
from lico.benchmarks.measure import Way, compared, interleaved
from lico.losses.manifold_matching import manifold_matching
from lico.losses.optimal_transport import optimal_transport
from lico.methods.lico import LanguageImageConsistency
from lico.text.encoder import TextEncoder
from lico.text.labels import tokenize_labels
from lico.text.projection import ProjectedPrompts

CASE = Case(224, 32, 50)
TEXT = [
    ("published", "a prompt of 77 tokens an image, gradients to the frozen weights"),
    ("frozen", "no gradients to the frozen weights"),
    ("distinct", "each class once"),
    ("cut", "cut behind the last token that is read"),
    ("shared", "SOS and context once; all linear layers on one matrix"),
    ("bfloat16", "matrices in bfloat16"),
]


def benchmark(setting: Setting) -> Iterator[Figure]:
    """Forward and backward of each part, each step over the published way."""
    for part, ways in (
        ("text", _text(setting.device)),
        ("matching", _matching(setting.device)),
        ("transport", _transport(setting.device)),
    ):
        seconds = interleaved(ways, setting)
        for name in list(ways)[1:]:
            words = f"{part}: {dict(TEXT).get(name, name)}", f"{part} as published"
            yield compared(f"savings/{part}/{name}", seconds, name, "published", words)


def _text(device: torch.device) -> dict[str, Way]:
    labels = batch_of(CASE, device).labels
    classes = labels.unique()
    encoder = random_encoder().to(device)
    learning = random_encoder().to(device).requires_grad_(requires_grad=True)
    prompts = {
        precision: cast(
            "ProjectedPrompts", _lico(device, f"text.precision={precision}").text
        ).prompts
        for precision in ("float32", "bfloat16")
    }
    names = tokenize_labels(class_names(CASE.classes), encoder, CASE.context)
    eot = encoder.tokenizer.eot_token_id
    whole = encoder.context_length
    endings = names.padded_endings(eot).to(device)
    context = prompts["float32"].context
    read = prompts["float32"].tokens

    def literal(tower: TextEncoder, texts: Tensor, length: int) -> Way:
        def run() -> None:
            sequence = torch.zeros(len(texts), length, dtype=torch.int64, device=device)
            sequence[:, 0] = tower.tokenizer.sot_token_id
            end = 1 + CASE.context
            sequence[:, end : end + endings.shape[1]] = endings[texts]
            start, _, rest = tower.embed(sequence).split([1, CASE.context, length - end], 1)
            shared = context.expand(len(texts), -1, -1)
            outputs = tower(torch.cat([start, shared, rest], 1))[:, 1 : 1 + read]
            outputs.sum().backward()

        return run

    def ours(precision: str) -> Way:
        return lambda: prompts[precision](classes).float().sum().backward()

    return {
        "published": literal(learning, labels, whole),
        "frozen": literal(encoder, labels, whole),
        "distinct": literal(encoder, classes, whole),
        "cut": literal(encoder, classes, 1 + read),
        "shared": ours("float32"),
        "bfloat16": ours("bfloat16"),
    }


def _lico(device: torch.device, *overrides: str) -> LanguageImageConsistency:
    return cast("LanguageImageConsistency", method_of(CASE.config(*overrides), CASE, device))


def _features(device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Feature maps that lie channels last, tokens of each distinct class, rows, and the scale."""
    random = torch.Generator().manual_seed(0)
    classes, rows = batch_of(CASE, device).labels.unique(return_inverse=True)
    maps = torch.randn(CASE.batch, 49, 512, generator=random).relu().to(device).mT
    tokens = torch.randn(len(classes), 16, 49, generator=random).to(device)
    return maps.requires_grad_(), tokens.requires_grad_(), rows, torch.tensor(14.3, device=device)


def _matching(device: torch.device) -> dict[str, Way]:
    maps, tokens, rows, scale = _features(device)
    return {
        "published": _backward(
            lambda: published.matching(maps.flatten(1), tokens[rows].flatten(1), scale)
        ),
        "products": _backward(
            lambda: manifold_matching(maps.mT.flatten(1), tokens.flatten(1), rows, scale)
        ),
    }


def _transport(device: torch.device) -> dict[str, Way]:
    maps, tokens, rows, _ = _features(device)

    def ours(**settings: Any) -> Way:
        return _backward(lambda: optimal_transport(maps, tokens[rows], **settings).cost)

    return {
        "published": _backward(lambda: published.transport(maps, tokens[rows])),
        "unrolled": ours(epsilon=1e-4, gradient="unrolled"),
        "newton": ours(epsilon=1e-2, max_iterations=20, solver="newton"),
        "envelope": ours(epsilon=1e-2),
    }


def _backward(loss: Callable[[], Tensor]) -> Way:
    return lambda: loss().backward()
