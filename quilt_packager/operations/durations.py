"""Parses a time in the past: `2h`, `7d`, or a date."""

import re
from datetime import UTC, datetime, timedelta

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
AGO = re.compile(r"(?P<number>\d{1,9})\s*(?P<unit>[smhdw])")


def parse_since(text: str, now: datetime) -> datetime:
    """Parse a time in the past, and return it in UTC.

    Args:
        text: Age, such as `90s`, `30m`, `2h`, `7d` or `1w`, or ISO 8601. The default zone is UTC.
        now: Time from which an age counts.

    Raises:
        ValueError: The text is not valid, or in the future; the message is a sentence.

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
        raise ValueError(f'"{text}" is before the first date.') from None
    except ValueError:
        raise ValueError(
            f'"{text}" is neither an age, such as 90s, 2h or 7d, nor a date, such as 2026-11-01.'
        ) from None
    if moment > now:
        raise ValueError(f'"{text}" is in the future.')
    return moment


def _parse(text: str, now: datetime) -> datetime:
    if ago := AGO.fullmatch(text.lower()):
        return (now - timedelta(**{UNITS[ago["unit"]]: int(ago["number"])})).astimezone(UTC)
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
