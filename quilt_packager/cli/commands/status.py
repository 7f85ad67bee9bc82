"""`quilt-packager status`: an overview of an engine."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import msgspec

from quilt_packager.cli.commands.job_rows import COLUMNS as JOB_COLUMNS
from quilt_packager.cli.commands.job_rows import job_row
from quilt_packager.cli.commands.jobs import to_json as job_to_json
from quilt_packager.cli.commands.sources import (
    COLUMNS,
    hint_cut_off,
    hint_differences,
    source_cells,
    to_json,
)
from quilt_packager.cli.console.errors import ErrorReport, report_error
from quilt_packager.cli.console.exits import Exit
from quilt_packager.cli.console.options import (
    JsonOption,
    ProfileOption,
    RegionOption,
    StackOption,
    find,
)
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.operations import formats

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment
    from quilt_packager.operations.deployment.queues import Queues
    from quilt_packager.operations.jobs.executions import LargeJob
    from quilt_packager.operations.jobs.listing import JobList
    from quilt_packager.operations.sources.activity import Activity
    from quilt_packager.operations.sources.sources import Source

MAX_JOBS = 10

SOON_SECONDS = 2 * 86_400
"""Remaining time at which expiring dead letters are mentioned."""


T = TypeVar("T")


class _Part(NamedTuple, Generic[T]):
    """A part of the overview: its value, or the problem that prevented reading it."""

    value: T | None = None
    problem: ErrorReport | None = None


class _Status(NamedTuple):
    """All parts of the overview. Events are counted by source name."""

    sources: "_Part[list[Source]]"
    events: _Part[dict[str, int]]
    queues: "_Part[Queues]"
    large_jobs: "_Part[list[LargeJob]]"
    jobs: "_Part[JobList]"

    @property
    def problems(self) -> dict[str, ErrorReport]:
        """The problems of parts that could not be read, by part name."""
        return {
            name: part.problem for name, part in self._asdict().items() if part.problem is not None
        }

    @property
    def activity(self) -> "dict[str, Activity]":
        """The known activity of each source."""
        from quilt_packager.operations.sources.activity import Activity, count_jobs

        sources, jobs = self.sources.value or (), self.jobs.value
        known = {} if jobs is None else count_jobs(sources, jobs)
        events = self.events.value or {}
        return {
            each.name: msgspec.structs.replace(
                known.get(each.name, Activity()), events=events.get(each.name)
            )
            for each in sources
        }


READ_ERRORS = {
    "sources": "Could not read the event sources",
    "events": "Could not count the events",
    "queues": "Could not read the queues",
    "large_jobs": "Could not read the running large jobs",
    "jobs": "Could not read the latest jobs",
}
"""Error text for each part."""


def status(
    *,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show the sources, queues, failures and latest jobs of an engine.

    Running large jobs are shown with their progress. Nothing is received from a queue, and nothing
    is changed. Parts that cannot be read are left out and named; the exit code is then 4 if your
    credentials do not allow reading them, and 1 if AWS failed.

    Examples:
      quilt-packager status
      quilt-packager status --stack prod-packager --json
    """
    terminal = Terminal()
    deployment = find(stack, profile, region)
    found = _read_status(deployment)
    if as_json:
        terminal.json(_to_json(deployment, found))
    else:
        _write(terminal, deployment, found)
    return next((each.exit_code for each in found.problems.values()), Exit.OK)


def _write(terminal: Terminal, deployment: "Deployment", found: _Status) -> None:
    terminal.title(deployment.name, deployment.region, deployment.account)
    sources, queues, jobs = found.sources.value or (), found.queues.value, found.jobs.value
    if sources:
        terminal.write()
        activity = found.activity
        terminal.table(COLUMNS, [source_cells(each, activity[each.name]) for each in sources])
    facts = [
        *(_describe_queues(queues) if queues else ()),
        *_describe_large_jobs(terminal, found.large_jobs.value or ()),
    ]
    if facts:
        terminal.write()
        terminal.facts(facts)
    if jobs:
        terminal.write()
        terminal.table(JOB_COLUMNS, [job_row(terminal, each) for each in jobs[:MAX_JOBS]])
    elif jobs is not None:
        terminal.write("No jobs in the last 24 hours.")
    terminal.gap()
    for name, problem in found.problems.items():
        happened = f"{READ_ERRORS[name]}: {problem.happened}"
        terminal.error(happened, why=problem.why, remedy=problem.remedy)
    hint_differences(terminal, sources)
    if sources and jobs is not None:
        hint_cut_off(terminal, jobs)
    if queues and queues.dead_letters:
        terminal.suggest("Next:", deployment.command("failures"))


def _read_status(deployment: "Deployment") -> _Status:
    """Read all parts concurrently."""
    from quilt_packager.operations.deployment.queues import read_queues
    from quilt_packager.operations.jobs.executions import list_large_jobs
    from quilt_packager.operations.jobs.listing import read_jobs
    from quilt_packager.operations.sources.activity import DAY, count_events
    from quilt_packager.operations.sources.sources import list_sources

    now = datetime.now(UTC)
    with ThreadPoolExecutor() as pool:
        queues = pool.submit(_read_part, lambda: read_queues(deployment))
        large_jobs = pool.submit(_read_part, lambda: list_large_jobs(deployment))
        jobs = pool.submit(_read_part, lambda: read_jobs(deployment, since=now - DAY))
        sources = _read_part(lambda: list_sources(deployment))
        events = _read_part(lambda: count_events(deployment, sources.value or (), now=now))
        return _Status(sources, events, queues.result(), large_jobs.result(), jobs.result())


def _read_part(question: Callable[[], T]) -> _Part[T]:
    """Read a part. Credential errors are raised, since they affect every part."""
    from quilt_packager.operations.aws_errors import explain_aws_error

    try:
        return _Part(question())
    except Exception as error:
        found = explain_aws_error(error)
        if found is None or found.is_session:
            raise
        return _Part(problem=report_error(error))


def _describe_queues(queues: "Queues") -> Iterator[tuple[str, str]]:
    waiting = f"{queues.waiting:,} waiting"
    if queues.oldest_seconds is not None:
        waiting += f", oldest {formats.age(queues.oldest_seconds)}"
    if queues.delayed:
        waiting += f", {queues.delayed:,} delayed"
    yield "Queue", waiting
    yield "In flight", f"{queues.in_flight:,}"
    failures = f"{queues.dead_letters:,}" if queues.dead_letters else "none"
    if queues.oldest_dead_letter_seconds is not None:
        failures += f", oldest {formats.age(queues.oldest_dead_letter_seconds)}"
    left_seconds = queues.seconds_to_deletion
    if left_seconds is not None and left_seconds < SOON_SECONDS:
        failures += f"; SQS deletes it within {formats.age(left_seconds)}"
    yield "Failures", failures


def _describe_large_jobs(
    terminal: Terminal, large_jobs: "Sequence[LargeJob]"
) -> Iterator[tuple[str, str]]:
    names = [each.package_name or each.id for each in large_jobs]
    width = max(map(len, names), default=0)
    for number, (name, each) in enumerate(zip(names, large_jobs, strict=True)):
        words = [name.ljust(width), terminal.bar(each.share)]
        if each.phase == "publishing":
            words.append("publishing")
        elif each.seconds_left is not None:
            words.append(f"about {formats.age(each.seconds_left)}")
        yield "" if number else "Large jobs", "  ".join(words)


def _to_json(deployment: "Deployment", found: _Status) -> dict[str, object]:
    """Return all parts. Unknown parts are null, with their reason in `problems`."""
    parts, activity = {name: part.value for name, part in found._asdict().items()}, found.activity
    if found.sources.value is not None:
        parts["sources"] = [to_json(each, activity[each.name]) for each in found.sources.value]
    if found.jobs.value is not None:
        parts["jobs"] = [job_to_json(each) for each in found.jobs.value[:MAX_JOBS]]
    del parts["events"]  # included in the sources
    written: dict[str, object] = msgspec.to_builtins(parts, builtin_types=(datetime,))
    return {
        "stack": deployment.name,
        "region": deployment.region,
        "account": deployment.account,
        **written,
        "problems": {
            name: {"code": each.code, "reason": each.reason, "remedy": each.remedy}
            for name, each in found.problems.items()
        },
    }
