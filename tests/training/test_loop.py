"""The loop: schedule, resume, clipping, and a loss that is no number."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from lico.config import Runtime, Training
from lico.data.loading import Batch, BatchLoader
from lico.errors import Interrupted, SupersededError
from lico.methods.ce import CrossEntropy
from lico.methods.step import StepLoss
from lico.models.classifier import Classifier, SmallResNet
from lico.results.claim import Claim
from lico.training.checkpoint import Checkpoint, Part, Progress
from lico.training.loop import Hooks, NonFiniteLossError, Place, train
from lico.training.processes import make_fabric
from lico.training.schedule import cosine_7_16
from tests.data.synthetic import TinyData


def one_process() -> Fabric:
    return make_fabric(Runtime(device="cpu"), "32")


def small_method() -> CrossEntropy:
    torch.manual_seed(0)
    return CrossEntropy(Classifier(SmallResNet(3)))


def small_loader() -> BatchLoader:
    return BatchLoader(
        TinyData(), size=16, batch_size=8, seed=0, augment=True, crop_scale=(0.3, 1.0)
    )


def run(
    method: nn.Module, folder: Path, stop_after: int | None = None, **changes: object
) -> Progress:
    """Train three epochs; `stop_after` steps raise KeyboardInterrupt."""
    settings = Training.model_validate({"epochs": 3, "learning_rate": 0.1, **changes})

    def progress(done: int, _whole: int) -> None:
        if done == stop_after:
            raise KeyboardInterrupt

    return train(
        one_process(),
        method,
        small_loader(),
        settings,
        Place(folder / "checkpoint.pt", folder / "tensorboard"),
        country="NLD",
        hooks=Hooks(on_step=progress),
    )


def test_schedule_is_the_cosine_to_seven_sixteenths() -> None:
    assert cosine_7_16(0, 100, 0.03) == 0.03
    assert cosine_7_16(100, 100, 0.03) / 0.03 == pytest.approx(0.19509, abs=1e-5)
    assert cosine_7_16(8, 16, 1) == pytest.approx(math.cos(7 * math.pi / 32))


def test_one_step_is_sgd_with_momentum_and_weight_decay(tmp_path: Path) -> None:
    """One epoch of one batch against the update written out."""
    method = small_method()
    before = {k: v.detach().clone() for k, v in method.named_parameters()}
    loader = BatchLoader(
        TinyData(), size=16, batch_size=20, seed=0, augment=False, crop_scale=(0.3, 1.0)
    )
    train(
        one_process(), method, loader,
        Training(epochs=1, learning_rate=0.1), Place(tmp_path / "c.pt", tmp_path / "t"),
        country="NLD",
    )  # fmt: skip
    again = small_method()
    (batch,) = loader.epoch(0)
    again(batch, 0).loss.backward()
    for name, parameter in again.named_parameters():
        assert parameter.grad is not None
        expected = before[name] - 0.1 * (parameter.grad + 1e-4 * before[name])
        actual = dict(method.named_parameters())[name]
        torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("stop_after", [1, 3, 5, 8])
def test_resumed_equals_uninterrupted_bit_by_bit(tmp_path: Path, stop_after: int) -> None:
    whole, cut = small_method(), small_method()
    expected = run(whole, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(cut, tmp_path / "cut", stop_after=stop_after)
    resumed = small_method()
    done = run(resumed, tmp_path / "cut")
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    for name in ("loss", "train_top1", "learning_rate"):
        assert done.curve[name] == expected.curve[name]
    assert done.epoch == 3


def checkpoint_at(path: Path) -> Checkpoint:
    method = small_method()
    optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
    fabric = one_process()
    return Checkpoint(path, fabric, method, optimizer, lambda: None)


def test_checkpoint_that_cannot_be_read_is_as_none(tmp_path: Path) -> None:
    checkpoint = checkpoint_at(tmp_path / "checkpoint.pt")
    half = Part(3, 24, {"loss": torch.tensor(1.5, dtype=torch.float64)}, 0.25)
    checkpoint.save(Progress(epoch=2, part=half))
    whole = checkpoint.path.read_bytes()
    assert checkpoint.load() == Progress(epoch=2, part=half)
    for content in (b"", b"nothing", whole[: len(whole) // 2]):
        checkpoint.path.write_bytes(content)
        assert checkpoint.load() is None
    assert checkpoint_at(tmp_path / "absent.pt").load() is None
    assert list(tmp_path.iterdir()) == [checkpoint.path]


def test_a_process_that_lost_its_run_writes_no_checkpoint(tmp_path: Path) -> None:
    claim = Claim.take(tmp_path / "claim.json")
    checkpoint = replace(checkpoint_at(tmp_path / "checkpoint.pt"), guard=claim.check)
    checkpoint.save(Progress(epoch=1))
    before = checkpoint.path.read_bytes()
    Claim.take(tmp_path / "claim.json")
    with pytest.raises(SupersededError, match="another process has taken this run over"):
        checkpoint.save(Progress(epoch=2))
    assert checkpoint.path.read_bytes() == before


@pytest.mark.parametrize("stop_after", [1, 2, 3, 4, 8])
def test_a_stop_at_any_step_goes_on_to_the_same_bits(tmp_path: Path, stop_after: int) -> None:
    """In the middle of an epoch, at its end, and at the last step of all but one epoch."""
    expected_method, method = small_method(), small_method()
    expected = run(expected_method, tmp_path / "whole")
    steps: list[int] = []

    def train_on(hooks: Hooks) -> Progress:
        return train(
            one_process(), method, small_loader(),
            Training(epochs=3, learning_rate=0.1),
            Place(tmp_path / "c.pt", tmp_path / "t"), country="NLD", hooks=hooks,
        )  # fmt: skip

    hooks = Hooks(
        on_step=lambda done, _whole: steps.append(done),
        should_stop=lambda: steps[-1] == stop_after,
    )
    with pytest.raises(Interrupted, match="goes on from there"):
        train_on(hooks)
    method.load_state_dict(small_method().state_dict())
    done = train_on(Hooks(on_step=lambda part, _whole: steps.append(part)))
    for name, value in expected_method.state_dict().items():
        assert torch.equal(method.state_dict()[name], value), name
    for name in ("loss", "train_top1", "learning_rate"):
        assert done.curve[name] == expected.curve[name]
    assert steps == [0, *range(1, stop_after + 1), stop_after, *range(stop_after + 1, 10)]


def test_a_long_epoch_is_saved_on_the_way(tmp_path: Path) -> None:
    """Killed without notice, it goes on from the last save and not from the epoch's start."""
    method, settings = small_method(), Training(epochs=1, learning_rate=0.1)

    def at_step(done: int, _whole: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(
            one_process(), method, small_loader(), settings,
            Place(tmp_path / "c.pt", tmp_path / "t"), country="NLD",
            checkpoint_minutes=1e-9, hooks=Hooks(on_step=at_step),
        )  # fmt: skip
    done = checkpoint_at(tmp_path / "c.pt").load()
    assert done is not None
    assert (done.epoch, done.part.steps) == (0, 2)
    assert done.energy_kwh > 0


class Diverging(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, batch: Batch, step: int) -> StepLoss:
        loss = self.weight.sum() * (float("nan") if step == 4 else 1.0)
        logits: Tensor = torch.zeros(len(batch.labels), 3)
        return StepLoss(loss, logits, {"optimal_transport": loss.detach()})

    def after_step(self) -> None:
        pass


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_part(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError, match=r"optimal_transport.*learning_rate"):
        run(Diverging(), tmp_path)


def test_gradients_are_clipped(tmp_path: Path) -> None:
    free, clipped = small_method(), small_method()
    run(free, tmp_path / "free", epochs=1)
    run(clipped, tmp_path / "clipped", epochs=1, clip_norm=1e-6, weight_decay=0.0)
    start = small_method()

    def moved(method: nn.Module) -> float:
        pairs = zip(method.parameters(), start.parameters(), strict=True)
        return float(torch.stack([(a - b).detach().norm() for a, b in pairs]).norm())

    assert moved(clipped) < 1e-5 < moved(free)


def test_curve_memory_and_tensorboard_are_kept(tmp_path: Path) -> None:
    done = run(small_method(), tmp_path)
    assert {len(values) for values in done.curve.values()} == {3}
    assert done.curve["images_per_second"][0] > 0
    assert done.peak_memory_bytes > 1e7
    assert done.energy_kwh > 0
    assert list((tmp_path / "tensorboard").glob("events.*"))
