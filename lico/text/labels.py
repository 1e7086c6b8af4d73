"""Class names as token sequences."""

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from lico.text.encoder import TextEncoder


@dataclass(frozen=True)
class LabelTokens:
    """The tokens of every class name (or caption), without SOS and EOT.

    Attributes:
        names: the texts.
        tokens: their token ids, of different lengths.
    """

    names: list[str]
    tokens: list[list[int]]

    @property
    def lengths(self) -> Int64[Tensor, " classes"]:
        """Tokens of each name."""
        return torch.tensor([len(tokens) for tokens in self.tokens])

    @property
    def longest(self) -> int:
        """Tokens of the longest name."""
        return max(len(tokens) for tokens in self.tokens)

    def padded_endings(self, eot: int, pad: int = 0) -> Int64[Tensor, "classes ending"]:
        """Name, EOT and padding for each class, as long as the longest name with its EOT."""
        length = self.longest + 1
        rows = [[*t, eot, *[pad] * (length - len(t) - 1)] for t in self.tokens]
        return torch.tensor(rows)


def tokenize_labels(
    names: list[str], encoder: TextEncoder, context_length: int, kind: str = "class name"
) -> LabelTokens:
    """Token ids of class names, or of other texts.

    Args:
        names: the texts.
        encoder: whose tokens.
        context_length: vectors of the context, which need room beside them.
        kind: what the texts are, for error messages.

    Raises:
        ValueError: if the context fills the encoder, or a name is empty, has a token that the
            encoder was not trained on, or is too long beside SOS, the context and EOT.
    """
    room = encoder.context_length - context_length - 2
    if room < 1:
        raise ValueError(
            f"prompt.context_length={context_length} leaves no room for a {kind}: the text encoder "
            f"has {encoder.context_length} tokens, and SOS, EOT and a word need three; "
            f"give {encoder.context_length - 3} at most"
        )
    tokens: list[list[int]] = []
    for name in names:
        ids = encoder.tokenizer.encode(name)
        if not ids:
            raise ValueError(f"{kind} {name!r} has no token; every {kind} needs a word")
        if len(ids) > room:
            raise ValueError(
                f"{kind} {name!r} has {len(ids)} tokens; with a context of {context_length} "
                f"the text encoder has room for {room}; shorten it or lower prompt.context_length"
            )
        if unknown := [i for i in ids if not encoder.known[i]]:
            raise ValueError(
                f"{kind} {name!r} has {len(unknown)} token(s) that the text encoder was not "
                "trained on; the embedded encoder knows the words of its own scenes alone, for "
                "others set text=clip"
            )
        tokens.append(ids)
    return LabelTokens(list(names), tokens)
