"""The event sources as the Settings page shows them: options, events, packages, attention."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from quilt_packager.admin.model.caching import Answer
from quilt_packager.admin.model.periods import HISTORIES
from quilt_packager.admin.model.settings_views import Events
from quilt_packager.admin.model.views import Views
from quilt_packager.admin.web.problems import Problem, describe_problem
from quilt_packager.operations.dead_letters.queue import Failure
from quilt_packager.operations.jobs.job import Job, State
from quilt_packager.operations.jobs.labels import TRIGGERS
from quilt_packager.operations.sources.activity import DAY, T, find_last_job, select_of
from quilt_packager.operations.sources.sources import Source
from quilt_packager.operations.sources.treatment import Treatment, describe_treatment


class LastDay(NamedTuple):
    """The activity of a source; None stands for an unknown number.

    Attributes:
        packages: Number of packages that its jobs created in the last day.
        jobs: Number of these jobs.
        events: Number of events that its rule matched in the last day.
        attention: Number of its messages that wait under Failures.
        failures: Filter of Failures that finds them.
        last: Time of its last event, or the start of the hour of that event.
        is_hour: `last` is the start of an hour.
    """

    packages: int | None
    jobs: int | None
    events: int | None
    attention: int | None
    failures: str
    last: datetime | None
    is_hour: bool


class Activity(NamedTuple):
    """The activity of all sources, by their names.

    Attributes:
        of: Activity of each source.
        problem: Error of the counts; None if there is none.
    """

    of: dict[str, LastDay]
    problem: Problem | None


def read_treatments(views: Views, sources: Sequence[Source]) -> dict[str, Treatment]:
    """Describe the options of sources; without their settings, of none."""
    configuration, uploads = views.configuration().value, views.settings.uploads().value
    if configuration is None or uploads is None:
        return {}
    options = configuration.settings.sources
    return {each.name: describe_treatment(each, options, uploads) for each in sources}


def read_activity(views: Views, sources: Sequence[Source]) -> Activity:
    """Count the events, jobs and failures of sources."""
    history = HISTORIES["24h"]
    views.start_queues()
    views.start_jobs(history)
    events = views.settings.events()
    jobs = views.jobs(history)
    letters = _read_letters(views)
    since = datetime.now(UTC) - DAY
    of_day = [job for job in jobs.value.jobs if job.started >= since] if jobs.value else None
    counts = _Counts(sources, of_day, letters.value, events.value)
    error = jobs.error or events.error or letters.error
    return Activity(
        {each.name: counts.of(each) for each in sources},
        describe_problem(error) if error else None,
    )


def _read_letters(views: Views) -> Answer[Sequence[Failure]]:
    """Read the dead letters, if there are any: reading hides them for a moment."""
    queues = views.queues()
    if queues.value is None or not queues.value.dead_letters:
        return Answer(() if queues.value else None, error=queues.error)
    read = views.dead_letters.read()
    return Answer(read.value.letters if read.value else None, error=read.error)


class _Counts(NamedTuple):
    """The records of which sources are counted; None for those that could not be read."""

    sources: Sequence[Source]
    jobs: Sequence[Job] | None
    letters: Sequence[Failure] | None
    events: Events | None

    def of(self, source: Source) -> LastDay:
        """Count the activity of a source."""
        own = self._select(source, self.jobs)
        waiting = self._select(source, self.letters)
        last_job = find_last_job(source, own or ())
        last_hour = self.events.last.get(source.name) if self.events else None
        is_hour = last_job is None or (last_hour is not None and last_hour > last_job)
        return LastDay(
            None if own is None else sum(job.outcome is State.CREATED for job in own),
            None if own is None else len(own),
            None if self.events is None else self.events.counts.get(source.name, 0),
            None if waiting is None else len(waiting),
            source.sender or TRIGGERS.get(source.kind, source.kind),
            last_hour if is_hour else last_job,
            is_hour,
        )

    def _select(self, source: Source, found: Sequence[T] | None) -> list[T] | None:
        return None if found is None else select_of(source, self.sources, found)
