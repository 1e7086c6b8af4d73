"""Text encoders from files in open_clip's own formats, and what is said when there is none."""

import json
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from lico.config import Text
from lico.text.loading import TextWeightsError, load_text_encoder, weights_file
from tests.text.towers import full_forward

CONFIG = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


@pytest.fixture
def model(tmp_path: Path) -> open_clip.CLIP:
    """A small CLIP under the name "small-clip-for-tests"."""
    path = tmp_path / "small-clip-for-tests.json"
    path.write_text(json.dumps(CONFIG))
    open_clip.add_model_config(path)
    torch.manual_seed(3)
    return open_clip.create_model("small-clip-for-tests", load_weights=False)


@pytest.mark.parametrize("suffix", ["safetensors", "pt", "wrapped.pt"])
def test_a_file_of_open_clip_weights_gives_open_clips_outputs(
    tmp_path: Path, model: open_clip.CLIP, suffix: str
) -> None:
    path = tmp_path / f"weights.{suffix}"
    state = model.state_dict()
    if suffix == "safetensors":
        save_file(state, path)
    elif suffix == "pt":
        torch.save(state, path)
    else:
        torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    before = torch.get_rng_state()
    encoder = load_text_encoder(Text(model="small-clip-for-tests", pretrained=str(path)))
    assert torch.equal(torch.get_rng_state(), before)
    tokens = open_clip.get_tokenizer("small-clip-for-tests")(["a small cat", "dog"])
    with torch.no_grad():
        expected = full_forward(model.eval(), model.token_embedding(tokens))  # type: ignore[arg-type]
        ours = encoder(encoder.embed(tokens))
    torch.testing.assert_close(ours, expected)
    assert bool(encoder.known.all())


def test_embedded_encoder_knows_its_own_words_alone() -> None:
    encoder = load_text_encoder(Text(model="scenes-clip", pretrained="embedded"))
    star, zebra = (encoder.tokenizer.encode(name) for name in ("star", "zebra"))
    assert all(bool(encoder.known[token]) for token in star)
    assert not all(bool(encoder.known[token]) for token in zebra)


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x00" * 100])
@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_unreadable_weights_are_named(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"weights.{suffix}"
    path.write_bytes(content)
    with pytest.raises(TextWeightsError, match=path.name):
        load_text_encoder(Text(model="scenes-clip", pretrained=str(path)))


def test_weights_of_another_model_are_named(tmp_path: Path, model: open_clip.CLIP) -> None:
    path = tmp_path / "other.pt"
    torch.save(model.state_dict(), path)
    with pytest.raises(TextWeightsError, match=r"other\.pt"):
        load_text_encoder(Text(model="scenes-clip", pretrained=str(path)))


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "touched",))  # type: ignore[return-value]

    path = tmp_path / "harmful.pt"
    torch.save({"weight": Harmful()}, path)
    with pytest.raises(TextWeightsError, match=r"harmful\.pt"):
        load_text_encoder(Text(model="scenes-clip", pretrained=str(path)))
    assert not (tmp_path / "touched").exists()


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(TextWeightsError, match=r"did you mean 'ViT-B-32'"):
        load_text_encoder(Text(model="ViT-B-3", pretrained="openai"))
    with pytest.raises(TextWeightsError, match=r"did you mean 'openai'"):
        weights_file(Text(pretrained="openia"))


def test_tag_without_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for download in (True, False):
        with pytest.raises(TextWeightsError, match=r"lico data clip.*text=embedded"):
            weights_file(Text(), download=download)
