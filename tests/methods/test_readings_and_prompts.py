"""Every reading with every prompt: loss and gradients of a step, written out image by image.

Prompts go through open_clip's own forward of 77 tokens, one for each image; the losses are loops.
"""

from typing import cast

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lico.build import build_method
from lico.compose import compose_config
from lico.config import Config
from lico.data.loading import Batch
from lico.methods.lico import LanguageImageConsistency
from lico.models.classifier import build_classifier
from lico.randomness import torch_generator
from lico.text.labels import LabelTokens, tokenize_labels
from lico.text.projection import ProjectedPrompts
from tests.losses import literal
from tests.text.towers import NAMES, encoder, full_forward, literal_prompts, tower

READINGS = ["repro", "converged", "authors", "authors-apart"]
PROMPTS = ["shared", "class_specific", "label_front", "captions"]
CAPTIONS = ["a large goldfish", "kuvasz", "two sharks", "kuvasz", "a large goldfish", "a bear"]
BATCH = Batch(
    torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64),
    torch.tensor([2, 0, 2, 3]),
    indices=torch.tensor([3, 0, 1, 2]),
)
STEP = 5
MANY = 1000  # Sinkhorn iterations, after which nothing changes any more at ε = 0.1


def config_of(reading: str, prompt: str) -> Config:
    chosen = [f"reading={reading.removesuffix('-apart')}", f"prompt={prompt}"]
    if reading.endswith("-apart"):
        chosen.append("reading.roll=apart")
    if reading == "converged":
        chosen.append("reading.transport.epsilon=0.1")
    small = ["data.image_size=32", "reading.transport.max_iterations=7", "method.hidden_width=9"]
    return compose_config([*chosen, *small])


def written_out(method: LanguageImageConsistency, config: Config) -> Tensor:
    """Eq. 6, with nothing shared and nothing cut."""
    reading, built = config.reading, tower()
    captions = config.prompt.text == "caption"
    texts = list(dict.fromkeys(CAPTIONS)) if captions else NAMES
    if captions:
        assert BATCH.indices is not None
        text_of = [texts.index(CAPTIONS[int(index)]) for index in BATCH.indices]
    else:
        text_of = BATCH.labels.tolist()
    labels = tokenize_labels(texts, encoder(built), 12)
    prompts = cast("ProjectedPrompts", method.text)
    tokens, rows = zip(
        *(_prompt(prompts, config, built, labels, text) for text in text_of), strict=True
    )
    logits, maps = method.classifier(BATCH.images)
    maps = maps.flatten(2)
    pooled = reading.matching.features == "pooled"
    t = method.temperature.value
    matching = literal.manifold_matching(
        maps.mean(2) if pooled else maps.flatten(1),
        torch.stack(rows),
        torch.arange(len(rows)),
        1 / t if reading.matching.temperature == "divisor" else t.exp(),
    )
    solved = reading.transport.solver == "newton"
    cost, _, _ = literal.optimal_transport(
        maps,
        torch.stack(tokens),
        reading.transport.epsilon,
        MANY if solved else reading.transport.max_iterations,
        0 if solved else reading.transport.threshold,
        unrolled=reading.transport.gradient == "unrolled",
    )
    return F.cross_entropy(logits, BATCH.labels) + 10 * matching + cost


def _prompt(
    text: ProjectedPrompts, config: Config, built: torch.nn.Module, labels: LabelTokens, which: int
) -> tuple[Tensor, Tensor]:
    """Tokens for transport and the row for manifold matching, of one image."""
    context, position = text.prompts.context, config.prompt.label_position
    end = 12 + len(labels.tokens[which])

    def outputs(contexts: Tensor) -> Tensor:
        full = full_forward(built, literal_prompts(built, labels, contexts, position))  # type: ignore[arg-type]
        return full[which, 1 : 12 + labels.longest + 2]

    if config.reading.tokens == "rolled":
        apart = config.reading.roll == "apart"
        copies = [outputs(context.roll(i if apart else 1, -1))[end] for i in range(12)]
        return text.mlp(torch.stack(copies)), copies[0]
    random = torch_generator("shuffle", config.seed, STEP)
    order = torch.randperm(12, generator=random)
    projected = text.mlp(outputs(context[:, order]))
    return projected, projected.flatten()


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize(
    ("reading", "shapes"),
    [*((each, "as_needed") for each in READINGS), ("repro", "fixed"), ("authors-apart", "fixed")],
)
def test_a_step_is_what_its_equations_say(
    reading: str, prompt: str, shapes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shapes == "fixed":  # as on a GPU
        monkeypatch.setattr("lico.distinct.AT_HAND", frozenset[str]())
    config = config_of(reading, prompt)
    torch.manual_seed(0)
    built = build_method(
        config,
        build_classifier(config.model, len(NAMES)),
        NAMES,
        CAPTIONS if config.prompt.text == "caption" else None,
        encoder(tower()),
    )
    method = cast("LanguageImageConsistency", built.double().train())
    ours, expected = method(BATCH, STEP).loss, written_out(method, config)
    torch.testing.assert_close(ours, expected, rtol=1e-8, atol=0)
    trained = {name: p for name, p in method.named_parameters() if p.requires_grad}
    mine, theirs = (torch.autograd.grad(loss, list(trained.values())) for loss in (ours, expected))
    for name, a, b in zip(trained, mine, theirs, strict=True):
        atol = 1e-7 * float(b.abs().max()) + 1e-12
        torch.testing.assert_close(a, b, rtol=1e-5, atol=atol, msg=lambda m, n=name: f"{n}: {m}")
