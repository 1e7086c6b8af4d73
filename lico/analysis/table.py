"""A table as data: what was measured, beside what was published."""

from dataclasses import dataclass, field

from lico.analysis.measures import Measure
from lico.analysis.paper import Published
from lico.analysis.statistics import Difference, Score, Spread, Verdict, verdict


@dataclass(frozen=True)
class Cell:
    """One measure of one row.

    Attributes:
        measured: over seeds; None if no run has it.
        published: None where nothing was.
        difference: to the reference row of the same measure, paired by seed; None for the
            reference itself and where no seed is common.
        published_difference: of the published means.
        scores: by run id, where the value is a mean over images.
    """

    measured: Spread | None = None
    published: Published | None = None
    difference: Difference | None = None
    published_difference: float | None = None
    scores: dict[str, Score] = field(default_factory=dict[str, Score])

    @property
    def verdict(self) -> Verdict | None:
        """Whether the difference is beyond noise, and in the published one's direction."""
        if self.difference is None:
            return None
        return verdict(self.difference, self.published_difference)


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        label: in words.
        system: whose runs these are; "" for a line about all of them.
        cells: one a column.
        place: levels of the study's other axes.
        saliency: method of the cells that have one.
        runs: how many finished runs there are.
        expected: how many there should be, if known.
    """

    label: str
    system: str
    cells: list[Cell]
    place: tuple[str, ...] = ()
    saliency: str = ""
    runs: int = 0
    expected: int | None = None

    def run_ids(self) -> list[str]:
        """All runs behind the row's cells."""
        found = [cell.measured.values for cell in self.cells if cell.measured]
        return list({run_id: None for values in found for run_id in values})

    @property
    def missing(self) -> str | None:
        """What to say of a row without any run; None if it has one."""
        if self.runs:
            return None
        if self.expected == 0:
            return "not part of this study"
        return "no run" if self.expected is None else f"0 of {self.expected} runs"


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: of its files.
        title: in words, with the published table's number.
        columns: one measure each.
        rows: from top to bottom.
        caption: what a reader must know before comparing.
        notes: what the symbols mean.
        reference: row that differences are to, in words; "" if there are none.
    """

    name: str
    title: str
    columns: tuple[Measure, ...]
    rows: list[Row]
    caption: list[str]
    notes: list[str]
    reference: str = ""

    @property
    def usual_n(self) -> int:
        """The number of runs behind a system's cells if none is missing; others show theirs."""
        counts = [c.measured.n for row in self.rows if row.system for c in row.cells if c.measured]
        return max(counts, default=0)

    def has_published(self) -> list[bool]:
        """By column: whether any row has a published number."""
        return [
            any(row.cells[index].published for row in self.rows)
            for index in range(len(self.columns))
        ]
