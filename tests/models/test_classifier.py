"""Backbones are torchvision's, with their feature maps in view."""

import pytest
import torch
from torchvision.models import resnet18, resnet50

from lico.config import Model
from lico.models.classifier import build_classifier


@pytest.mark.parametrize(("name", "plain"), [("resnet18", resnet18), ("resnet50", resnet50)])
def test_state_dict_loads_into_plain_torchvision(name: str, plain: object) -> None:
    classifier = build_classifier(Model(name=name), 7).eval()  # type: ignore[arg-type]
    model = plain(num_classes=7).eval()  # type: ignore[operator]
    model.load_state_dict(classifier.backbone.state_dict())
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(classifier(images)[0], model(images))


@pytest.mark.parametrize(
    ("name", "size", "shape"),
    [
        ("resnet18", 224, (512, 7, 7)),
        ("resnet50", 64, (2048, 2, 2)),
        ("small_resnet", 64, (64, 8, 8)),
    ],
)
def test_logits_are_made_from_the_feature_maps(
    name: str, size: int, shape: tuple[int, int, int]
) -> None:
    classifier = build_classifier(Model(name=name), 5)  # type: ignore[arg-type]
    classifier.backbone.get_submodule("bn1").eval()
    modes = [module.training for module in classifier.modules()]
    assert classifier.feature_shape(size) == shape
    assert [module.training for module in classifier.modules()] == modes
    classifier.eval()
    logits, maps = classifier(torch.randn(2, 3, size, size))
    assert maps.shape == (2, *shape)
    torch.testing.assert_close(classifier.backbone.fc(maps.mean((2, 3))), logits)  # type: ignore[operator]
    assert not classifier.layer._forward_hooks
