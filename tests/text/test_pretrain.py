"""The embedded text encoder: what its weights know, and that they can be made again."""

import json
import math
from pathlib import Path

import open_clip
import pytest
import torch
from open_clip.model import CLIP
from safetensors.torch import load_file

from lico import config
from lico.config import Text
from lico.data.scenes import CLASS_NAMES, SceneData
from lico.randomness import generator
from lico.text.loading import EMBEDDED, TextWeightsError, load_text_encoder
from lico.text.pretrain import (
    Pretraining,
    contrastive_loss,
    pretrain,
    run_pretraining,
    validation_scenes,
)
from lico.text.scenes_clip import ScenesClip, load_scenes_clip, zero_shot_accuracy
from lico.text.sentences import sentence, tokenize, tokens_in_use, zero_shot_prompts
from lico.text.token_rows import expand

WEIGHTS = EMBEDDED.with_suffix(".safetensors")
TINY = Pretraining(images=24, epochs=2, batch_size=12)


@pytest.fixture(scope="module")
def trained() -> ScenesClip:
    return load_scenes_clip(WEIGHTS)


def test_the_weights_know_the_classes(trained: ScenesClip) -> None:
    assert zero_shot_accuracy(trained, validation_scenes()) > 0.7


def test_the_weights_are_small() -> None:
    assert WEIGHTS.stat().st_size < 10_000_000


def test_open_clip_reads_the_texts_alike(trained: ScenesClip) -> None:
    open_clip.add_model_config(EMBEDDED.with_suffix(".json"))
    assert "scenes-clip" in open_clip.list_models()
    model = CLIP(**json.loads(EMBEDDED.with_suffix(".json").read_text()))
    model.load_state_dict(expand(load_file(WEIGHTS), 49408))
    tokens = open_clip.get_tokenizer("scenes-clip")(zero_shot_prompts())
    with torch.no_grad():
        expected = model.eval().encode_text(tokens, normalize=True)
        torch.testing.assert_close(trained.text_features(zero_shot_prompts()), expected)


def test_the_loader_finds_every_name_known() -> None:
    encoder = load_text_encoder(Text(model="scenes-clip", pretrained="embedded"))
    for name in [*CLASS_NAMES, "a photo of the", "four red stars on a dotted background"]:
        assert encoder.known[encoder.tokenizer.encode(name)].all(), name
    assert not encoder.known[encoder.tokenizer.encode("goldfish")].any()


def test_every_sentence_is_in_the_vocabulary_and_fits() -> None:
    data = SceneData(config.Scenes(train_images=480, spurious_correlation=0), 64, "train")
    tokenizer = open_clip.SimpleTokenizer()
    random = generator("test", "sentences")
    tokens = tokenize(tokenizer, [sentence(data[i], random) for i in range(len(data))])
    assert torch.isin(tokens, tokens_in_use(tokenizer)).all()
    assert tokens.shape[1] <= 32


def test_training_again_gives_the_same_bits(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    first, second, other = (tmp_path / f"{name}.safetensors" for name in ("a", "b", "c"))
    figures = pretrain(TINY, first, lambda done, whole: seen.append((done, whole)))
    torch.manual_seed(5)
    torch.rand(3)
    pretrain(TINY, second)
    pretrain(Pretraining(images=24, epochs=2, batch_size=12, seed=1), other)
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != other.read_bytes()
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert figures["megabytes"] < 10
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.safetensors", "b.safetensors", "c.safetensors",
    ]  # fmt: skip
    again = zero_shot_accuracy(load_scenes_clip(first), validation_scenes())
    assert again == figures["zero_shot_accuracy"]


def test_pretraining_leaves_the_threads_alone(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    pretrain(Pretraining(images=2, epochs=1, batch_size=2), tmp_path / "w.safetensors")
    assert torch.get_num_threads() == before


def test_contrastive_loss_by_hand() -> None:
    pictures = torch.eye(2)
    texts = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    # S = [[2, 2], [0, 0]]: rows give log 2 each, columns log(1 + e^-2) and log(1 + e^2).
    columns = (math.log1p(math.exp(-2)) + math.log1p(math.exp(2))) / 2
    loss = contrastive_loss(pictures, texts, torch.tensor(math.log(2)))
    assert loss.item() == pytest.approx((math.log(2) + columns) / 2)


def test_contrastive_loss_is_open_clips() -> None:
    random = torch.Generator().manual_seed(0)
    pictures, texts = (
        torch.nn.functional.normalize(torch.randn(7, 5, generator=random), dim=1) for _ in range(2)
    )
    expected = open_clip.ClipLoss()(pictures, texts, torch.tensor(3.0))
    torch.testing.assert_close(
        contrastive_loss(pictures, texts, torch.tensor(math.log(3))), expected
    )


def test_the_check_prints_the_accuracy(capsys: pytest.CaptureFixture[str]) -> None:
    before = WEIGHTS.read_bytes()
    run_pretraining(WEIGHTS, check_only=True)
    assert "zero-shot accuracy" in capsys.readouterr().out
    assert WEIGHTS.read_bytes() == before


def test_errors_say_what_to_do(tmp_path: Path, trained: ScenesClip) -> None:
    with pytest.raises(TextWeightsError, match="create it"):
        pretrain(TINY, tmp_path / "missing" / "w.safetensors")
    with pytest.raises(TextWeightsError, match="lico pretrain-text"):
        run_pretraining(tmp_path / "missing.safetensors", check_only=True)
    (tmp_path / "bad.safetensors").write_bytes(WEIGHTS.read_bytes()[:-9])
    with pytest.raises(TextWeightsError, match=r"bad\.safetensors"):
        load_scenes_clip(tmp_path / "bad.safetensors")
    with pytest.raises(ValueError, match="goldfish"):
        trained.text_features(["a picture of a goldfish"])
    with pytest.raises(ValueError, match="32 are allowed"):
        trained.text_features(["a star " * 20])
    with pytest.raises(ValueError, match="batch_size=3 is more than images=2"):
        Pretraining(images=2, batch_size=3)
    with pytest.raises(ValueError, match="epochs=0"):
        Pretraining(epochs=0)


def test_the_configuration_is_a_plain_clip(trained: ScenesClip) -> None:
    assert isinstance(trained.clip, CLIP)
