"""Small networks with everything random, batch statistics included."""

import torch
from torch import Tensor, nn

from lico.config import Model
from lico.models.classifier import Classifier, build_classifier


def randomise(network: nn.Module) -> None:
    """Give batch normalisations statistics and weights that do something."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            module.running_mean = torch.randn_like(module.weight).detach() / 5
            module.running_var = torch.rand_like(module.weight).detach() + 0.5


def small_classifier(classes: int = 4) -> Classifier:
    """The small ResNet in double precision and evaluation mode."""
    torch.manual_seed(0)
    classifier = build_classifier(Model(name="small_resnet"), classes)
    randomise(classifier)
    return classifier.double().eval()


class Flattened(nn.Module):
    """One convolution and a linear layer on every place, so that gradients vary over space."""

    def __init__(self, size: int) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.stage = nn.Sequential(nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.ReLU())
        self.fc = nn.Linear(5 * (size // 2) ** 2, 4)
        self.double().eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.stage(images).flatten(1).square())


def pictures(batch: int, size: int = 24) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(2)
    images = torch.randn(batch, 3, size, size, generator=random, dtype=torch.float64)
    return images, torch.arange(batch) % 4
