"""`quilt-packager status`: how an engine is, at a glance."""

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
"""Dead letters that go so soon are worth a word."""


T = TypeVar("T")


class _Part(NamedTuple, Generic[T]):
    """Something that there is to know of an engine; without a value, why it is not known."""

    value: T | None = None
    problem: ErrorReport | None = None


class _Status(NamedTuple):
    """What there is to know of an engine. Events are counted by the names of their sources."""

    sources: "_Part[list[Source]]"
    events: _Part[dict[str, int]]
    queues: "_Part[Queues]"
    large_jobs: "_Part[list[LargeJob]]"
    jobs: "_Part[JobList]"

    @property
    def problems(self) -> dict[str, ErrorReport]:
        """Why parts are not known, by their names."""
        return {
            name: part.problem for name, part in self._asdict().items() if part.problem is not None
        }

    @property
    def activity(self) -> "dict[str, Activity]":
        """What came of each source, as far as that is known."""
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


UNKNOWN = {
    "sources": "The event sources are not known",
    "events": "The events of the sources are not counted",
    "queues": "The queues are not counted",
    "large_jobs": "Large jobs that run are not known",
    "jobs": "The last jobs are not known",
}
"""What it means for a reader that a part is not known."""


def status(
    *,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show how an engine is: sources, queues, failures, last jobs.

    Large jobs that run are shown with their progress. Nothing is received from a queue, and
    nothing is changed. What AWS does not tell is left out, and said: the exit code is then 4 if
    your credentials do not allow it, and 1 if AWS failed.

    Examples:
      quilt-packager status
      quilt-packager status --stack prod-packager --json
    """
    terminal = Terminal()
    deployment = find(stack, profile, region)
    found = _look(deployment)
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
        happened = f"{UNKNOWN[name]}: {problem.happened}"
        terminal.error(happened, why=problem.why, remedy=problem.remedy)
    hint_differences(terminal, sources)
    if sources and jobs is not None:
        hint_cut_off(terminal, jobs)
    if queues and queues.dead_letters:
        terminal.suggest("Next:", deployment.command("failures"))


def _look(deployment: "Deployment") -> _Status:
    """Ask for everything at once: each takes its time."""
    from quilt_packager.operations.deployment.queues import read_queues
    from quilt_packager.operations.jobs.executions import list_large_jobs
    from quilt_packager.operations.jobs.listing import read_jobs
    from quilt_packager.operations.sources.activity import DAY, count_events
    from quilt_packager.operations.sources.sources import list_sources

    now = datetime.now(UTC)
    with ThreadPoolExecutor() as pool:
        queues = pool.submit(_ask, lambda: read_queues(deployment))
        large_jobs = pool.submit(_ask, lambda: list_large_jobs(deployment))
        jobs = pool.submit(_ask, lambda: read_jobs(deployment, since=now - DAY))
        sources = _ask(lambda: list_sources(deployment))
        events = _ask(lambda: count_events(deployment, sources.value or (), now=now))
        return _Status(sources, events, queues.result(), large_jobs.result(), jobs.result())


def _ask(question: Callable[[], T]) -> _Part[T]:
    """Ask AWS for a part. Without credentials that serve, there is no other either."""
    from quilt_packager.operations.aws_errors import Kind, explain_aws_error

    try:
        return _Part(question())
    except Exception as error:
        found = explain_aws_error(error)
        if found is None or found.kind is Kind.CREDENTIALS:
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
    """Always all parts; null where one is not known, and `problems` has why."""
    parts, activity = {name: part.value for name, part in found._asdict().items()}, found.activity
    if found.sources.value is not None:
        parts["sources"] = [to_json(each, activity[each.name]) for each in found.sources.value]
    if found.jobs.value is not None:
        parts["jobs"] = [job_to_json(each) for each in found.jobs.value[:MAX_JOBS]]
    del parts["events"]  # those of each source are beside it
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
