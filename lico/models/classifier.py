"""Backbones that give logits and the last stage's feature maps in one pass."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models import resnet18, resnet50
from torchvision.models.resnet import BasicBlock

from lico.config import Model


class SmallResNet(nn.Module):
    """A residual network for small pictures: 3×3 stem, three stages, 1/8 of the resolution.

    Parts have torchvision's names, so that whatever knows a torchvision ResNet knows this one.
    """

    widths = (24, 32, 64)

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        stem, middle, last = self.widths
        self.conv1 = nn.Conv2d(3, stem, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.layer3 = nn.Sequential(_halving_block(stem, middle))
        self.layer4 = nn.Sequential(_halving_block(middle, last))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(last, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch classes"]:
        """Logits of normalised images."""
        x = self.layer4(self.layer3(self.relu(self.bn1(self.conv1(images)))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def _halving_block(inputs: int, outputs: int) -> BasicBlock:
    shortcut = nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, stride=2, bias=False), nn.BatchNorm2d(outputs)
    )
    return BasicBlock(inputs, outputs, stride=2, downsample=shortcut)


BACKBONES: dict[str, Callable[[int], nn.Module]] = {
    "small_resnet": SmallResNet,
    "resnet18": lambda classes: resnet18(num_classes=classes),
    "resnet50": lambda classes: resnet50(num_classes=classes),
}


class Classifier(nn.Module):
    """A backbone with its feature maps in view.

    Attributes:
        backbone: the network, unchanged; its state dict loads into the plain torchvision model.
        layer: the last convolutional stage, whose output `forward` also returns.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    @property
    def layer(self) -> nn.Module:
        """The last convolutional stage."""
        return self.backbone.get_submodule("layer4")

    def forward(
        self, images: Float[Tensor, "batch 3 h w"]
    ) -> tuple[Float[Tensor, "batch classes"], Float[Tensor, "batch channels rows columns"]]:
        """Logits, and the feature maps that they were made from."""
        kept: list[Tensor] = []

        def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            kept.append(output)

        hook = self.layer.register_forward_hook(keep)
        try:
            logits = self.backbone(images)
        finally:
            hook.remove()
        return logits, kept[0]

    def feature_shape(self, image_size: int) -> tuple[int, int, int]:
        """Channels, rows and columns of the feature maps of a square image."""
        device = next(self.parameters()).device
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        with torch.no_grad():
            maps = self(torch.zeros(1, 3, image_size, image_size, device=device))[1]
        for module, training in modes:
            module.training = training
        return maps.shape[1], maps.shape[2], maps.shape[3]


def build_classifier(settings: Model, num_classes: int) -> Classifier:
    """A classifier with freshly initialised weights (from torch's global generator)."""
    return Classifier(BACKBONES[settings.name](num_classes))
