"""Tables of text: aligned, with fewer columns on narrow terminals, and never cut.

In Rich's own tables one wide cell cuts every column. Here it widens its own row only. Sentences,
such as the reason of a failure, go in a line below their row.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from quilt_packager_runtime.errors import printable
from rich.cells import cell_len
from rich.text import Text

WIDE_COLUMNS = 100
"""Minimum width of a terminal that shows all columns."""

MIN_COLUMN_WIDTH = 16
"""Minimum width of the widest column."""

GAP = "  "

Cell: TypeAlias = str | Text
"""Untrusted text, or `Text` with a style."""


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        heading: Its heading.
        right: Right-aligned, as for numbers.
        wide: Omitted on terminals narrower than `WIDE_COLUMNS`.
    """

    heading: str
    right: bool = False
    wide: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        cells: One for each column.
        reason: A sentence for the line below; in pipes, for the end of the row.
    """

    cells: Sequence[Cell]
    reason: str = ""


class AlignedRow(NamedTuple):
    """An aligned row with its reason."""

    text: Text
    reason: str = ""


class Layout(NamedTuple):
    """A table that is ready to be written.

    Attributes:
        rows: The headings, then the rows.
        reason_columns: Indentation of reasons: the second column.
    """

    rows: Sequence[AlignedRow]
    reason_columns: int


def lay_out(
    columns: Sequence[str | Column], rows: Iterable[Sequence[Cell] | Row], *, width: int | None
) -> Layout:
    """Align the cells of a table. Without a width, as in a pipe, it has all columns."""
    all_columns = [Column(each) if isinstance(each, str) else each for each in columns]
    shown = [width is None or width >= WIDE_COLUMNS or not each.wide for each in all_columns]
    kept = [column for column, is_shown in zip(all_columns, shown, strict=True) if is_shown]
    table = [Row([Text(each.heading, "dim") for each in all_columns])]
    table += [row if isinstance(row, Row) else Row(row) for row in rows]
    cells = [
        [_as_text(cell) for cell, is_shown in zip(row.cells, shown, strict=True) if is_shown]
        for row in table
    ]
    widths = _measure(cells, kept, width)
    aligned = [
        AlignedRow(_join(texts, kept, widths), row.reason)
        for row, texts in zip(table, cells, strict=True)
    ]
    return Layout(aligned, widths[0] + len(GAP))


def _as_text(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(printable(cell))


def _measure(
    cells: Sequence[Sequence[Text]], columns: Sequence[Column], width: int | None
) -> list[int]:
    """Return the widths of the columns. If the table is too wide, its widest column is narrowed."""
    widths = [max(each.cell_len for each in column) for column in zip(*cells, strict=True)]
    too_much = sum(widths) + len(GAP) * (len(widths) - 1) - (width or sum(widths) * 2)
    left = [number for number, column in enumerate(columns) if not column.right]
    if too_much > 0 and left:
        widest = max(left, key=lambda number: widths[number])
        widths[widest] = max(widths[widest] - too_much, min(widths[widest], MIN_COLUMN_WIDTH))
    return widths


def _join(cells: Sequence[Text], columns: Sequence[Column], widths: Sequence[int]) -> Text:
    line = Text()
    for number, (cell, column, width) in enumerate(zip(cells, columns, widths, strict=True)):
        padding = " " * (width - cell_len(cell.plain))
        line.append(GAP if number else "")
        line.append_text(Text(padding) + cell if column.right else cell + Text(padding))
    line.rstrip()
    return line
