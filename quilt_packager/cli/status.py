"""`quilt-packager status`: how an engine is, at a glance."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from quilt_packager import formats
from quilt_packager.cli.exits import Exit
from quilt_packager.cli.job_rows import COLUMNS as JOB_COLUMNS
from quilt_packager.cli.job_rows import job_row
from quilt_packager.cli.options import JsonOption, ProfileOption, RegionOption, StackOption, find
from quilt_packager.cli.sources import COLUMNS, hint_differences, source_cells, to_json
from quilt_packager.cli.terminal import Terminal

if TYPE_CHECKING:
    from quilt_packager.operations.activity import Activity
    from quilt_packager.operations.deployments import Deployment
    from quilt_packager.operations.executions import LargeJob
    from quilt_packager.operations.job import Job
    from quilt_packager.operations.queues import Queues
    from quilt_packager.operations.sources import Source

MAX_JOBS = 10

SOON_SECONDS = 2 * 86_400
"""Dead letters that go so soon are worth a word."""


class _Status(NamedTuple):
    """What there is to know of an engine."""

    sources: "Sequence[Source]"
    activity: "dict[str, Activity]"
    queues: "Queues"
    large_jobs: "Sequence[LargeJob]"
    jobs: "Sequence[Job]"


def status(
    *,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show how an engine is: sources, queues, failures, last jobs.

    Large jobs that run are shown with their progress. Nothing is received from a queue, and
    nothing is changed.

    Examples:
      quilt-packager status
      quilt-packager status --stack prod-packager --json
    """
    terminal = Terminal()
    deployment = find(stack, profile, region)
    found = _look(deployment)
    if as_json:
        terminal.json(_to_json(deployment, found))
        return Exit.OK
    terminal.title(deployment.stack_name, deployment.region, deployment.account)
    if found.sources:
        terminal.write()
        rows = [source_cells(each, found.activity[each.name]) for each in found.sources]
        terminal.table(COLUMNS, rows)
    terminal.write()
    terminal.facts(
        [*_describe_queues(found.queues), *_describe_large_jobs(terminal, found.large_jobs)]
    )
    if found.jobs:
        terminal.write()
        terminal.table(JOB_COLUMNS, [job_row(terminal, each) for each in found.jobs[:MAX_JOBS]])
    else:
        terminal.write("No jobs in the last 24 hours.")
    terminal.gap()
    hint_differences(terminal, found.sources)
    if found.queues.dead_letters:
        terminal.hint("Next: quilt-packager failures")
    return Exit.OK


def _look(deployment: "Deployment") -> _Status:
    """Ask for everything at once: each takes its time."""
    from quilt_packager.operations.activity import DAY, count_events, count_jobs
    from quilt_packager.operations.executions import list_large_jobs
    from quilt_packager.operations.jobs import read_jobs
    from quilt_packager.operations.queues import read_queues
    from quilt_packager.operations.sources import list_sources

    now = datetime.now(UTC)
    with ThreadPoolExecutor() as pool:
        queues = pool.submit(read_queues, deployment)
        large_jobs = pool.submit(list_large_jobs, deployment)
        jobs = pool.submit(read_jobs, deployment, since=now - DAY)
        sources = list_sources(deployment)
        events = count_events(deployment, sources, now=now)
        activity = {
            name: msgspec.structs.replace(each, events=events.get(name))
            for name, each in count_jobs(sources, jobs.result()).items()
        }
        return _Status(sources, activity, queues.result(), large_jobs.result(), jobs.result())


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
    return {
        "stack": deployment.stack_name,
        "region": deployment.region,
        "account": deployment.account,
        "sources": [to_json(each, found.activity[each.name]) for each in found.sources],
        "queues": msgspec.to_builtins(found.queues),
        "large_jobs": [msgspec.to_builtins(each) for each in found.large_jobs],
        "jobs": [msgspec.to_builtins(each) for each in found.jobs[:MAX_JOBS]],
    }
