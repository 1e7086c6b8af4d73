"""Each method's loss is the sum that its equation says."""

from typing import cast

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lico.build import build_method
from lico.compose import compose_config
from lico.data.loading import Batch, BatchLoader
from lico.losses.manifold_matching import manifold_matching
from lico.losses.optimal_transport import optimal_transport
from lico.models.classifier import build_classifier
from lico.text.projection import ProjectedPrompts
from tests.data.synthetic import TinyData

NAMES = ["star", "ring", "cross"]


def batch(*, paired: bool = False) -> Batch:
    loader = BatchLoader(
        TinyData(), size=32, batch_size=8, seed=0, augment=True, crop_scale=(0.3, 1.0),
        paired_views=paired,
    )  # fmt: skip
    return next(loader.epoch(0))


def method_for(*overrides: str) -> torch.nn.Module:
    config = compose_config(["data.image_size=32", *overrides])
    torch.manual_seed(0)
    return build_method(config, build_classifier(config.model, 3), NAMES).train()


def test_ce() -> None:
    method, data = method_for("method=ce"), batch()
    result = method(data, 0)
    logits, _ = method.classifier(data.images)  # type: ignore[operator]
    torch.testing.assert_close(result.loss, F.cross_entropy(logits, data.labels))


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["method.beta=0"],
        ["method.alpha=0"],
        ["prompt=class_specific"],
        ["prompt=label_front"],
        ["reading=authors"],
        ["reading=converged"],
    ],
)
def test_lico_is_the_weighted_sum_and_trains_what_it_should(overrides: list[str]) -> None:
    method, data = method_for(*overrides), batch()
    result = method(data, 3)
    parts = result.scalars
    expected = parts["cross_entropy"]
    if "method.alpha=0" not in overrides:
        expected = expected + 10 * parts["manifold_matching"]
    if "method.beta=0" not in overrides:
        expected = expected + parts["optimal_transport"]
    torch.testing.assert_close(result.loss.detach(), expected)
    result.loss.backward()
    trained = {name for name, p in method.named_parameters() if p.requires_grad}
    assert not any("encoder" in name for name in trained)
    without = {name for name, p in method.named_parameters() if p.requires_grad and p.grad is None}
    assert without <= {"temperature.value"} | {
        name for name in trained if "mlp" in name and "reading=authors" in overrides
    }
    context = dict(method.named_parameters())["text.prompts.context"]
    assert context.grad is not None
    assert context.grad.abs().sum() > 0


def test_lico_terms_are_the_losses_of_whole_batches_of_prompts() -> None:
    """Encoding each class once equals encoding a prompt for every image."""
    method, data = method_for("reading.shuffle_context=false"), batch()
    result = method(data, 0)
    _, maps = method.classifier(data.images)  # type: ignore[operator]
    tokens, flat = cast("ProjectedPrompts", method.text)(torch.arange(3))
    maps = maps.flatten(2)
    rows = torch.arange(len(data.labels))
    matching = manifold_matching(
        maps.flatten(1),
        flat[data.labels],
        rows,
        method.temperature.scale(),  # type: ignore[operator,union-attr]
    )
    transport = optimal_transport(maps, tokens[data.labels], epsilon=1e-4, gradient="unrolled")
    torch.testing.assert_close(result.scalars["manifold_matching"], matching.detach())
    torch.testing.assert_close(result.scalars["optimal_transport"], transport.cost.detach())


def test_context_is_shuffled_by_step_in_training_alone() -> None:
    text = cast("ProjectedPrompts", method_for().text)

    def tokens(step: int) -> Tensor:
        return text(torch.arange(3), text.order(step, torch.device("cpu")))[0]

    assert not torch.equal(tokens(0), tokens(1))
    assert torch.equal(tokens(4), tokens(4))
    text.eval()
    assert torch.equal(tokens(0), tokens(1))


def test_temperature_is_clamped_after_a_step() -> None:
    method = method_for()
    value = method.temperature.value  # type: ignore[union-attr]
    with torch.no_grad():
        value.fill_(9.0)  # type: ignore[operator]
    method.after_step()  # type: ignore[operator]
    torch.testing.assert_close(value.detach(), torch.tensor(100.0).log())  # type: ignore[union-attr]
    with torch.no_grad():
        value.fill_(-1.0)  # type: ignore[operator]
    method.after_step()  # type: ignore[operator]
    assert value.item() == 0  # type: ignore[operator]


def test_cgc_is_three_cross_entropies_and_the_contrast() -> None:
    method, data = method_for("method=cgc"), batch(paired=True)
    result = method(data, 0)
    parts = result.scalars
    torch.testing.assert_close(
        result.loss.detach(), parts["cross_entropy"] + 0.5 * parts["contrast"]
    )
    assert data.views is not None
    logits = [
        method.classifier(x)[0]  # type: ignore[operator]
        for x in (data.images, data.views.plain, data.views.cropped)
    ]
    total = sum(F.cross_entropy(each, data.labels) for each in logits)
    torch.testing.assert_close(parts["cross_entropy"], total)


def test_cgc_asks_for_paired_views() -> None:
    with pytest.raises(ValueError, match="paired_views"):
        method_for("method=cgc")(batch(), 0)
