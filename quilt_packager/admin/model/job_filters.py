"""Which jobs a list shows. The URL is the state: it survives reloads, and can be sent to others."""

import fnmatch
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Self
from urllib.parse import urlencode

from quilt_packager.admin.model.charts import DAY, PERIODS, Period
from quilt_packager.operations.jobs.job import Job, State

ROWS = 50
"""How many jobs a page of the list shows."""

WILDCARDS = frozenset("*?[")

STATES = {str(state): state for state in State}

Key = tuple[int, str]
"""A job's place in time, which no other job has."""


class Filter(NamedTuple):
    """What is wanted of the list.

    Attributes:
        period: How far back.
        name: A glob for the package's name; without wildcards, a part of it.
        outcome: Only such jobs; None: all.
        before: Only jobs below this place, for the next page.
    """

    period: Period = DAY
    name: str = ""
    outcome: State | None = None
    before: Key | None = None

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Self:
        """Read a filter from a URL; what it does not understand, it leaves out.

        Args:
            query: The parameters.

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
        """The filter as the query of a URL, without what is the default.

        Args:
            extra: More parameters.
        """
        parameters = {
            "since": self.period.name if self.period != DAY else "",
            "name": self.name,
            "outcome": self.outcome or "",
            "before": write_key(self.before) if self.before else "",
            **extra,
        }
        return urlencode({name: value for name, value in parameters.items() if value})

    def url(self, path: str = "/jobs", **extra: str) -> str:
        """A URL with the filter.

        Args:
            path: Its path.
            extra: More parameters.
        """
        query = self.query(**extra)
        return f"{path}?{query}" if query else path

    @property
    def is_narrow(self) -> bool:
        """Whether it leaves out jobs of the period."""
        return bool(self.name or self.outcome)

    def matches_name(self, job: Job) -> bool:
        """Whether the name of a job's package is wanted.

        Args:
            job: The job.
        """
        if not self.name:
            return True
        name, wanted = (job.package_name or "").lower(), self.name.lower()
        if WILDCARDS.isdisjoint(wanted):
            return wanted in name or job.id.startswith(wanted)
        return fnmatch.fnmatchcase(name, wanted)


class Chosen(NamedTuple):
    """What a filter leaves of the jobs of a period.

    Attributes:
        jobs: All that match, newest first.
        rows: Those of this page.
        counts: How many of those with the name have which outcome.
        named: How many have the name.
        first: The number of the first row, from 1.
        older: Where the next page begins; None: there is none.
        total: How many jobs the period has.
    """

    jobs: Sequence[Job]
    rows: Sequence[Job]
    counts: Mapping[str, int]
    named: int
    first: int
    older: Key | None
    total: int


def choose(jobs: Sequence[Job], wanted: Filter) -> Chosen:
    """Apply a filter to all jobs of its period.

    Args:
        jobs: The jobs, newest first.
        wanted: The filter.
    """
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
    """How many jobs came after the first row was shown.

    Args:
        jobs: The jobs that match, newest first.
        top: The first row's place; None: nothing was shown.
    """
    return sum(top is None or key_of(job) > top for job in jobs)


def key_of(job: Job) -> Key:
    """A job's place.

    Args:
        job: The job.
    """
    return milliseconds(job.started), job.id


def read_moment(text: str) -> datetime | None:
    """A moment from a URL; None if it is none.

    Args:
        text: As `milliseconds` made it.

    Example:
        >>> read_moment("1795356128000"), read_moment("9" * 30), read_moment("²")
        (datetime.datetime(2026, 11, 22, 14, 2, 8, tzinfo=datetime.timezone.utc), None, None)
    """
    try:
        return datetime.fromtimestamp(int(text) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def milliseconds(at: datetime) -> int:
    """A moment as a number.

    Args:
        at: The moment.
    """
    return round(at.timestamp() * 1000)


def write_key(key: Key) -> str:
    """A place for a URL.

    Args:
        key: The place.
    """
    return f"{key[0]}.{key[1]}"


def read_key(text: str) -> Key | None:
    """A place from a URL; None if it is none.

    Args:
        text: As `write_key` wrote it.

    Example:
        >>> read_key("1795356128000.3f9a"), read_key("odd")
        ((1795356128000, '3f9a'), None)
    """
    at, dot, job_id = text.partition(".")
    return (int(at), job_id) if dot and at.isascii() and at.isdigit() else None
