"""CGC's loss against torchvision's own resizing and cropping, image by image."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torchvision.transforms.v2 import functional as V  # noqa: N812

from lico.data.augment import CropFlip
from lico.losses.contrastive_gradcam import contrastive_gradcam, differentiable_gradcam

CROPS = [CropFlip(3, 5, 20, 14, flip=True), CropFlip(0, 0, 32, 32, flip=False),
         CropFlip(10, 2, 11, 29, flip=True)]  # fmt: skip


def literal(maps: Tensor, views: Tensor, temperature: float, size: int = 32) -> Tensor:
    """The loss as METHOD's words have it, with torchvision for every picture operation."""

    def enlarge(each: Tensor) -> Tensor:
        big = F.interpolate(each[None, None], size=(size, size), mode="bilinear")[0]
        return big / (big.sum() + 1e-8) + 1e-8

    seen = [enlarge(each).flatten() for each in views]
    moved: list[Tensor] = []
    for each, crop in zip(maps, CROPS, strict=True):
        cut = V.resized_crop(
            enlarge(each), crop.top, crop.left, crop.height, crop.width, [size, size],
            antialias=False,
        )  # fmt: skip
        moved.append((V.horizontal_flip(cut) if crop.flip else cut).flatten())
    losses: list[Tensor] = []
    for i in range(len(maps)):
        positive = F.cosine_similarity(seen[i], moved[i], dim=0)
        negatives = [F.cosine_similarity(seen[i], seen[j], dim=0) for j in range(3) if j != i]
        logits = torch.stack([positive, *negatives]) / temperature
        losses.append(-torch.log_softmax(logits, 0)[0])
    return torch.stack(losses).mean()


@pytest.mark.parametrize("temperature", [0.5, 0.01])
def test_equals_the_literal_loss_with_gradients(temperature: float) -> None:
    random = torch.Generator().manual_seed(1)
    leaves = [torch.rand(3, 7, 7, generator=random, dtype=torch.float64) for _ in range(2)]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    ours = contrastive_gradcam(leaves[0], leaves[1], CROPS, 32, temperature)
    expected = literal(leaves[0], leaves[1], temperature)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)
    for mine, theirs in zip(
        torch.autograd.grad(ours, leaves), torch.autograd.grad(expected, leaves), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-12)


def test_second_order_gradients_reach_the_network() -> None:
    """The loss's gradient to every weight equals finite differences."""
    torch.manual_seed(0)
    trunk = nn.Conv2d(3, 4, 3, padding=1).double()
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).double()
    images, views = torch.randn(2, 3, 3, 8, 8, dtype=torch.float64)
    classes = torch.tensor([0, 2, 1])

    def loss() -> Tensor:
        maps = [
            differentiable_gradcam(head(features := trunk(x).relu()), features, classes)
            for x in (images, views)
        ]
        return contrastive_gradcam(maps[0], maps[1], CROPS, 32, 0.5)

    weights = [trunk.weight, trunk.bias, head[2].weight]
    assert all(isinstance(weight, Tensor) for weight in weights)
    gradients = torch.autograd.grad(loss(), weights)  # type: ignore[arg-type]
    for weight, gradient in zip(weights, gradients, strict=True):
        for index in range(0, weight.numel(), 7):
            flat = weight.data.view(-1)
            value = flat[index].item()
            flat[index] = value + 1e-6
            above = loss().item()
            flat[index] = value - 1e-6
            below = loss().item()
            flat[index] = value
            slope = (above - below) / 2e-6
            assert gradient.reshape(-1)[index].item() == pytest.approx(slope, rel=1e-3, abs=1e-7)


def test_one_image_has_no_negatives() -> None:
    maps = torch.rand(1, 4, 4)
    assert float(contrastive_gradcam(maps, maps, CROPS[:1], 32, 0.5)) == 0


def test_a_crop_for_each_image() -> None:
    with pytest.raises(ValueError, match="2 crops"):
        contrastive_gradcam(torch.rand(3, 4, 4), torch.rand(3, 4, 4), CROPS[:2], 32, 0.5)
