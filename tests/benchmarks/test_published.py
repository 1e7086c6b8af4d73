"""What the benchmark compares with computes the same loss: ours is it, only faster."""

from typing import cast

import torch

from lico.benchmarks.published import PublishedWay
from lico.build import build_method
from lico.compose import compose_config
from lico.data.loading import Batch
from lico.methods.lico import LanguageImageConsistency
from lico.models.classifier import build_classifier
from tests.text.towers import NAMES, encoder, tower


def test_published_way_has_the_same_loss_and_gradients() -> None:
    """In double precision, context in order, Sinkhorn unrolled for as many steps."""
    torch.manual_seed(0)
    config = compose_config(["data.image_size=32", "reading.shuffle_context=false"])
    classifier = build_classifier(config.model, len(NAMES))
    built = build_method(config, classifier, NAMES, encoder=encoder(tower())).double()
    method = cast("LanguageImageConsistency", built)
    images = torch.randn(5, 3, 32, 32, dtype=torch.float64)
    batch = Batch(images, torch.tensor([0, 1, 1, 3, 2]))
    text = encoder(tower())
    tokens = [text.tokenizer.encode(name) for name in NAMES]
    ours, published = method(batch, 0), PublishedWay(method, text, tokens)(batch, 0)
    torch.testing.assert_close(ours.loss, published.loss, rtol=1e-7, atol=0)
    trained = [p for p in method.parameters() if p.requires_grad]
    for mine, theirs in zip(
        torch.autograd.grad(ours.loss, trained),
        torch.autograd.grad(published.loss, trained),
        strict=True,
    ):
        scale = float(theirs.abs().max())
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5 * scale)
