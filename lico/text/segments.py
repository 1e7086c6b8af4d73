"""Token sequences that go on from a common beginning, and who sees whom in them."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the field's name)

TILE = 32  # tokens that attend together; sequences that share a tile are blind to each other


@dataclass(frozen=True)
class Past:
    """Keys and values of beginnings that never change, for each layer.

    Attributes:
        keys: [layers, rows, length, heads, width of a head]; one row, or one a sequence.
        values: likewise.
    """

    keys: Tensor
    values: Tensor

    def repeat(self, copies: int) -> "Past":
        """The same beginnings several times over."""
        return Past(*(each.repeat(1, copies, 1, 1, 1) for each in (self.keys, self.values)))


class Segment(NamedTuple):
    """Sequences of one length.

    Attributes:
        embeddings: [rows, length, width], without positions.
        start: position of the first token.
        after: what comes before: beginnings that never change, or the number of an earlier
            segment, whose rows have equally many rows of this one each; None: nothing.
        read: how many last tokens of each sequence are read; None: all.
    """

    embeddings: Float[Tensor, "rows length width"]
    start: int = 0
    after: Past | int | None = None
    read: int | None = None

    @property
    def reads(self) -> int:
        """How many tokens of each sequence are read."""
        return self.embeddings.shape[1] if self.read is None else self.read


class Tiling(NamedTuple):
    """How the rows of a segment lie in tiles.

    Attributes:
        families: rows of what comes before (at least 1).
        members: rows of the segment for each of those.
        in_tile: members that attend in one problem.
        past: tokens before.
        own: tokens of a row.
    """

    families: int
    members: int
    in_tile: int
    past: int
    own: int

    @property
    def tiles(self) -> int:
        """Problems of one family."""
        return -(-self.members // self.in_tile)

    def problems(self, x: Float[Tensor, "rows tokens heads width"]) -> Tensor:
        """[problems, heads, tokens of a tile, width of a head]; the last tile filled with zeros."""
        rows = x.view(self.families, self.members, *x.shape[1:])
        missing = self.tiles * self.in_tile - self.members
        if missing:
            rows = F.pad(rows, (0, 0, 0, 0, 0, 0, 0, missing))
        tiles = rows.reshape(self.families * self.tiles, -1, *x.shape[2:])
        return tiles.transpose(1, 2)

    def rows(self, y: Float[Tensor, "problems heads tokens width"]) -> Float[Tensor, "tokens all"]:
        """The way back, heads side by side."""
        width = y.shape[1] * y.shape[3]
        tiles = y.transpose(1, 2).reshape(self.families, self.tiles * self.in_tile, -1, width)
        return tiles[:, : self.members].reshape(-1, width)

    def before(self, x: Float[Tensor, "families past heads width"]) -> Tensor:
        """Keys or values of what comes before, for each problem."""
        each = x[:, None].expand(-1, self.tiles, -1, -1, -1).flatten(0, 1)
        return each.transpose(1, 2)

    def mask(self, read: int, like: Tensor) -> Float[Tensor, "queries keys"] | None:
        """0 for what the last `read` tokens of each row see, -inf for the rest; None: all."""
        row = torch.arange(self.in_tile, device=like.device).repeat_interleave(self.own)
        place = torch.arange(self.own, device=like.device).repeat(self.in_tile)
        sees = (row[:, None] == row) & (place[:, None] >= place)
        sees = torch.cat([sees.new_ones(len(sees), self.past), sees], dim=1)
        sees = sees[place >= self.own - read]
        if self.in_tile == 1 and read == 1:
            return None
        return _additive(sees, like)


def tilings(segments: list[Segment]) -> list[Tiling]:
    """Tiles of about TILE tokens for every segment.

    Raises:
        ValueError: if the rows of a segment cannot be shared out among those before it.
    """
    result: list[Tiling] = []
    for segment in segments:
        rows, own, _ = segment.embeddings.shape
        families, past = rows, 0
        if isinstance(segment.after, Past):
            families, past = segment.after.keys.shape[1:3]
        elif segment.after is not None:
            families, past = segments[segment.after].embeddings.shape[:2]
        if rows % families:
            raise ValueError(f"{rows} sequences cannot go on from {families} beginnings")
        members = rows // families
        result.append(Tiling(families, members, max(1, min(members, TILE // own)), past, own))
    return result


def packed_mask(segments: list[Segment], like: Tensor) -> Float[Tensor, "tokens tokens"]:
    """Who sees whom if all segments lie behind one another in one sequence.

    Args:
        segments: each after another one, or after nothing.
        like: has the device and the type.
    """
    sees = torch.zeros(0, 0, dtype=torch.bool)
    starts: list[int] = []
    for segment in segments:
        rows, length, _ = segment.embeddings.shape
        old, new = len(sees), len(sees) + rows * length
        starts.append(old)
        larger = torch.zeros(new, new, dtype=torch.bool)
        larger[:old, :old] = sees
        own = torch.ones(length, length, dtype=torch.bool).tril()
        larger[old:, old:] = torch.block_diag(*[own] * rows)
        if isinstance(segment.after, int):
            before = segments[segment.after].embeddings
            begin, size = starts[segment.after], before.shape[0] * before.shape[1]
            families = torch.ones(rows * length // before.shape[0], before.shape[1])
            seen = torch.block_diag(*[families.bool()] * before.shape[0])
            larger[old:, begin : begin + size] = seen
        sees = larger
    return _additive(sees.to(like.device), like)


def _additive(sees: Bool[Tensor, "queries keys"], like: Tensor) -> Tensor:
    """0 where a token sees another, -inf elsewhere."""
    mask = torch.zeros(sees.shape, dtype=like.dtype, device=like.device)
    return mask.masked_fill_(~sees, float("-inf"))
