"""`quilt-packager jobs`: the jobs of an engine, from its log."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from quilt_packager.cli.commands.job_rows import COLUMNS, ID_CHARACTERS, job_row
from quilt_packager.cli.console.errors import Misuse
from quilt_packager.cli.console.exits import Exit
from quilt_packager.cli.console.options import (
    JsonOption,
    ProfileOption,
    RegionOption,
    StackOption,
    find,
)
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.cli.console.typer_groups import make_group, refuse_options, was_given
from quilt_packager.operations import formats
from quilt_packager.operations.durations import parse_since
from quilt_packager.operations.jobs.job import Job, State

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment
    from quilt_packager.operations.jobs.listing import JobList

HELP = """List jobs, their outcomes and errors.

Jobs are read from the engine's log. Messages that wait in the queue are not logged.

Examples:
  quilt-packager jobs --since 2h --outcome failed
  quilt-packager jobs --follow --name 'rnaseq/*'
  quilt-packager jobs show 3f9a61c2
"""

LISTED = 50
MOST_LISTED = 10_000

app = make_group("jobs", HELP, is_command=True)


@app.callback()
def jobs(
    context: typer.Context,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Write changes as they happen, until Ctrl-C.")
    ] = False,
    since: Annotated[
        str,
        typer.Option(metavar="WHEN", help="Start of the list: 90s, 2h or 7d ago, or a date."),
    ] = "24h",
    name: Annotated[
        str | None,
        typer.Option(metavar="GLOB", help="Only packages with a matching name, such as 'wgs/*'."),
    ] = None,
    outcome: Annotated[
        list[State] | None,
        typer.Option(
            metavar="OUTCOME", help=f"Only jobs with this outcome: {', '.join(State)}. Repeatable."
        ),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=MOST_LISTED,
            help="Maximum number of jobs. Not with --follow.",
        ),
    ] = LISTED,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """List jobs, newest first; with --json, one JSON object per line."""
    if context.invoked_subcommand is not None:
        refuse_options(context)
        return Exit.OK
    if follow and was_given(context, "limit"):
        raise Misuse(
            "--limit and --follow cannot be combined.",
            why="--follow writes every change until Ctrl-C.",
            remedy="Omit one of them.",
        )
    terminal = Terminal()
    moment = read_since(since)
    deployment = find(stack, profile, region)
    if follow:
        _follow(terminal, deployment, moment, name, outcome, as_json=as_json)
    from quilt_packager.operations.jobs.listing import read_jobs

    found = read_jobs(deployment, since=moment, name_glob=name, outcomes=outcome, limit=limit)
    if as_json:
        for job in found:
            terminal.json(to_json(job))
    else:
        _write_list(terminal, deployment, found, is_filtered=bool(name or outcome))
    if found.is_cut_off:
        terminal.hint(
            f"More jobs may match: use --limit {min(10 * limit, MOST_LISTED)}, or a later --since."
        )
    return Exit.OK


@app.command("show")
def show_job(
    job_id: Annotated[
        str, typer.Argument(metavar="ID", help="Id of the job's message, or its beginning.")
    ],
    *,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show a job with its attempts and log.

    Examples:
      quilt-packager jobs show 3f9a61c2
      quilt-packager jobs show 3f9a61c2 --json
    """
    from quilt_packager.cli.commands.job_details import record_to_json, write_record
    from quilt_packager.operations.jobs.links import find_links
    from quilt_packager.operations.jobs.record import read_job

    terminal = Terminal()
    deployment = find(stack, profile, region)
    # Copied from a list, where it is cut.
    record = read_job(deployment, job_id.rstrip("….") or job_id)
    links = find_links(deployment, record.job)
    if as_json:
        terminal.json(record_to_json(record, links))
    else:
        write_record(terminal, record, links)
    return Exit.OK


def read_since(text: str) -> datetime:
    """Parse the value of `--since`.

    Raises:
        Misuse: It is not a time in the past.
    """
    try:
        return parse_since(text, datetime.now(UTC))
    except ValueError as error:
        raise Misuse(
            f"Invalid --since {text}: not a time in the past.",
            why=str(error),
            remedy="--since 2h, or --since 2026-11-01",
        ) from error


def to_json(job: Job) -> dict[str, Any]:
    """Convert a job to JSON, with all fields; unknown ones are null."""
    fields: dict[str, Any] = msgspec.to_builtins(job, builtin_types=(datetime,))
    return {"id": job.id, "outcome": job.outcome.value, **fields}


def sum_up(jobs: Sequence[Job]) -> str:
    """Count jobs by outcome."""
    counts = Counter(job.outcome for job in jobs)
    parts = [f"{counts[state]:,} {state}" for state in State if counts[state]]
    return f"{formats.count(len(jobs), 'job')}: {', '.join(parts)}"


def _write_list(
    terminal: Terminal, deployment: "Deployment", found: "JobList", *, is_filtered: bool
) -> None:
    if not found:
        if is_filtered:
            terminal.write("No job matches. Try an earlier --since or other filters.")
        else:
            terminal.write(f"No jobs since {terminal.when(found.since)}.")
        return
    terminal.table(COLUMNS, [job_row(terminal, job) for job in found])
    terminal.write(sum_up(found))
    # A failed job is the one to look at.
    chosen = next((job for job in found if job.code is not None), found[0])
    show = deployment.command("jobs", "show", chosen.id[:ID_CHARACTERS])
    terminal.suggest("Details of a job:", show)


def _follow(
    terminal: Terminal,
    deployment: "Deployment",
    since: datetime,
    name: str | None,
    outcomes: Iterable[State] | None,
    *,
    as_json: bool,
) -> None:
    """Write each change of an outcome until Ctrl-C."""
    from quilt_packager.operations.jobs.watch import follow

    wanted = set(outcomes or State)
    written: dict[str, tuple[State, int]] = {}
    for job in follow(deployment, since):
        state = (job.outcome, job.attempts)
        if written.get(job.id) == state:
            continue
        written[job.id] = state
        if job.outcome not in wanted or not fnmatchcase(job.package_name or "", name or "*"):
            continue
        if as_json:
            terminal.json(to_json(job))
        else:
            terminal.change(job.updated, job.outcome, describe(job))


def describe(job: Job) -> str:
    """Describe a job in one line, without its outcome."""
    facts = [job.package_name or job.source or job.id]
    if job.objects is not None and job.bytes is not None:
        facts += [formats.count(job.objects, "object"), formats.size(job.bytes)]
    if job.ended is not None and job.seconds is not None:
        facts.append(formats.duration(job.seconds))
    text = ", ".join(facts)
    if job.code is None:
        return text
    return f"{text}: {job.code}: {job.happened or job.reason or ''}".rstrip(": ")
