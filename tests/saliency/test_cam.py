"""Class activation maps against their equations and closed forms; the network left as found."""

from collections.abc import Callable
from typing import get_args

import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from torch import Tensor, nn
from torchcam.methods.gradient import GradCAM, LayerCAM

from lico.saliency import cam
from lico.saliency.cam import CamMethod
from tests.saliency import literal
from tests.saliency.networks import Flattened, pictures, small_classifier

class_activation_maps = jaxtyped(typechecker=beartype)(cam.class_activation_maps)
METHODS: tuple[CamMethod, ...] = get_args(CamMethod)
FROM_GRADIENTS: dict[CamMethod, Callable[[Tensor, Tensor], Tensor]] = {
    "gradcam": literal.gradcam,
    "gradcam_pp": literal.gradcam_pp,
    "layercam": literal.layercam,
}


def networks() -> list[tuple[nn.Module, nn.Module, Callable[[Tensor], Tensor]]]:
    """Network, its layer, and the part after the layer."""
    pooled, flattened = small_classifier(), Flattened(24)
    fc = pooled.backbone.get_submodule("fc")
    return [
        (pooled.backbone, pooled.layer, lambda maps: fc(maps.mean((2, 3)))),
        (flattened, flattened.stage, lambda maps: flattened.fc(maps.flatten(1).square())),
    ]


def maps_of(network: nn.Module, layer: nn.Module, images: Tensor) -> Tensor:
    kept: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    with torch.no_grad():
        network(images)
    hook.remove()
    return kept[0]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("method", FROM_GRADIENTS)
def test_maps_from_gradients_equal_their_equations(method: CamMethod, which: int) -> None:
    network, layer, after = networks()[which]
    images, targets = pictures(5)
    found = class_activation_maps(method, network, layer, images, targets, chunk=2)
    maps = maps_of(network, layer, images).requires_grad_()
    scores = after(maps).gather(1, targets[:, None]).sum()
    gradients = torch.autograd.grad(scores, maps)[0]
    for i, each in enumerate(found):
        expected = FROM_GRADIENTS[method](maps[i].detach(), gradients[i])
        torch.testing.assert_close(each, expected, rtol=1e-9, atol=1e-12)
    assert found.any()


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_scorecam_equals_its_equation_whatever_the_chunk(chunk: int) -> None:
    network, layer, _ = networks()[1]
    images, targets = pictures(3)
    found = class_activation_maps("scorecam", network, layer, images, targets, chunk=chunk)
    maps = maps_of(network, layer, images)
    for i, each in enumerate(found):
        expected = literal.scorecam(
            maps[i], images[i], lambda image: network(image[None])[0].detach(), int(targets[i])
        )
        torch.testing.assert_close(each, expected, rtol=1e-6, atol=1e-8)


def test_gradcam_of_pooling_and_a_linear_layer_in_closed_form() -> None:
    classifier = small_classifier()
    images, targets = pictures(6)
    found = class_activation_maps(
        "gradcam", classifier.backbone, classifier.layer, images, targets, chunk=8
    )
    maps = maps_of(classifier.backbone, classifier.layer, images)
    weight = classifier.backbone.get_submodule("fc").get_parameter("weight")[targets]
    closed = torch.einsum("bc,bchw->bhw", weight, maps).relu() / (3 * 3)
    torch.testing.assert_close(found, closed.detach())


@pytest.mark.parametrize(("method", "extractor"), [("gradcam", GradCAM), ("layercam", LayerCAM)])
def test_equals_torchcam_as_its_manual_uses_it(method: CamMethod, extractor: type[GradCAM]) -> None:
    classifier = small_classifier()
    images, targets = pictures(4)
    found = class_activation_maps(
        method, classifier.backbone, classifier.layer, images, targets, chunk=8
    )
    with extractor(classifier.backbone, classifier.layer) as extract:
        scores = classifier.backbone(images)
        expected = extract(class_idx=targets.tolist(), scores=scores, normalized=False)[0]
    assert torch.equal(found, expected)


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_equals_single_images(method: CamMethod) -> None:
    classifier = small_classifier()
    images, targets = pictures(3)

    def found(some: slice) -> Tensor:
        return class_activation_maps(
            method, classifier.backbone, classifier.layer, images[some], targets[some], chunk=16
        )

    singles = torch.cat([found(slice(i, i + 1)) for i in range(3)])
    torch.testing.assert_close(found(slice(None)), singles, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_the_network_is_left_as_found(method: CamMethod, *, frozen: bool) -> None:
    classifier = small_classifier().requires_grad_(requires_grad=not frozen)
    gradients = [torch.ones_like(each) for each in classifier.parameters()]
    for parameter, gradient in zip(classifier.parameters(), gradients, strict=True):
        parameter.grad = gradient
    state = {name: each.clone() for name, each in classifier.state_dict().items()}
    random = torch.get_rng_state()
    images, targets = pictures(3)
    found = class_activation_maps(
        method, classifier.backbone, classifier.layer, images, targets, chunk=16
    )
    assert not found.requires_grad
    assert not images.requires_grad
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), random)
    for module in classifier.modules():
        assert not module.training
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
    for parameter, gradient in zip(classifier.parameters(), gradients, strict=True):
        assert parameter.grad is gradient
        assert (gradient == 1).all()
        assert parameter.requires_grad is not frozen
    assert all(torch.equal(each, state[n]) for n, each in classifier.state_dict().items())


@pytest.mark.parametrize("method", METHODS)
def test_hooks_are_removed_after_an_error_too(method: CamMethod) -> None:
    classifier = small_classifier()
    images, targets = pictures(3)
    with pytest.raises((RuntimeError, IndexError)):
        class_activation_maps(
            method, classifier.backbone, classifier.layer, images, targets + 9, chunk=16
        )
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in classifier.modules())


@pytest.mark.parametrize("method", METHODS)
def test_works_where_gradients_are_off(method: CamMethod) -> None:
    classifier = small_classifier()
    images, targets = pictures(2)
    arguments = (method, classifier.backbone, classifier.layer, images, targets)
    expected = class_activation_maps(*arguments, chunk=16)
    with torch.no_grad():
        assert torch.equal(class_activation_maps(*arguments, chunk=16), expected)


def test_training_mode_is_refused() -> None:
    classifier = small_classifier().train()
    images, targets = pictures(2)
    with pytest.raises(ValueError, match=r"training mode; call eval\(\)"):
        class_activation_maps(
            "gradcam", classifier.backbone, classifier.layer, images, targets, chunk=2
        )
