"""Trainable prompts: the tokens' features of each text, with every exact saving.

The prompt of a text (a class name or a caption) is SOS, the context vectors, the text's tokens,
EOT; tokens 1 … M are read, M = context + longest text + 1. It depends on the text and the step
alone, so each text is encoded once, not each image.
"""

from typing import Literal, NamedTuple, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from lico.config import Prompt
from lico.distinct import fixed_shapes
from lico.text.encoder import TextEncoder
from lico.text.labels import LabelTokens
from lico.text.segments import Past, Segment
from lico.text.tower import CausalTower

EOT, PAD = 1, 2  # rows of the vocabulary; SOS is row 0
LARGEST_PAST = 2**26  # numbers; beginnings that would need more are encoded again in each step


class Prompts(nn.Module):
    """The context vectors and what is needed to encode them around the texts.

    Attributes:
        context: [1, context, width], or [texts, context, width] if class-specific.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        labels: LabelTokens,
        settings: Prompt,
        precision: torch.dtype | None = None,
    ) -> None:
        """Keep what is needed of the encoder.

        Args:
            encoder: the frozen tower.
            labels: the texts.
            settings: context and its place.
            precision: of the tower's matrix products, that of its weights unless given; what
                never changes is encoded in that of the weights.
        """
        super().__init__()
        self.settings = settings
        self.output_width = encoder.output_width
        count = len(labels.names) if settings.class_specific else 1
        self.context = nn.Parameter(
            settings.init_std * torch.randn(count, settings.context_length, encoder.width)
        )
        self.tower = encoder.fast()
        self.encoder = encoder if self.tower is None else None
        self.lengths: Tensor
        self.register_buffer("lengths", labels.lengths, persistent=False)
        self._keep_embeddings(encoder, labels)
        if self.tower is not None:
            self._keep_past(self.tower)
            if precision is not None:
                self.tower.use(precision)

    @property
    def tokens(self) -> int:
        """M, how many token outputs a prompt has."""
        return self.settings.context_length + self.endings.shape[1]

    def forward(
        self, texts: Int64[Tensor, " texts"], order: Int64[Tensor, " context"] | None = None
    ) -> Float[Tensor, "texts tokens output"]:
        """Outputs of tokens 1 … M of the prompts of some texts.

        Args:
            texts: indices, each once.
            order: a permutation of the context vectors, the same for all texts.
        """
        return joined(self.pieces(texts, order), len(texts))

    def pieces(
        self, texts: Int64[Tensor, " texts"], order: Int64[Tensor, " context"] | None = None
    ) -> list[Float[Tensor, "rows tokens output"]]:
        """The same outputs in pieces; one that all texts share has a single row."""
        context = self.context if order is None else self.context[:, order]
        return [each[0] for each in self._encode(context[None], texts, eot_only=False)]

    def rolled(
        self, texts: Int64[Tensor, " texts"], roll: Literal["alike", "apart"] = "alike"
    ) -> Float[Tensor, "texts copies output"]:
        """EOT outputs of prompts with rolled contexts, as many copies as context vectors.

        Args:
            texts: indices, each once.
            roll: "alike" rolls every context vector by one element along its width in every copy,
                so that the copies are equal and one is encoded; "apart" rolls copy i by i.

        Source: the LICO authors' written response of 2024 (docs/method.md).
        """
        copies = self.settings.context_length
        shifts = [1] if roll == "alike" else range(copies)
        contexts = torch.stack([torch.roll(self.context, shift, -1) for shift in shifts])
        (outputs,) = self._encode(contexts, texts, eot_only=True)
        outputs = outputs[:, :, 0].transpose(0, 1)
        return outputs.expand(-1, copies, -1)

    def eot(
        self, outputs: Float[Tensor, "texts tokens output"], texts: Int64[Tensor, " texts"]
    ) -> Float[Tensor, "texts output"]:
        """The output of EOT among the outputs of tokens 1 … M."""
        index = self.settings.context_length + self.lengths[texts]
        return outputs[torch.arange(len(texts), device=index.device), index]

    def _encode(
        self,
        contexts: Float[Tensor, "copies owners context width"],
        texts: Int64[Tensor, " texts"],
        *,
        eot_only: bool,
    ) -> list[Float[Tensor, "copies rows tokens output"]]:
        in_front = self.settings.label_position == "front"
        if self.tower is None or (in_front and fixed_shapes(texts.device)):
            return [self._whole(contexts, texts, eot_only=eot_only)]
        layout = self._label_first if in_front else self._label_last
        return layout(self.tower, contexts, texts, eot_only=eot_only)

    def _label_last(
        self, tower: CausalTower, contexts: Tensor, texts: Tensor, *, eot_only: bool
    ) -> list[Tensor]:
        """SOS and a shared context once, or contexts of their own behind a constant SOS."""
        copies, size = len(contexts), self.settings.context_length
        specific = self.settings.class_specific
        start = self.vocabulary[:1].expand(copies, 1, -1)
        shared = Segment(torch.cat([start, contexts[:, 0]], 1), read=0 if eot_only else size)
        segments = [] if specific else [shared]
        alike = not eot_only or fixed_shapes(texts.device)
        groups = [Group(texts, slice(None), self.longest)] if alike else self._groups(texts)
        for group in groups:
            tokens = self.endings[group.texts, : group.length + 1]
            embeddings = self.vocabulary[tokens].expand(copies, -1, -1, -1)
            if specific:
                embeddings = torch.cat([contexts[:, group.texts], embeddings], 2)
            segments.append(
                Segment(
                    embeddings.flatten(0, 1),
                    start=1 if specific else 1 + size,
                    after=Past(self.past_keys, self.past_values) if specific else 0,
                    read=None if alike else 1,
                )
            )
        outputs = tower(segments)
        endings = _in_order(outputs if specific else outputs[1:], groups, copies)
        if eot_only and alike:
            before = endings.shape[2] - 1 - self.longest
            place = torch.arange(len(texts), device=texts.device)
            endings = endings[:, place, before + self.lengths[texts], None]
        return [endings] if specific or eot_only else [outputs[0][:, None], endings]

    def _label_first(
        self, tower: CausalTower, contexts: Tensor, texts: Tensor, *, eot_only: bool
    ) -> list[Tensor]:
        """Context and EOT behind SOS and label, whose keys and values never change."""
        copies, groups = len(contexts), self._groups(texts)
        segments: list[Segment] = []
        labels: list[Tensor] = []
        for group in groups:
            count, before = len(group.texts), 1 + group.length
            own = contexts[:, group.texts] if self.settings.class_specific else contexts
            pads = 0 if eot_only else self.longest - group.length
            padding = self.vocabulary[PAD].expand(pads, -1)
            behind = torch.cat([self.vocabulary[EOT : EOT + 1], padding])
            behind = behind.expand(copies, count, -1, -1)
            embeddings = torch.cat([own.expand(-1, count, -1, -1), behind], 2).flatten(0, 1)
            past, label = self._beginnings(tower, group)
            segments.append(
                Segment(embeddings, before, past.repeat(copies), read=1 if eot_only else None)
            )
            labels.append(label.repeat(copies, 1, 1))
        outputs = tower(segments)
        if not eot_only:
            outputs = [torch.cat(pair, 1) for pair in zip(labels, outputs, strict=True)]
        return [_in_order(outputs, groups, copies)]

    def _whole(self, contexts: Tensor, texts: Tensor, *, eot_only: bool) -> Tensor:
        """Each prompt in full; without the fast tower by the encoder's own modules."""
        copies, count = len(contexts), len(texts)
        own = contexts[:, texts] if self.settings.class_specific else contexts
        own = own.expand(-1, count, -1, -1).flatten(0, 1)
        start = self.vocabulary[:1].expand(copies * count, 1, -1)
        endings = self.vocabulary[self.endings[texts]].repeat(copies, 1, 1)
        sequence = torch.cat([start, own, endings], dim=1)
        lengths = self.lengths[texts].repeat(copies)
        if self.settings.label_position == "front":
            order = _label_in_front(lengths, own.shape[1], sequence.shape[1])
            sequence = sequence.gather(1, order[:, :, None].expand_as(sequence))
        if self.tower is not None:
            (outputs,) = self.tower([Segment(sequence, read=self.tokens)])
        else:
            outputs = self._by_own_modules(sequence, 2 + own.shape[1] + lengths)
        if eot_only:
            outputs = self.eot(outputs, texts.repeat(copies))[:, None]
        return outputs.unflatten(0, (copies, count))

    def _by_own_modules(self, sequence: Tensor, lengths: Tensor) -> Tensor:
        """Outputs of tokens 1 … M; a tower that isn't causal needs the whole context."""
        encoder = cast("TextEncoder", self.encoder)
        if not encoder.cuttable:
            missing = encoder.context_length - sequence.shape[1]
            pads = self.vocabulary[PAD].expand(len(sequence), missing, -1)
            sequence = torch.cat([sequence, pads], dim=1)
        return encoder(sequence, lengths)[:, 1 : 1 + self.tokens]

    def _groups(self, texts: Int64[Tensor, " texts"]) -> list["Group"]:
        """Texts of one length together; ragged sequences would need padding that nobody reads."""
        lengths = self.lengths[texts]
        groups: list[Group] = []
        for length in sorted(set(lengths.tolist())):
            place = (lengths == length).nonzero()[:, 0]
            groups.append(Group(texts[place], place, length))
        return groups

    def _beginnings(
        self, tower: CausalTower, group: "Group"
    ) -> tuple[Past, Float[Tensor, "group length output"]]:
        """SOS and label of some texts: keys and values, and the outputs of the label."""
        if self.keeps_labels:
            past = self.past_keys, self.past_values
            kept = (each[:, group.texts, : 1 + group.length] for each in past)
            return Past(*kept), self.label_outputs[group.texts, : group.length]
        start = self.vocabulary[:1].expand(len(group.texts), 1, -1)
        labels = self.vocabulary[self.endings[group.texts, : group.length]]
        past, outputs = tower.past(torch.cat([start, labels], 1))
        return past, outputs[:, 1:]

    def _keep_embeddings(self, encoder: TextEncoder, labels: LabelTokens) -> None:
        """Only of the tokens in use; SOS, EOT and padding first."""
        tokenizer = encoder.tokenizer
        fixed = torch.tensor([tokenizer.sot_token_id, tokenizer.eot_token_id, 0])
        names = labels.padded_endings(tokenizer.eot_token_id)
        used, places = names.unique(return_inverse=True)
        self.longest = labels.longest
        self.endings: Tensor
        self.vocabulary: Tensor
        self.register_buffer("endings", places + len(fixed), persistent=False)
        with torch.no_grad():
            rows = encoder.embed(torch.cat([fixed, used]))
        self.register_buffer("vocabulary", rows, persistent=False)

    def _keep_past(self, tower: CausalTower) -> None:
        """Keys and values of what no training changes: SOS, or SOS and label if not too large."""
        count, length = self.endings.shape
        numbers = 2 * tower.layers * count * length * self.vocabulary.shape[1]
        in_front = self.settings.label_position == "front"
        self.keeps_labels = in_front and numbers <= LARGEST_PAST
        start = self.vocabulary[None, :1]
        if self.keeps_labels:
            labels = self.vocabulary[self.endings[:, :-1]]
            start = torch.cat([start.expand(count, -1, -1), labels], 1)
        past, outputs = tower.past(start)
        self.past_keys: Tensor
        self.past_values: Tensor
        self.label_outputs: Tensor
        self.register_buffer("past_keys", past.keys, persistent=False)
        self.register_buffer("past_values", past.values, persistent=False)
        self.register_buffer("label_outputs", outputs[:, 1:], persistent=False)


def joined(
    pieces: list[Float[Tensor, "rows tokens width"]], texts: int
) -> Float[Tensor, "texts tokens width"]:
    """The pieces behind one another, for every text."""
    return torch.cat([each.expand(texts, -1, -1) for each in pieces], 1)


class Group(NamedTuple):
    """Texts of one length.

    Attributes:
        texts: which.
        place: where they stand among those asked for.
        length: in tokens.
    """

    texts: Int64[Tensor, " group"]
    place: Int64[Tensor, " group"] | slice
    length: int


def _in_order(outputs: list[Tensor], groups: list[Group], copies: int) -> Tensor:
    """[copies, texts, tokens, output], as the texts were asked for."""
    joined = torch.cat([each.unflatten(0, (copies, -1)) for each in outputs], 1)
    places = [group.place for group in groups if isinstance(group.place, Tensor)]
    return joined[:, torch.cat(places).argsort()] if places else joined


def _label_in_front(
    lengths: Int64[Tensor, " sequences"], context: int, total: int
) -> Int64[Tensor, "sequences total"]:
    """Where each token of SOS, label, context, EOT, padding lies in SOS, context, label, …."""
    position = torch.arange(total, device=lengths.device).expand(len(lengths), -1)
    label_end = 1 + lengths[:, None]
    in_label = (position >= 1) & (position < label_end)
    in_context = (position >= label_end) & (position < label_end + context)
    moved = torch.where(in_label, position + context, position)
    return torch.where(in_context, position - lengths[:, None], moved)
