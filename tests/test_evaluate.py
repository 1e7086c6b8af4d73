"""The whole evaluation against loops over single images, and what it leaves behind."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from lico import config
from lico.config import Model, Saliency
from lico.data.augment import apply_crop_flip, view_crop_flip
from lico.data.sample import Sample
from lico.data.scenes import SceneData
from lico.evaluate import SES_SCALE, STEP_ROWS, evaluate, gallery_indices
from lico.models.classifier import Classifier, build_classifier
from lico.results.format import Evaluation
from tests.metrics import literal as metrics
from tests.saliency import literal as maps
from tests.saliency.networks import randomise

SIZE = 24
IMAGES = 7
CPU = torch.device("cpu")
ALL = Saliency(
    methods=["gradcam", "gradcam_pp", "layercam", "scorecam", "rise"],
    batch_size=3,
    rise=config.Rise(masks=5),
    gallery_images=2,
)


@pytest.fixture(scope="module")
def data() -> SceneData:
    return SceneData(config.Scenes(val_images=IMAGES), SIZE, "val")


@pytest.fixture
def classifier() -> Classifier:
    torch.manual_seed(0)
    classifier = build_classifier(Model(name="small_resnet"), 12)
    randomise(classifier)
    return classifier.train()


def run(classifier: Classifier, data: SceneData, settings: Saliency = ALL) -> Evaluation:
    return evaluate(classifier, data, settings, device=CPU)


def normalised(data: SceneData, index: int) -> Tensor:
    mean, std = (torch.tensor(each)[:, None, None] for each in (data.mean, data.std))
    return (data[index].image.float() / 255 - mean) / std


def answer(classifier: Classifier) -> Callable[[Tensor], Tensor]:
    classifier.eval()

    @torch.no_grad()
    def of(image: Tensor) -> Tensor:
        return classifier(image[None])[0][0].softmax(0)

    return of


def gradcam(classifier: Classifier, image: Tensor, target: int) -> Tensor:
    """Native map of one image, scaled to [0, 1]."""
    logits, features = classifier.eval()(image[None])
    gradients = torch.autograd.grad(logits[0, target], features)[0][0]
    native = maps.gradcam(features[0].detach(), gradients)
    span = native.max() - native.min()
    return (native - native.min()) / span if span > 0 else torch.zeros_like(native)


def test_every_number_equals_a_loop_over_single_images(
    classifier: Classifier, data: SceneData
) -> None:
    found = run(classifier, data)
    of = answer(classifier)
    record = found.saliency["gradcam"]
    for index in range(IMAGES):
        image, sample = normalised(data, index), data[index]
        with torch.no_grad():
            logits = classifier(image[None])[0][0]
        np.testing.assert_allclose(found.logits[index], logits, rtol=1e-4, atol=1e-4)
        for k in (1, 5):
            expected = metrics.top_k_correct(logits.tolist(), sample.label, k)
            assert found.accuracy[f"top{k}"][index] == expected
        native = gradcam(classifier, image, sample.label)
        np.testing.assert_allclose(record.maps[index], native, atol=1e-4)
        saliency = maps.bilinear(torch.from_numpy(record.maps[index]), SIZE)
        ends = {
            "insertion": (metrics.blur(image), image),
            "deletion": (image, torch.zeros_like(image)),
        }
        areas: dict[str, float] = {}
        for name, (start, end) in ends.items():
            shares, values = metrics.curve(of, start, end, saliency, sample.label, STEP_ROWS * SIZE)
            np.testing.assert_allclose(record.fractions, shares)
            if not saliency.any():  # an empty map has no order of pixels
                values = [np.nan] * len(values)
            np.testing.assert_allclose(record.curves[name][index], values, atol=1e-4)
            areas[name] = metrics.area(shares, values)
        crop = view_crop_flip(SIZE, SES_SCALE, ALL.seed, 0, index, view=2)
        of_view = gradcam(classifier, apply_crop_flip(image, crop, SIZE), sample.label)
        moved = apply_crop_flip(saliency[None], crop, SIZE)[0]
        assert sample.mask is not None
        assert sample.spurious is not None
        expected_scores = {
            **areas,
            "combined": areas["insertion"] - areas["deletion"],
            "ses": metrics.ses(moved, maps.bilinear(of_view, SIZE)),
            "sch": metrics.sch(saliency, sample.mask),
            "mosu": metrics.mosu(saliency, sample.boxes),
            "spurious_share": metrics.spurious_share(saliency, sample.spurious),
        }
        assert set(record.scores) == set(expected_scores)
        for name, value in expected_scores.items():
            np.testing.assert_allclose(record.scores[name][index], value, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_the_batch_size_is_of_no_matter(
    classifier: Classifier, data: SceneData, batch_size: int
) -> None:
    one = run(classifier, data)
    other = run(classifier, data, ALL.model_copy(update={"batch_size": batch_size}))
    assert one.image_ids == other.image_ids
    assert len(one.image_ids) == IMAGES
    np.testing.assert_allclose(one.logits, other.logits, rtol=1e-4, atol=1e-5)
    for method, record in one.saliency.items():
        np.testing.assert_allclose(record.maps, other.saliency[method].maps, atol=1e-3)
        assert len(record.maps) == IMAGES
        for name, values in record.scores.items():
            assert values.shape == (IMAGES,)
            np.testing.assert_allclose(
                values, other.saliency[method].scores[name], atol=2e-2, err_msg=name
            )


def test_the_classifier_is_left_exactly_as_found(classifier: Classifier, data: SceneData) -> None:
    classifier.layer.eval()
    for index, parameter in enumerate(classifier.parameters()):
        parameter.requires_grad_(requires_grad=index % 2 == 0)
        parameter.grad = torch.full_like(parameter, 2.0) if index % 3 == 0 else None
    state = {name: each.clone() for name, each in classifier.state_dict().items()}
    modes = [each.training for each in classifier.modules()]
    wanted = [each.requires_grad for each in classifier.parameters()]
    generators = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    run(classifier, data)
    assert all(torch.equal(each, state[name]) for name, each in classifier.state_dict().items())
    assert [each.training for each in classifier.modules()] == modes
    assert [each.requires_grad for each in classifier.parameters()] == wanted
    for index, parameter in enumerate(classifier.parameters()):
        if index % 3 == 0:
            assert parameter.grad is not None
            assert torch.equal(parameter.grad, torch.full_like(parameter, 2.0))
        else:
            assert parameter.grad is None
    for module in classifier.modules():
        hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
        assert not any(hooks)
    assert torch.equal(torch.get_rng_state(), generators[0])
    np.testing.assert_array_equal(np.random.get_state()[1], generators[1])  # noqa: NPY002


class Unmarked(SceneData):
    """Scenes as CIFAR-100 would give them: no mask, no box, no spurious region."""

    def __getitem__(self, index: int) -> Sample:
        return replace(
            super().__getitem__(index), mask=None, boxes=torch.zeros(0, 4), spurious=None
        )


def test_without_masks_there_is_no_score_that_needs_them(classifier: Classifier) -> None:
    plain = Unmarked(config.Scenes(val_images=4), SIZE, "val")
    found = run(classifier, plain, Saliency())
    assert set(found.saliency["gradcam"].scores) == {"insertion", "deletion", "combined", "ses"}
    assert found.gallery_masks is None


def test_an_empty_map_is_undefined_and_not_a_number_made_up(
    classifier: Classifier, data: SceneData
) -> None:
    fc = classifier.backbone.get_submodule("fc")
    torch.nn.init.constant_(fc.get_parameter("weight"), -1.0)
    scores = run(classifier, data, Saliency()).saliency["gradcam"].scores
    for name in ("ses", "sch", "spurious_share"):
        assert np.isnan(scores[name]).all(), name


def test_nothing_to_evaluate_and_a_diverged_classifier_are_errors(
    classifier: Classifier, data: SceneData
) -> None:
    class Empty(SceneData):
        def __len__(self) -> int:
            return 0

    with pytest.raises(ValueError, match="no image"):
        run(classifier, Empty(config.Scenes(), SIZE, "val"))
    torch.nn.init.constant_(classifier.backbone.get_submodule("fc").get_parameter("bias"), np.nan)
    with pytest.raises(ValueError, match="diverged"):
        run(classifier, data)


def test_the_gallery_takes_classes_in_turn() -> None:
    labels = torch.tensor([0, 0, 1, 1, 2])
    assert gallery_indices(labels, 3) == [0, 2, 4]
    assert gallery_indices(labels, 4) == [0, 1, 2, 4]
    assert gallery_indices(labels, 99) == [0, 1, 2, 3, 4]
    assert gallery_indices(labels, 0) == []
