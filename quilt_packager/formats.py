"""How the command writes sizes, times and counts."""

KIBI = 1024
UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def size(size_bytes: int) -> str:
    """A size in binary units.

    Example:
        >>> size(5), size(1130), size(61 * 1024), size(1_539_316_278_886)
        ('5 B', '1.1 KiB', '61 KiB', '1.4 TiB')
    """
    if size_bytes < KIBI:
        return f"{size_bytes} B"
    value, unit = float(size_bytes), "B"
    for larger in UNITS:
        # What would be written as 1024 belongs to the next unit.
        if round(value) < KIBI:
            break
        value, unit = value / KIBI, larger
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"  # noqa: PLR2004


def duration(seconds: float) -> str:
    """A duration, exact below a minute.

    Example:
        >>> duration(0.34), duration(9.04), duration(151), duration(3_725)
        ('0.3 s', '9.0 s', '2:31', '1:02:05')
    """
    if seconds < 59.95:  # noqa: PLR2004 - what would be written as 60.0 s is a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def count(number: int, noun: str) -> str:
    """A number with its noun.

    Example:
        >>> count(1, "object"), count(12408, "object")
        ('1 object', '12,408 objects')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
