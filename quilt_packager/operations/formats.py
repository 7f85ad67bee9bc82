"""Formats of sizes, times, counts and prices in the command and on the page."""

KIBI = 1024
UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")

AGES = (("min", 60, 90), ("h", 3600, 48))
"""Units of age: name, seconds, and number from which the next unit is used."""


def size(size_bytes: int) -> str:
    """Format a size in binary units.

    Example:
        >>> size(5), size(1130), size(61 * 1024), size(1_539_316_278_886)
        ('5 B', '1.1 KiB', '61 KiB', '1.4 TiB')
    """
    if size_bytes < KIBI:
        return f"{size_bytes} B"
    value, unit = float(size_bytes), "B"
    for larger in UNITS:
        # A size that rounds to 1024 belongs to the next unit.
        if round(value) < KIBI:
            break
        value, unit = value / KIBI, larger
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"  # noqa: PLR2004


def duration(seconds: float) -> str:
    """Format a duration, with tenths of a second below a minute.

    Example:
        >>> duration(0.34), duration(9.04), duration(151), duration(3_725)
        ('0.3 s', '9.0 s', '2:31', '1:02:05')
    """
    if seconds < 59.95:  # noqa: PLR2004 - a value that rounds to 60.0 s is a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def age(seconds: float) -> str:
    """Format an age or a waiting time in its largest unit.

    Example:
        >>> age(0.3), age(41), age(3 * 60 + 50), age(22 * 3600), age(13 * 86_400)
        ('0 s', '41 s', '4 min', '22 h', '13 d')
    """
    if seconds < 59.5:  # noqa: PLR2004 - a value that rounds to 60 s is a minute
        return f"{max(seconds, 0):.0f} s"
    for name, length, longest in AGES:
        if round(seconds / length) < longest:
            return f"{round(seconds / length)} {name}"
    return f"{round(seconds / 86_400):,} d"


def count(number: int, noun: str) -> str:
    """Format a number with its noun.

    Example:
        >>> count(1, "object"), count(12408, "object"), count(2, "entry"), count(2, "day")
        ('1 object', '12,408 objects', '2 entries', '2 days')
    """
    if number == 1:
        return f"{number:,} {noun}"
    is_regular = noun[-1] != "y" or noun[-2] in "aeiou"
    return f"{number:,} {noun}s" if is_regular else f"{number:,} {noun[:-1]}ies"


def span(least_seconds: float, most_seconds: float) -> str:
    """Format a range of durations.

    Example:
        >>> span(110, 250), span(2, 5), span(41, 250), span(3, 3.2)
        ('2 to 4 min', '2 to 5 s', '41 s to 4 min', 'about 3 s')
    """
    least, most = age(least_seconds), age(most_seconds)
    if least == most:
        return f"about {most}"
    number, _, unit = least.partition(" ")
    return f"{number if most.endswith(f' {unit}') else least} to {most}"


def usd(dollars: float) -> str:
    """Format a price in US dollars.

    Example:
        >>> usd(0.00931), usd(17.6), usd(0.00000004)
        ('$0.0093', '$17.60', 'less than $0.0001')
    """
    if dollars < 0.0001:  # noqa: PLR2004 - the smallest price with four digits
        return "less than $0.0001"
    return f"${dollars:.4f}" if dollars < 1 else f"${dollars:,.2f}"
