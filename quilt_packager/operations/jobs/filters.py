"""Filters of lists of jobs."""

from datetime import datetime
from fnmatch import fnmatchcase
from typing import NamedTuple

from quilt_packager_runtime.formats.objects import SourceFolder

from quilt_packager.operations.jobs.job import Job, State
from quilt_packager.operations.jobs.labels import trigger_label


class JobFilter(NamedTuple):
    """A filter of jobs. None means any.

    Attributes:
        name_glob: Pattern of package names, such as `wgs/*`.
        outcomes: States to list. Ignored messages are listed only if `ignored` is among them.
        source: Event source, by the kind or the label of its events, or by the name of the sender.
        code: Error code.
        folder: Folder that contains one of the job's sources, or is one.
        until: Time before which the job started.
    """

    name_glob: str | None = None
    outcomes: frozenset[str] | None = None
    source: str | None = None
    code: str | None = None
    folder: SourceFolder | None = None
    until: datetime | None = None

    @property
    def wants_ignored(self) -> bool:
        """True if ignored messages are listed."""
        return self.outcomes is not None and State.IGNORED in self.outcomes

    def matches(self, job: Job) -> bool:
        """Return True if a job is listed."""
        return (
            (self.outcomes is None or job.outcome in self.outcomes)
            and (self.name_glob is None or fnmatchcase(job.package_name or "", self.name_glob))
            and (self.source is None or self.source.casefold() in _senders(job))
            and (self.code is None or job.code == self.code)
            and (self.folder is None or _is_below(job, str(self.folder)))
            and (self.until is None or job.started < self.until)
        )


ALL = JobFilter()
"""All jobs, but no ignored messages."""


def _senders(job: Job) -> set[str]:
    names = (job.trigger, trigger_label(job), job.event_source)
    return {name.casefold() for name in names if name}


def _is_below(job: Job, folder: str) -> bool:
    sources = [job.source, *(each.prefix for each in job.sources or ())]
    return any(source.startswith(folder) for source in sources if source)
