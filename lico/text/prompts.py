"""Trainable prompts: the tokens' features of each class, with every exact saving.

The prompt of a class is SOS, the context vectors, the label's tokens, EOT; tokens 1 … M are
read, M = context + longest label + 1. It depends on the class and the step alone, so each class
is encoded once, not each image.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from lico.config import Prompt
from lico.text.encoder import TextEncoder
from lico.text.labels import LabelTokens


class Prompts(nn.Module):
    """The context vectors and what is needed to encode them around the labels.

    Attributes:
        context: [1, context, width], or [classes, context, width] if class-specific.
    """

    def __init__(self, encoder: TextEncoder, labels: LabelTokens, settings: Prompt) -> None:
        super().__init__()
        self.encoder = encoder
        self.settings = settings
        count = len(labels.names) if settings.class_specific else 1
        self.context = nn.Parameter(
            settings.init_std * torch.randn(count, settings.context_length, encoder.width)
        )
        tokenizer = encoder.tokenizer
        lengths = torch.tensor([len(t) for t in labels.tokens])
        with torch.no_grad():
            self.start: Tensor
            self.endings: Tensor
            self.lengths: Tensor
            start = encoder.embed(torch.tensor([tokenizer.sot_token_id]))
            endings = encoder.embed(labels.padded_endings(tokenizer.eot_token_id))
            self.register_buffer("start", start, persistent=False)
            self.register_buffer("endings", endings, persistent=False)
            self.register_buffer("lengths", lengths, persistent=False)

    @property
    def tokens(self) -> int:
        """M, how many token outputs a prompt has."""
        return self.settings.context_length + self.endings.shape[1]

    def forward(
        self, classes: Int64[Tensor, " classes"], order: Int64[Tensor, " context"] | None = None
    ) -> Float[Tensor, "classes tokens output"]:
        """Outputs of tokens 1 … M of the prompts of some classes.

        Args:
            classes: class indices, each once.
            order: a permutation of the context vectors, the same for all classes.
        """
        context = self.context if order is None else self.context[:, order]
        return self._encode(context[None], classes)[0]

    def rolled(self, classes: Int64[Tensor, " classes"]) -> Float[Tensor, "classes copies output"]:
        """EOT outputs of prompts whose context vectors are rolled by 0, 1, 2 … elements.

        Copy i has every context vector rolled by i along its width; there are as many copies as
        context vectors.

        Source: the LICO authors' written response of 2024 (docs/method.md).
        """
        copies = [torch.roll(self.context, i, -1) for i in range(self.settings.context_length)]
        outputs = self._encode(torch.stack(copies), classes)
        return torch.stack([self.eot(each, classes) for each in outputs], dim=1)

    def eot(
        self, outputs: Float[Tensor, "classes tokens output"], classes: Int64[Tensor, " classes"]
    ) -> Float[Tensor, "classes output"]:
        """The output of EOT among the outputs of tokens 1 … M."""
        index = self.settings.context_length + self.lengths[classes]
        return outputs[torch.arange(len(classes), device=index.device), index]

    def _encode(
        self,
        contexts: Float[Tensor, "copies owners context width"],
        classes: Int64[Tensor, " classes"],
    ) -> Float[Tensor, "copies classes tokens output"]:
        if not self.settings.class_specific and self.settings.label_position == "end":
            return self._shared_beginning(contexts[:, 0], classes)
        return self._whole_prompts(contexts, classes)

    def _shared_beginning(self, contexts: Tensor, classes: Tensor) -> Tensor:
        """SOS and context once, then the endings of all classes, blind to each other."""
        copies, endings = len(contexts), self.endings[classes]
        count, length, _ = endings.shape
        begin = 1 + self.settings.context_length
        start = self.start.expand(copies, 1, -1)
        behind = endings.flatten(0, 1).expand(copies, -1, -1)
        packed = torch.cat([start, contexts, behind], dim=1)
        positions, visible = _packed_layout(begin, count, length, packed.device)
        out = self.encoder(packed, positions, visible)
        beginning = out[:, None, 1:begin].expand(-1, count, -1, -1)
        return torch.cat([beginning, out[:, begin:].unflatten(1, (count, length))], dim=2)

    def _whole_prompts(self, contexts: Tensor, classes: Tensor) -> Tensor:
        """Each class's prompt in full, cut behind the last token that is read."""
        copies, count = len(contexts), len(classes)
        own = contexts[:, classes] if self.settings.class_specific else contexts
        own = own.expand(-1, count, -1, -1).flatten(0, 1)
        start = self.start.expand(copies * count, 1, -1)
        endings = self.endings[classes].repeat(copies, 1, 1)
        sequence = torch.cat([start, own, endings], dim=1)
        if self.settings.label_position == "front":
            lengths = self.lengths[classes].repeat(copies)
            order = _label_first(lengths, own.shape[1], sequence.shape[1])
            sequence = sequence.gather(1, order[:, :, None].expand_as(sequence))
        return self.encoder(sequence)[:, 1:].unflatten(0, (copies, count))


def _packed_layout(
    begin: int, count: int, length: int, device: torch.device
) -> tuple[Int64[Tensor, " packed"], Tensor]:
    """Positions and visibility of one beginning followed by `count` endings of `length`."""
    total = begin + count * length
    index = torch.arange(total, device=device)
    ending = torch.where(index < begin, -1, (index - begin).div(length, rounding_mode="floor"))
    positions = torch.where(index < begin, index, begin + (index - begin) % length)
    same = (ending[:, None] == ending[None, :]) | (ending[None, :] == -1)
    return positions, same & (index[:, None] >= index[None, :])


def _label_first(
    lengths: Int64[Tensor, " classes"], context: int, total: int
) -> Int64[Tensor, "classes total"]:
    """Where each token of SOS, label, context, EOT, padding lies in SOS, context, label, …."""
    position = torch.arange(total, device=lengths.device).expand(len(lengths), -1)
    label_end = 1 + lengths[:, None]
    in_label = (position >= 1) & (position < label_end)
    in_context = (position >= label_end) & (position < label_end + context)
    moved = torch.where(in_label, position + context, position)
    return torch.where(in_context, position - lengths[:, None], moved)
