"""The frozen copy answers as the network does, and shares nothing with it."""

import pytest
import torch
from torch import nn
from torchvision.models import resnet18, resnet50

from lico.saliency.frozen import frozen_copy
from tests.saliency.networks import pictures, randomise, small_classifier


@pytest.mark.parametrize("build", [resnet18, resnet50])
def test_answers_and_feature_maps_are_those_of_the_network(build: type[nn.Module]) -> None:
    torch.manual_seed(0)
    network = build(num_classes=5)
    randomise(network)
    network.double().eval()
    copy = frozen_copy(network)
    images, _ = pictures(2, 40)
    found: dict[str, torch.Tensor] = {}
    for name, each in (("network", network), ("copy", copy)):
        each.get_submodule("layer4").register_forward_hook(
            lambda _m, _i, out, name=name: found.update({name: out.detach()})
        )
    with torch.no_grad():
        torch.testing.assert_close(copy(images), network(images), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found["copy"], found["network"], rtol=1e-9, atol=1e-9)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in copy.modules())


def test_the_network_is_not_touched() -> None:
    network = small_classifier().backbone.train()
    network.get_submodule("bn1").eval()
    state = {name: each.clone() for name, each in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    copy = frozen_copy(network)
    for parameter in copy.parameters():
        assert not parameter.requires_grad
        parameter.data.zero_()
    copy(pictures(2)[0])
    assert not any(module.training for module in copy.modules())
    assert [module.training for module in network.modules()] == modes
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(each, state[n]) for n, each in network.state_dict().items())


def test_a_convolution_that_others_read_too_keeps_its_normalisation_apart() -> None:
    class Fork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn, self.first = (
                nn.Conv2d(3, 3, 1),
                nn.BatchNorm2d(3),
                nn.BatchNorm2d(3),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(self.first(x))
            return self.bn(y) + y

    torch.manual_seed(0)
    network = Fork()
    randomise(network)
    network.double().eval()
    images, _ = pictures(2, 5)
    copy = frozen_copy(network)
    torch.testing.assert_close(copy(images), network(images))
    assert isinstance(copy.get_submodule("bn"), nn.BatchNorm2d)
