"""Scales of charts: a top that is easy to halve, and labels."""

import math
from collections.abc import Sequence

from quilt_packager.operations import formats

STEPS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
"""First digits of the top of a scale: half of it is a round number as well."""

HOUR_SECONDS = 3600
TIME_UNITS = (("h", HOUR_SECONDS), ("min", 60), ("s", 1))
SECONDS_OF_SCALES = (2, 4, 10, 20, 30, 60, 120, 240, 600, 1200, 1800, 3600, 7200, 14_400, 36_000)


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Return the nearest-rank percentile of numbers in ascending order; 0 without numbers.

    Example:
        >>> percentile([1, 2, 3, 40], 95), percentile([1, 2, 3, 40], 50), percentile([], 95)
        (40, 2, 0.0)
    """
    if not ordered:
        return 0.0
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]


def whole_top(most: int) -> int:
    """Return the top of a scale of whole numbers, half of which is a whole number as well.

    Example:
        >>> [whole_top(most) for most in (0, 1, 3, 9, 20, 21, 130)]
        [2, 2, 4, 10, 20, 24, 160]
    """
    return 2 * math.ceil(_round_up(max(most, 2) / 2))


def size_scale(most_bytes: int) -> tuple[float, tuple[str, str, str]]:
    """Return the top of a scale of sizes, and its labels from the top down.

    Example:
        >>> size_scale(0)[1], size_scale(3 * 2**30)[1], size_scale(700 * 2**30)[1]
        (('2 B', '1', '0'), ('4 GiB', '2', '0'), ('800 GiB', '400', '0'))
        >>> size_scale(1010 * 2**20)[1], size_scale(3 * 2**39)[1]
        (('2 GiB', '1', '0'), ('2 TiB', '1', '0'))
    """
    unit, unit_bytes = "B", 1
    for larger in formats.UNITS:
        if most_bytes / unit_bytes <= 1000:  # noqa: PLR2004 - 1,000 MiB is 1 GiB on an axis
            break
        unit, unit_bytes = larger, unit_bytes * formats.KIBI
    top = whole_top(-(-most_bytes // unit_bytes))  # exact above 2**53 as well
    return top * unit_bytes, (f"{top:,} {unit}", f"{top // 2:,}", "0")


def seconds_scale(most_seconds: float) -> tuple[float, tuple[str, str, str]]:
    """Return the top of a scale of durations, and its labels from the top down.

    Example:
        >>> seconds_scale(0)[1], seconds_scale(54)[1], seconds_scale(900)[1]
        (('2 s', '1', '0'), ('60 s', '30', '0'), ('20 min', '10', '0'))
        >>> seconds_scale(200_000)
        (216000, ('60 h', '30', '0'))
    """
    top = next((each for each in SECONDS_OF_SCALES if most_seconds <= each), None)
    if top is None:
        top = HOUR_SECONDS * whole_top(math.ceil(most_seconds / HOUR_SECONDS))
    unit, length = next(each for each in TIME_UNITS if top >= 2 * each[1] or each[1] == 1)
    return top, (f"{top // length} {unit}", f"{top / length / 2:g}", "0")


def _round_up(number: float) -> float:
    magnitude: float = 10 ** math.floor(math.log10(number))
    return next(step * magnitude for step in STEPS if step * magnitude >= number)
