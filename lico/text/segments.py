"""Token sequences that go on from a common beginning, and who sees whom in them."""

from collections.abc import Sequence
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

    @property
    def layout(self) -> "Layout":
        """What is the same for all segments of this form."""
        rows, length, _ = self.embeddings.shape
        if isinstance(self.after, Past):
            _, past_rows, past_length = self.after.keys.shape[:3]
            return Layout(rows, length, self.reads, None, (past_rows, past_length))
        return Layout(rows, length, self.reads, self.after, None)


class Layout(NamedTuple):
    """A segment without its numbers.

    Attributes:
        rows: sequences.
        length: tokens of each.
        reads: how many of these are read.
        after: number of the segment that comes before; None: no segment.
        past: rows and length of beginnings that never change; None: there are none.
    """

    rows: int
    length: int
    reads: int
    after: int | None
    past: tuple[int, int] | None

    @property
    def tokens(self) -> int:
        """Of all sequences."""
        return self.rows * self.length


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
        row = torch.arange(self.in_tile).repeat_interleave(self.own)
        place = torch.arange(self.own).repeat(self.in_tile)
        sees = (row[:, None] == row) & (place[:, None] >= place)
        sees = torch.cat([sees.new_ones(len(sees), self.past), sees], dim=1)
        sees = sees[place >= self.own - read]
        if self.in_tile == 1 and read == 1:
            return None
        return _additive(sees, like)


def tilings(layouts: Sequence[Layout]) -> list[Tiling]:
    """Tiles of about TILE tokens for every segment.

    Raises:
        ValueError: if the rows of a segment cannot be shared out among those before it.
    """
    result: list[Tiling] = []
    for rows, own, _, after, past in layouts:
        families, before = past or (rows, 0)
        if after is not None:
            families, before = layouts[after].rows, layouts[after].length
        if rows % families:
            raise ValueError(f"{rows} sequences cannot go on from {families} beginnings")
        members = rows // families
        result.append(Tiling(families, members, max(1, min(members, TILE // own)), before, own))
    return result


def packed_mask(layouts: Sequence[Layout], like: Tensor) -> Float[Tensor, "tokens tokens"]:
    """Who sees whom if all segments lie behind one another in one sequence.

    Args:
        layouts: each after another one, or after nothing.
        like: has the device and the type.
    """
    total = sum(each.tokens for each in layouts)
    sees = torch.zeros(total, total, dtype=torch.bool)
    start, starts = 0, list[int]()
    for rows, length, _, after, _ in layouts:
        starts.append(start)
        own = slice(start, start + rows * length)
        sees[own, own] = torch.block_diag(*[torch.ones(length, length).tril()] * rows).bool()
        if after is not None:
            before = layouts[after]
            family = torch.ones(rows * length // before.rows, before.length)
            begin = starts[after]
            seen = torch.block_diag(*[family] * before.rows).bool()
            sees[own, begin : begin + before.tokens] = seen
        start = own.stop
    return _additive(sees, like)


def _additive(sees: Bool[Tensor, "queries keys"], like: Tensor) -> Tensor:
    """0 where a token sees another, -inf elsewhere."""
    mask = torch.zeros(sees.shape, dtype=like.dtype)
    return mask.masked_fill_(~sees, float("-inf")).to(like.device)
