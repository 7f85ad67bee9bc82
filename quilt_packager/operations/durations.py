"""How the command and the page read a moment in the past: `2h`, `7d`, or a date."""

import re
from datetime import UTC, datetime, timedelta

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
AGO = re.compile(r"(?P<number>\d{1,9})\s*(?P<unit>[smhdw])")


def parse_since(text: str, now: datetime) -> datetime:
    """Read a moment in the past: a time ago, or a date with or without a time of day.

    Args:
        text: As `90s`, `30m`, `2h`, `7d`, `1w`, or ISO 8601. What names no zone is UTC.
        now: The moment that a time ago counts from.

    Returns:
        The moment, in UTC.

    Raises:
        ValueError: It is neither, or it is not in the past; the message is a sentence.

    Example:
        >>> now = datetime(2026, 11, 22, 13, 20, tzinfo=UTC)
        >>> print(parse_since("2h", now))
        2026-11-22 11:20:00+00:00
        >>> print(parse_since("2026-11-01", now))
        2026-11-01 00:00:00+00:00
        >>> print(parse_since("2026-11-01T09:30+01:00", now))
        2026-11-01 08:30:00+00:00
    """
    try:
        moment = _parse(text.strip(), now)
    except OverflowError:
        raise ValueError(f'"{text}" is longer ago than there are dates.') from None
    except ValueError:
        raise ValueError(
            f'"{text}" is neither a time ago, as 90s, 2h or 7d, nor a date, as 2026-11-01.'
        ) from None
    if moment > now:
        raise ValueError(f'"{text}" is in the future.')
    return moment


def _parse(text: str, now: datetime) -> datetime:
    if ago := AGO.fullmatch(text.lower()):
        return (now - timedelta(**{UNITS[ago["unit"]]: int(ago["number"])})).astimezone(UTC)
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
