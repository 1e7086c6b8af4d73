"""A table as CSV, complete and in full precision, and as Markdown, to be read."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lico.analysis import numbers
from lico.analysis.measures import Measure
from lico.analysis.systems import system_of
from lico.analysis.table import Cell, Row, Table
from lico.atomic import write_atomically

ALL_RUNS = "all"  # in the CSV's column for the system


class Line(NamedTuple):
    """One number of the CSV.

    Attributes:
        table: name of the table.
        system: whose number it is.
        place: levels of the other axes, joined by " / ".
        saliency: method, where the metric has one.
        metric: key of the measure.
        statistic: value (one run), mean, total, std, difference, difference_std,
            difference_half_width (of the 95 % interval), paper, paper_std, paper_high,
            paper_difference, or missing.
        value: repr of a double, so that it reads back exactly; empty for missing.
        n: runs behind the number, or images behind one run's value, or seeds in a difference.
        runs: ids of the runs behind it, joined by spaces.
        note: undefined and infinite images of one run; the verdict of a difference; what is
            missing.
    """

    table: str
    system: str
    place: str
    saliency: str
    metric: str
    statistic: str
    value: str
    n: str = ""
    runs: str = ""
    note: str = ""


def write_tables(tables: list[Table], folder: Path) -> None:
    """Write `<name>.csv` and `<name>.md` of each table.

    Raises:
        ResultsError: if a file cannot be written.
    """
    for table in tables:
        write_atomically(folder / f"{table.name}.csv", to_csv(table).encode())
        write_atomically(folder / f"{table.name}.md", to_markdown(table).encode())


def to_csv(table: Table) -> str:
    """The long form: one number a line (`Line`)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Line._fields)
    for row in table.rows:
        writer.writerows(_lines(table, row))
    return text.getvalue()


def _lines(table: Table, row: Row) -> Iterator[Line]:
    for column, cell in zip(table.columns, row.cells, strict=True):
        start = (
            table.name,
            row.system or ALL_RUNS,
            " / ".join(row.place),
            row.saliency if column.saliency else "",
            column.key,
        )
        if row.missing:
            yield Line(*start, "missing", "", "0", "", row.missing)
        yield from _measured_lines(start, cell)
        yield from _difference_lines(start, cell)
        yield from _published_lines(start, cell)


_Start = tuple[str, str, str, str, str]


def _measured_lines(start: _Start, cell: Cell) -> Iterator[Line]:
    if cell.measured is None:
        return
    for run_id, value in cell.measured.values.items():
        score = cell.scores.get(run_id)
        count, note = "", ""
        if score:
            count = str(score.images)
            note = f"{score.undefined} undefined, {score.infinite} infinite"
        yield Line(*start, "value", repr(value), count, run_id, note)
    n, runs = str(cell.measured.n), " ".join(cell.measured.values)
    statistic = "total" if start[1] == ALL_RUNS else "mean"
    yield Line(*start, statistic, repr(cell.measured.mean), n, runs)
    if cell.measured.std is not None:
        yield Line(*start, "std", repr(cell.measured.std), n, runs)


def _difference_lines(start: _Start, cell: Cell) -> Iterator[Line]:
    if cell.difference is None:
        return
    change, n = cell.difference, str(cell.difference.n)
    yield Line(*start, "difference", repr(change.mean), n, "", cell.verdict or "")
    if change.std is not None and change.half_width is not None:
        yield Line(*start, "difference_std", repr(change.std), n)
        yield Line(*start, "difference_half_width", repr(change.half_width), n)


def _published_lines(start: _Start, cell: Cell) -> Iterator[Line]:
    number = cell.published
    if number is not None:
        note = "lower bound" if number.bound else ""
        yield Line(*start, "paper", repr(number.mean), "", "", note)
        if number.std is not None:
            yield Line(*start, "paper_std", repr(number.std))
        if number.high is not None:
            yield Line(*start, "paper_high", repr(number.high))
    if cell.published_difference is not None:
        yield Line(*start, "paper_difference", repr(cell.published_difference))


def to_markdown(table: Table) -> str:
    """Measured beside published; differences below; notes at the end."""
    parts = [f"# {table.title}", _grid(table)]
    if any(cell.difference for row in table.rows for cell in row.cells):
        parts += [f"## Difference to {system_of(table.reference).short}", _differences(table)]
    parts += ["\n".join(f"- {note}" for note in [*table.caption, *table.notes])]
    return "\n\n".join(parts) + "\n"


def _grid(table: Table) -> str:
    shows_paper = table.has_published()
    head = ["System", "Runs"]
    for column, paper in zip(table.columns, shows_paper, strict=True):
        head += [column.title, "paper"] if paper else [column.title]
    lines = [head]
    for row in table.rows:
        line = [row.label, row.missing or str(row.runs)]
        for column, cell, paper in zip(table.columns, row.cells, shows_paper, strict=True):
            line.append(numbers.measured(cell.measured, column, table.usual_n))
            if paper:
                line.append(numbers.published(cell.published, column))
        lines.append(line)
    return _pipes(lines)


def _differences(table: Table) -> str:
    head = ["System", *(column.title for column in table.columns)]
    lines = [
        [row.label, *map(_difference, row.cells, table.columns)]
        for row in table.rows
        if any(cell.difference for cell in row.cells)
    ]
    return _pipes([head, *lines])


def _difference(cell: Cell, column: Measure) -> str:
    text = numbers.difference(cell.difference, column)
    if cell.published_difference is not None:
        text += f"; paper {numbers.signed(cell.published_difference, column.decimals)}"
    return f"{text}; {cell.verdict}" if cell.verdict else text


def _pipes(lines: list[list[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(lines[0]) - 1)
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])
