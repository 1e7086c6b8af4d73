"""A whole CGC step against its description followed word by word, with every weight's gradient."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torchvision.models import ResNet, resnet18
from torchvision.models.resnet import BasicBlock
from torchvision.transforms.v2 import functional as V  # noqa: N812

from lico.build import build_method
from lico.compose import compose_config
from lico.data.augment import CropFlip
from lico.data.batch import Batch, PairedViews
from lico.methods.cgc import ContrastiveGradCam
from lico.models.classifier import Classifier, SmallResNet

SIZE, COUNT, CLASSES = 64, 4, 5
CROPS = [
    CropFlip(0, 0, 64, 64, flip=False), CropFlip(7, 3, 31, 40, flip=True),
    CropFlip(20, 11, 18, 22, flip=False), CropFlip(1, 30, 60, 33, flip=True),
]  # fmt: skip


def batch() -> Batch:
    random = torch.Generator().manual_seed(0)
    images, plain = (
        torch.randn(COUNT, 3, SIZE, SIZE, generator=random, dtype=torch.float64) for _ in range(2)
    )
    cropped = torch.stack([transformed(p, c) for p, c in zip(plain, CROPS, strict=True)])
    labels = torch.tensor([0, 3, 4, 3])
    return Batch(images, labels, PairedViews(plain, cropped, CROPS))


def transformed(image: Tensor, crop: CropFlip) -> Tensor:
    place = (crop.top, crop.left, crop.height, crop.width)
    cut = V.resized_crop(image, *place, [SIZE, SIZE], antialias=False)
    return V.horizontal_flip(cut) if crop.flip else cut


def parts_of(backbone: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and last feature maps, layer by layer, without the project's hooks."""
    x = images
    for name, layer in backbone.named_children():
        if name == "avgpool":
            maps = x
            return backbone.fc(F.adaptive_avg_pool2d(maps, 1).flatten(1)), maps  # type: ignore[operator]
        x = layer(x)
    raise AssertionError


def literal_cam(logits: Tensor, maps: Tensor, classes: Tensor) -> list[Tensor]:
    """ReLU(Σ_k ∂y_c/∂A_k ∘ A_k), enlarged, m ← m/(Σm + 1e-8) + 1e-8; image by image."""
    found: list[Tensor] = []
    for index, chosen in enumerate(classes.tolist()):
        score = logits[index, chosen]
        (gradient,) = torch.autograd.grad(score, maps, create_graph=True, retain_graph=True)
        cam = F.relu((gradient[index] * maps[index]).sum(0))[None, None]
        large = F.interpolate(cam, (SIZE, SIZE), mode="bilinear", align_corners=False)[0]
        found.append(large / (large.sum() + 1e-8) + 1e-8)
    return found


def literal_step(backbone: nn.Module, data: Batch) -> Tensor:
    assert data.views is not None
    logits, _ = parts_of(backbone, data.images)
    plain_logits, plain_maps = parts_of(backbone, data.views.plain)
    view_logits, view_maps = parts_of(backbone, data.views.cropped)
    classes = plain_logits.argmax(1)
    of_plain = literal_cam(plain_logits, plain_maps, classes)
    of_views = [each.flatten() for each in literal_cam(view_logits, view_maps, classes)]
    moved = [transformed(m, c).flatten() for m, c in zip(of_plain, CROPS, strict=True)]
    contrast = torch.zeros((), dtype=torch.float64)
    for i in range(COUNT):
        positive = F.cosine_similarity(of_views[i], moved[i], dim=0)
        others = [j for j in range(COUNT) if j != i]
        negatives = [F.cosine_similarity(of_views[i], of_views[j], dim=0) for j in others]
        similarities = torch.stack([positive, *negatives]) / 0.5
        contrast = contrast - torch.log_softmax(similarities, 0)[0] / COUNT
    entropies = [F.cross_entropy(e, data.labels) for e in (logits, plain_logits, view_logits)]
    return sum(entropies, start=0.5 * contrast)


def big() -> ResNet:
    return resnet18(num_classes=CLASSES)


def small() -> SmallResNet:
    return SmallResNet(CLASSES)


@pytest.mark.parametrize("make", [small, big])
def test_loss_and_every_gradient_are_the_literal_ones(make: type[nn.Module]) -> None:
    torch.manual_seed(1)
    backbone = make().double().train()
    for module in backbone.modules():  # three forward passes in either order: no running means
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0
    config = compose_config(["method=cgc", f"data.image_size={SIZE}"])
    method = build_method(config, Classifier(backbone), [f"class {i}" for i in range(CLASSES)])
    assert isinstance(method, ContrastiveGradCam)
    data = batch()
    weights = list(backbone.parameters())
    ours = method(data, 0).loss
    mine = torch.autograd.grad(ours, weights)
    expected = literal_step(backbone, data)
    theirs = torch.autograd.grad(expected, weights)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)
    for (name, _), a, b in zip(backbone.named_parameters(), mine, theirs, strict=True):
        scale = float(b.abs().max())
        assert float((a - b).abs().max()) <= 1e-8 * scale + 1e-12, name


def test_second_order_terms_are_there() -> None:
    """Without the graph through the gradient, the contrast's gradient is another."""
    torch.manual_seed(1)
    classifier = Classifier(small().double().eval())
    config = compose_config(["method=cgc", f"data.image_size={SIZE}"])
    names = [f"class {i}" for i in range(CLASSES)]
    method = build_method(config, classifier, names)
    assert isinstance(method, ContrastiveGradCam)
    whole_gradcam = method.gradcam

    def first_order(logits: Tensor, maps: Tensor, classes: Tensor) -> Tensor:
        score = logits.gather(1, classes[:, None]).sum()
        (gradient,) = torch.autograd.grad(score, maps, retain_graph=True)
        return (gradient * maps).sum(1).relu()

    found: list[Tensor] = []
    for gradcam in (whole_gradcam, first_order):
        method.gradcam = gradcam
        weight = classifier.backbone.get_submodule("fc").weight
        (gradient,) = torch.autograd.grad(method(batch(), 0).loss, weight, allow_unused=True)  # type: ignore[arg-type]
        found.append(gradient)
    assert float((found[0] - found[1]).abs().max()) > 1e-4


def test_the_network_in_the_test_is_the_one_in_the_run() -> None:
    assert isinstance(big().layer1[0], BasicBlock)
    images = torch.randn(2, 3, SIZE, SIZE, dtype=torch.float64)
    for backbone in (small().double().eval(), big().double().eval()):
        torch.testing.assert_close(parts_of(backbone, images)[0], backbone(images))
