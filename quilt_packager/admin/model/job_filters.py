"""Filters of the job list. The URL is the state, so a filter survives a reload."""

import fnmatch
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Self
from urllib.parse import urlencode

from quilt_packager.admin.model.periods import DAY, PERIODS, Period
from quilt_packager.operations.jobs.job import Job, State

ROWS = 50
"""Number of jobs on one page of the list."""

WILDCARDS = frozenset("*?[")

STATES = {str(state): state for state in State}

Key = tuple[int, str]
"""Unique position of a job in time."""


class Filter(NamedTuple):
    """A filter of the job list.

    Attributes:
        period: Period to show.
        name: Glob for the package name; without wildcards, a part of it.
        outcome: Only jobs with this outcome; None for all.
        before: Only jobs below this key, for the next page.
    """

    period: Period = DAY
    name: str = ""
    outcome: State | None = None
    before: Key | None = None

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Self:
        """Parse the query of a URL, ignoring unknown values.

        Example:
            >>> Filter.from_query({"since": "7d", "outcome": "odd"}).query()
            'since=7d'
        """
        return cls(
            PERIODS.get(query.get("since", ""), DAY),
            query.get("name", "").strip(),
            STATES.get(query.get("outcome", "")),
            read_key(query.get("before", "")),
        )

    def query(self, **extra: str) -> str:
        """Format the filter as the query of a URL, without defaults."""
        parameters = {
            "since": self.period.name if self.period != DAY else "",
            "name": self.name,
            "outcome": self.outcome or "",
            "before": write_key(self.before) if self.before else "",
            **extra,
        }
        return urlencode({name: value for name, value in parameters.items() if value})

    def url(self, path: str = "/jobs", **extra: str) -> str:
        """Format the filter as a URL."""
        query = self.query(**extra)
        return f"{path}?{query}" if query else path

    @property
    def is_narrow(self) -> bool:
        """Return True if the filter excludes jobs of the period."""
        return bool(self.name or self.outcome)

    def matches_name(self, job: Job) -> bool:
        """Return True if the name of a job's package matches."""
        if not self.name:
            return True
        name, wanted = (job.package_name or "").lower(), self.name.lower()
        if WILDCARDS.isdisjoint(wanted):
            return wanted in name or job.id.startswith(wanted)
        return fnmatch.fnmatchcase(name, wanted)


class Chosen(NamedTuple):
    """The jobs of a period that match a filter.

    Attributes:
        jobs: All matching jobs, newest first.
        rows: Jobs on this page.
        counts: Jobs with the name, by outcome.
        named: Number of jobs with the name.
        first: Number of the first row, from 1.
        older: Key that the next page begins below; None on the last page.
        total: Number of jobs in the period.
    """

    jobs: Sequence[Job]
    rows: Sequence[Job]
    counts: Mapping[str, int]
    named: int
    first: int
    older: Key | None
    total: int


def choose(jobs: Sequence[Job], wanted: Filter) -> Chosen:
    """Apply a filter to the jobs of its period, newest first."""
    named = [job for job in jobs if wanted.matches_name(job)]
    matching = [job for job in named if wanted.outcome in (None, job.outcome)]
    before = wanted.before
    below = matching if before is None else [job for job in matching if key_of(job) < before]
    rows = below[:ROWS]
    return Chosen(
        matching,
        rows,
        Counter(str(job.outcome) for job in named),
        len(named),
        len(matching) - len(below) + 1,
        key_of(rows[-1]) if len(below) > len(rows) else None,
        len(jobs),
    )


def count_newer(jobs: Sequence[Job], top: Key | None) -> int:
    """Count the jobs above the first visible row; None if there was no row."""
    return sum(top is None or key_of(job) > top for job in jobs)


def key_of(job: Job) -> Key:
    """Return the position of a job."""
    return milliseconds(job.started), job.id


def read_moment(text: str) -> datetime | None:
    """Parse a moment from a URL; None if it is invalid.

    Example:
        >>> read_moment("1795356128000"), read_moment("9" * 30), read_moment("²")
        (datetime.datetime(2026, 11, 22, 14, 2, 8, tzinfo=datetime.timezone.utc), None, None)
    """
    try:
        return datetime.fromtimestamp(int(text) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def milliseconds(at: datetime) -> int:
    """Convert a moment to milliseconds since the epoch."""
    return round(at.timestamp() * 1000)


def write_key(key: Key) -> str:
    """Format a key for a URL."""
    return f"{key[0]}.{key[1]}"


def read_key(text: str) -> Key | None:
    """Parse a key from a URL; None if it is invalid.

    Example:
        >>> read_key("1795356128000.3f9a"), read_key("odd")
        ((1795356128000, '3f9a'), None)
    """
    at, dot, job_id = text.partition(".")
    return (int(at), job_id) if dot and at.isascii() and at.isdigit() else None
