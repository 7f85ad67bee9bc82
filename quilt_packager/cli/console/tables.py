"""Tables of text: aligned columns, fewer of them where there is little room, nothing cut.

One wide cell makes Rich's own tables cut every column. Here it widens its own row alone, and what
has sentences, the reason of a failure, stands in a line below its row.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from quilt_packager_runtime.errors import printable
from rich.cells import cell_len
from rich.text import Text

WIDE_COLUMNS = 100
"""From how many columns of the terminal on there is room for everything."""

MIN_COLUMN_WIDTH = 16
"""What the widest column keeps, however little room there is."""

GAP = "  "

Cell: TypeAlias = str | Text
"""Text of anybody, or `Text` of our own making, which may have a style."""


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        heading: What stands above it.
        right: Whether it is set flush right, as numbers are.
        wide: Whether it goes where the terminal has less than `WIDE_COLUMNS`.
    """

    heading: str
    right: bool = False
    wide: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        cells: One for each column.
        reason: A sentence to stand below them; in the same line where a line is a record.
    """

    cells: Sequence[Cell]
    reason: str = ""


class Line(NamedTuple):
    """A line of a table, and what belongs below it.

    Attributes:
        text: The cells, aligned.
        reason: As `Row` has it.
    """

    text: Text
    reason: str = ""


class Layout(NamedTuple):
    """A table as it is written.

    Attributes:
        lines: The headings, then the rows.
        reason_columns: How far the lines of reasons are indented: to the second column.
    """

    lines: Sequence[Line]
    reason_columns: int


def lay_out(
    columns: Sequence[str | Column], rows: Iterable[Sequence[Cell] | Row], *, width: int | None
) -> Layout:
    """Align the cells of a table.

    Args:
        columns: The columns, or only their headings.
        rows: The rows, or only their cells.
        width: How many columns the terminal has; None: it is none, and all is written.
    """
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
    lines = [
        Line(_join(line, kept, widths), row.reason) for row, line in zip(table, cells, strict=True)
    ]
    return Layout(lines, widths[0] + len(GAP))


def _as_text(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(printable(cell))


def _measure(
    cells: Sequence[Sequence[Text]], columns: Sequence[Column], width: int | None
) -> list[int]:
    """The columns' widths. Too wide a table has its widest column aligned less, but not cut."""
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
