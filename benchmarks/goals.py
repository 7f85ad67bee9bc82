"""The goals of the measurements."""

from collections.abc import Iterable

import msgspec

from benchmarks.tables import to_table


class Goal(msgspec.Struct, frozen=True):
    """A limit and the measured value.

    Attributes:
        what: The limited quantity.
        limit: Maximum, or minimum, value.
        measured: Measured value.
        unit: Unit of both values.
        is_floor: The limit is a minimum.
        decimals: Decimals to which the measured value is rounded; None for no rounding.
        elsewhere: Conditions that differ from the goal's, if any; there is no verdict then.
    """

    what: str
    limit: float
    measured: float
    unit: str = ""
    is_floor: bool = False
    decimals: int | None = None
    elsewhere: str = ""

    @property
    def is_reached(self) -> bool:
        """Return whether the measured value meets the limit.

        Example:
            >>> Goal("requests per object", limit=1.001, measured=1.00106).is_reached
            False
            >>> Goal("requests per object", limit=1.001, measured=1.00106, decimals=3).is_reached
            True
        """
        measured = self.measured if self.decimals is None else round(self.measured, self.decimals)
        return measured >= self.limit if self.is_floor else measured <= self.limit


def to_markdown(goals: Iterable[Goal]) -> str:
    """Format goals as a Markdown table.

    Example:
        >>> goal = Goal("requests per object", limit=1.001, measured=1.0013, decimals=3)
        >>> print(to_markdown([goal]).splitlines()[-1])
        | requests per object | at most 1.001, rounded to 3 decimals | 1.0013 | reached |
    """
    return to_table(["goal", "limit", "measured", ""], (_row(goal) for goal in goals), texts=4)


def _row(goal: Goal) -> list[str]:
    unit = f" {goal.unit}" if goal.unit else ""
    bound = "at least" if goal.is_floor else "at most"
    rounded = "" if goal.decimals is None else f", rounded to {goal.decimals} decimals"
    verdict = "reached" if goal.is_reached else "**not reached**"
    return [
        goal.what,
        f"{bound} {_write(goal.limit)}{unit}{rounded}",
        f"{_write(goal.measured)}{unit}",
        f"no verdict: measured {goal.elsewhere}" if goal.elsewhere else verdict,
    ]


def _write(value: float) -> str:
    """Format a number with five significant digits, or as an integer from 1,000 on.

    Example:
        >>> _write(131_234.5), _write(7.9649), _write(1.00106), _write(0.00106)
        ('131,234', '7.9649', '1.0011', '0.00106')
    """
    return f"{value:,.0f}" if value >= 1000 else f"{value:.5g}"  # noqa: PLR2004 - five digits
