"""The embedded CLIP as a whole, image tower included: to train it and to measure what it knows."""

import json
from pathlib import Path

import open_clip  # pyright: ignore[reportMissingTypeStubs]
import torch
from jaxtyping import Float, Int64
from open_clip.model import CLIP  # pyright: ignore[reportMissingTypeStubs]
from safetensors import SafetensorError
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own name)

from lico.data.sample import ImageData
from lico.randomness import stream_seed
from lico.text.encoder import TextEncoder
from lico.text.loading import EMBEDDED, TextWeightsError
from lico.text.sentences import tokenize, zero_shot_prompts
from lico.text.token_rows import EMBEDDING, TOKEN_IDS, compact

IMAGE_SIZE = 64  # as in scenes-clip.json


class ScenesClip(nn.Module):
    """An open_clip model whose token embedding has the rows in use alone.

    Attributes:
        clip: the model; its state dict has open_clip's names.
        text: its text tower as prompts are read with it, but not frozen here.
        token_ids: which row is which token, ascending, [rows].
    """

    def __init__(self, token_ids: Int64[Tensor, " rows"], seed: int = 0) -> None:
        """Build the model of scenes-clip.json with fresh weights.

        Args:
            token_ids: the vocabulary, ascending.
            seed: of the weights.

        Raises:
            ValueError: if the ids are not ascending tokens of the model's vocabulary.
        """
        super().__init__()
        parts = json.loads(EMBEDDED.with_suffix(".json").read_text())
        with torch.random.fork_rng(devices=[]):  # pyright: ignore[reportUnknownMemberType]
            torch.manual_seed(stream_seed("scenes-clip", seed) >> 1)  # pyright: ignore[reportUnknownMemberType]
            self.clip: nn.Module = CLIP(**parts)
        rows = compact(self.clip.state_dict(), token_ids)[EMBEDDING]
        self.clip.token_embedding = nn.Embedding.from_pretrained(rows, freeze=False)  # pyright: ignore[reportUnknownMemberType]
        known = torch.ones(len(token_ids), dtype=torch.bool)
        self.text = TextEncoder(self.clip, open_clip.SimpleTokenizer(), known)
        self.token_ids = token_ids
        self.clip.requires_grad_(requires_grad=True)

    @property
    def log_scale(self) -> Float[Tensor, ""]:
        """t, where similarities are multiplied by exp(t)."""
        return self.clip.get_parameter("logit_scale")

    def image_features(
        self, images: Float[Tensor, "batch 3 64 64"]
    ) -> Float[Tensor, "batch width"]:
        """Unit vectors of normalised images."""
        return F.normalize(self.clip.get_submodule("visual")(images), dim=-1)

    def text_features(self, texts: list[str]) -> Float[Tensor, "texts width"]:
        """Unit vectors of texts: the output of the end token, of sequences cut behind the longest.

        Raises:
            ValueError: if a text has a word outside the vocabulary or is too long.
        """
        tokens = tokenize(self.text.tokenizer, texts)
        if tokens.shape[1] > self.text.context_length:
            raise ValueError(
                f"a text has {tokens.shape[1]} tokens; {self.text.context_length} are allowed"
            )
        if not torch.isin(tokens, self.token_ids).all():
            raise ValueError(f"a word of {texts} is outside the embedded vocabulary")
        rows = torch.searchsorted(self.token_ids, tokens)
        outputs = self.text(self.text.embed(rows))
        end = outputs[torch.arange(len(texts)), tokens.argmax(1)]  # its id is the highest
        return F.normalize(end, dim=-1)

    def state(self) -> dict[str, Tensor]:
        """A compact state dict: `token_rows.expand` makes open_clip's of it."""
        return {**self.clip.state_dict(), TOKEN_IDS: self.token_ids}


def load_scenes_clip(path: Path) -> ScenesClip:
    """The model with the weights of a file, in evaluation mode.

    Raises:
        TextWeightsError: if there is no such file or it is not of this model.
    """
    try:
        state = load_file(path)
        model = ScenesClip(state.pop(TOKEN_IDS))
        model.clip.load_state_dict(state)
    except (OSError, SafetensorError, KeyError, RuntimeError, ValueError) as error:
        raise TextWeightsError(
            f"{path} has no weights of {EMBEDDED.name} ({error.__class__.__name__}: "
            f'{str(error)[:300]}); run "lico pretrain-text" to make them'
        ) from error
    return model.eval()


def zero_shot_accuracy(model: ScenesClip, data: ImageData) -> float:
    """Share of scenes whose picture is nearest to the prompt of its own class.

    Args:
        model: in evaluation mode.
        data: scenes of 64 pixels.
    """
    with torch.no_grad():
        images = torch.stack([data[index].image for index in range(len(data))])
        pictures = model.image_features(normalised(images, data))
        names = model.text_features(zero_shot_prompts())
    nearest = (pictures @ names.T).argmax(1)
    return (nearest == data.labels).double().mean().item()


def normalised(images: Tensor, data: ImageData) -> Tensor:
    """Pictures of 0 to 255 as the network wants them."""
    mean, std = (torch.tensor(value)[:, None, None] for value in (data.mean, data.std))
    return ((images.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)
