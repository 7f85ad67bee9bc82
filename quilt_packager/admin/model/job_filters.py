"""Filters of the job list. The URL is the state, so a filter survives a reload."""

import fnmatch
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import NamedTuple, Self
from urllib.parse import parse_qsl, urlencode

from quilt_packager.admin.model import labels
from quilt_packager.admin.model.periods import DAY, RANGES, Window, find_window
from quilt_packager.operations.jobs.job import Job
from quilt_packager.operations.jobs.labels import trigger_label

ROWS = 50
"""Number of jobs on one page of the list."""

WILDCARDS = frozenset("*?[")

WITH_WARNINGS = "warnings"

OUTCOMES = {*labels.BADGES, WITH_WARNINGS}
"""The values of the filter of outcomes."""

OLDEST_FIRST = "oldest"
OPEN = "open"

LOCAL_FORMAT = "%Y-%m-%dT%H:%M"
"""Format of a moment in a field, in the time zone of this machine."""

Key = tuple[int, str]
"""Unique position of a job in time."""


class Filter(NamedTuple):
    """A filter of the job list.

    Attributes:
        range: Name of the span to show, one of `RANGES`.
        start: Start of a `custom` span, as in a field; empty for none.
        end: End of a `custom` span, as in a field; empty for none.
        text: Glob for the name of the package; without wildcards, a part of the name, the folder,
            the reason or the id.
        outcome: Only jobs with this badge, or with warnings; empty for all.
        source: Only jobs of this source, by its label; empty for all.
        code: Only jobs with this error code; empty for all.
        order: `OLDEST_FIRST`; empty for the newest first.
        charts: `OPEN` to show the large charts; empty otherwise.
        before: Only jobs after this key in this order, for the next page.
    """

    range: str = DAY.name
    start: str = ""
    end: str = ""
    text: str = ""
    outcome: str = ""
    source: str = ""
    code: str = ""
    order: str = ""
    charts: str = ""
    before: Key | None = None

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Self:
        """Parse the query of a URL, ignoring unknown values.

        Example:
            >>> Filter.from_query({"range": "7d", "outcome": "odd", "q": " lims "}).query()
            'range=7d&q=lims'
        """
        found, outcome = query.get("range", ""), query.get("outcome", "")
        start, end = (read_local(query.get(name, "")) for name in ("from", "to"))
        return cls(
            found if found in RANGES else DAY.name,
            query["from"] if start and found == "custom" else "",
            query["to"] if end and found == "custom" else "",
            query.get("q", "").strip(),
            outcome if outcome in OUTCOMES else "",
            query.get("source", "").strip(),
            query.get("code", "").strip(),
            OLDEST_FIRST if query.get("order") == OLDEST_FIRST else "",
            OPEN if query.get("charts") == OPEN else "",
            read_key(query.get("before", "")),
        )

    def find_ignored(self, query: Mapping[str, str]) -> list[str]:
        """List the parameters that no filter has, or whose values are not used.

        Args:
            query: The query that the filter was parsed from.

        Example:
            >>> query = {"range": "7d", "outcome": "odd", "outcom": "failed", "q": ""}
            >>> Filter.from_query(query).find_ignored(query)
            ['outcome=odd', 'outcom=failed']
        """
        used = {"range": self.range, **dict(parse_qsl(self.query()))}
        if self.range != "custom":
            # The form has these fields for each span.
            used |= {name: query.get(name, "").strip() for name in ("from", "to")}
        return [
            f"{name}={value}"
            for name, value in query.items()
            if value.strip() and used.get(name) != value.strip()
        ]

    def query(self, **extra: str) -> str:
        """Format the filter as the query of a URL, without defaults."""
        parameters = {
            "range": self.range if self.range != DAY.name else "",
            "from": self.start,
            "to": self.end,
            "q": self.text,
            "outcome": self.outcome,
            "source": self.source,
            "code": self.code,
            "order": self.order,
            "charts": self.charts,
            "before": write_key(self.before) if self.before else "",
            **extra,
        }
        return urlencode({name: value for name, value in parameters.items() if value})

    def url(self, path: str = "/jobs", **extra: str) -> str:
        """Format the filter as a URL."""
        query = self.query(**extra)
        return f"{path}?{query}" if query else path

    def between(self, start: datetime, end: datetime) -> Self:
        """Return the filter for another span."""
        return self._replace(
            range="custom",
            start=start.strftime(LOCAL_FORMAT),
            end=end.strftime(LOCAL_FORMAT),
            before=None,
        )

    def window(self, now: datetime) -> Window:
        """Return the span to show."""
        return find_window(self.range, now, read_local(self.start), read_local(self.end))

    @property
    def is_oldest_first(self) -> bool:
        """True for the order that begins with the oldest job."""
        return self.order == OLDEST_FIRST

    def matches(self, job: Job, logged: AbstractSet[str] = frozenset()) -> bool:
        """Return True if all of the filter but the outcome matches.

        Args:
            job: The job.
            logged: Ids of jobs with the text in their log.
        """
        return (
            (job.id in logged or self._matches_text(job))
            and self.source in ("", trigger_label(job))
            and self.code in ("", job.code)
        )

    def matches_outcome(self, job: Job) -> bool:
        """Return True if the outcome matches."""
        return not self.outcome or self.outcome in outcomes_of(job)

    def _matches_text(self, job: Job) -> bool:
        if not self.text:
            return True
        name, wanted = (job.package_name or "").lower(), self.text.lower()
        if not WILDCARDS.isdisjoint(wanted):
            return fnmatch.fnmatchcase(name, wanted)
        texts = (name, job.source, job.reason, job.happened, job.why, job.remark, job.code)
        return job.id.startswith(wanted) or any(wanted in text.lower() for text in texts if text)


def outcomes_of(job: Job) -> tuple[str, ...]:
    """Return the values of the filter of outcomes that a job matches."""
    badge = labels.badge_name(job)
    return (badge, WITH_WARNINGS) if job.top_hash and job.remark else (badge,)


class Chosen(NamedTuple):
    """The jobs of a span that match a filter.

    Attributes:
        jobs: All matching jobs, in the order of the filter.
        rows: Jobs on this page.
        counts: Jobs that match all but the outcome, by outcome.
        matching: Number of these jobs.
        sources: Sources of the jobs of the span.
        codes: Error codes of the jobs of the span.
        first: Number of the first row, from 1.
        older: Key that the next page begins below; None on the last page.
        total: Number of jobs in the span.
    """

    jobs: Sequence[Job]
    rows: Sequence[Job]
    counts: Mapping[str, int]
    matching: int
    sources: Sequence[str]
    codes: Sequence[str]
    first: int
    older: Key | None
    total: int


def choose(jobs: Sequence[Job], wanted: Filter, logged: AbstractSet[str] = frozenset()) -> Chosen:
    """Apply a filter to the jobs of its span, newest first."""
    matching = [job for job in jobs if wanted.matches(job, logged)]
    chosen = [job for job in matching if wanted.matches_outcome(job)]
    below, before = chosen, wanted.before
    if wanted.is_oldest_first:
        chosen.reverse()
        below = chosen if before is None else [job for job in chosen if key_of(job) > before]
    elif before is not None:
        below = [job for job in chosen if key_of(job) < before]
    rows = below[:ROWS]
    return Chosen(
        jobs=chosen,
        rows=rows,
        counts=Counter(outcome for job in matching for outcome in outcomes_of(job)),
        matching=len(matching),
        sources=sorted({*filter(None, map(trigger_label, jobs)), *filter(None, [wanted.source])}),
        codes=sorted({*(job.code for job in jobs if job.code), *filter(None, [wanted.code])}),
        first=len(chosen) - len(below) + 1,
        older=key_of(rows[-1]) if len(below) > len(rows) else None,
        total=len(jobs),
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


def read_local(text: str) -> datetime | None:
    """Parse a moment of a field, in the time zone of this machine; None if it is invalid."""
    try:
        return datetime.strptime(text, LOCAL_FORMAT).astimezone()
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
