"""`quilt-packager jobs`: the jobs of an engine, from its log."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
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
    parse_folder_argument,
)
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.cli.console.typer_groups import make_group, refuse_options, was_given
from quilt_packager.cli.console.usage import did_you_mean
from quilt_packager.operations import formats
from quilt_packager.operations.aws_errors import is_denied
from quilt_packager.operations.durations import parse_since
from quilt_packager.operations.errors import UnknownFailure, UnknownJob
from quilt_packager.operations.jobs.filters import ALL, JobFilter
from quilt_packager.operations.jobs.job import Job, State
from quilt_packager.operations.jobs.labels import TRIGGERS

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment
    from quilt_packager.operations.jobs.listing import JobList

HELP = """List jobs, their outcomes and errors.

Jobs are read from the engine's log. Messages that wait in the queue are not logged.

Examples:
  quilt-packager jobs --since 2h --outcome rejected,failed
  quilt-packager jobs --folder s3://raw/runs/ --code AccessDenied
  quilt-packager jobs --follow --name 'rnaseq/*'
  quilt-packager jobs show 3f9a61c2
"""

LISTED = 50
MOST_LISTED = 10_000

app = make_group("jobs", HELP, is_command=True)


FollowOption = Annotated[
    bool, typer.Option("--follow", "-f", help="Write changes as they happen, until Ctrl-C.")
]
SinceOption = Annotated[
    str,
    typer.Option(
        "--since", metavar="WHEN", help="Start of the list: 90s, 2h or 7d ago, or a date."
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option(
        "--name", metavar="GLOB", help="Only packages with a matching name, such as 'wgs/*'."
    ),
]
OutcomeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--outcome",
        metavar="OUTCOME",
        help=f"Only jobs with this outcome, or one of several with commas between them: "
        f"{', '.join(State)}. Repeatable.",
    ),
]
UntilOption = Annotated[
    str | None,
    typer.Option("--until", metavar="WHEN", help="Only jobs that started before this time."),
]
SourceOption = Annotated[
    str | None,
    typer.Option("--source", metavar="NAME", help="Only jobs of this event source, as in SOURCE."),
]
CodeOption = Annotated[
    str | None, typer.Option("--code", metavar="CODE", help="Only jobs with this error code.")
]
FolderOption = Annotated[
    str | None,
    typer.Option(
        "--folder", metavar="URI", help="Only jobs for this folder, or for folders below it."
    ),
]
LimitOption = Annotated[
    int,
    typer.Option(
        "--limit",
        metavar="N",
        min=1,
        max=MOST_LISTED,
        help="Maximum number of jobs. Not with --follow.",
    ),
]


@app.callback()
def jobs(
    context: typer.Context,
    *,
    follow: FollowOption = False,
    since: SinceOption = "24h",
    name: NameOption = None,
    outcome: OutcomeOption = None,
    until: UntilOption = None,
    source: SourceOption = None,
    code: CodeOption = None,
    folder: FolderOption = None,
    limit: LimitOption = LISTED,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """List jobs, newest first; with --json, one JSON object per line."""
    if context.invoked_subcommand is not None:
        refuse_options(context)
        return Exit.OK
    _check_follow(context, follow=follow)
    start = read_since(since)
    wanted = JobFilter(
        name,
        parse_outcomes(outcome) if outcome else None,
        source,
        code,
        parse_folder_argument(folder) if folder else None,
        _read_end(until, since, start) if until else None,
    )
    deployment = find(stack, profile, region)
    if follow:
        _follow(Terminal(), deployment, start, wanted, as_json=as_json)
    else:
        _list(Terminal(), deployment, start, wanted, limit=limit, as_json=as_json)
    return Exit.OK


def _check_follow(context: typer.Context, *, follow: bool) -> None:
    for option in ("limit", "until"):
        if follow and was_given(context, option):
            raise Misuse(
                f"--{option} and --follow cannot be combined.",
                why="--follow writes every change until Ctrl-C.",
                remedy="Omit one of them.",
            )


def _read_end(until: str, since: str, start: datetime) -> datetime:
    end = read_since(until, "--until")
    if end <= start:
        raise Misuse(
            f"No job started after {since} and before {until}.",
            why="--until is not after --since.",
            remedy="--since 7d --until 2d",
        )
    return end


@app.command("show")
def show_job(
    job_id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="Id of the job, or of its dead letter, or its beginning."
        ),
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
    wanted = job_id.rstrip("….") or job_id
    try:
        record = read_job(deployment, wanted)
    except UnknownJob:
        known = _job_of_dead_letter(deployment, wanted)
        if known is None:
            raise
        record = read_job(deployment, known)
    links = find_links(deployment, record.job)
    if as_json:
        terminal.json(record_to_json(record, links))
    else:
        write_record(terminal, record, links)
    return Exit.OK


def _job_of_dead_letter(deployment: "Deployment", message_id: str) -> str | None:
    """Return the id of the job whose dead letter has an id; None if there is none."""
    from quilt_packager.operations.dead_letters.queue import choose, read_failures

    try:
        with read_failures(deployment) as read:
            (failure,) = choose(read.letters, [message_id])
    except UnknownFailure:
        return None
    except Exception as error:
        if is_denied(error):
            return None
        raise
    return failure.job_id


def read_since(text: str, option: str = "--since") -> datetime:
    """Parse the value of an option that takes a time, `--since` by default.

    Raises:
        Misuse: It is not a time in the past.
    """
    try:
        return parse_since(text, datetime.now(UTC))
    except ValueError as error:
        raise Misuse(
            f"Invalid {option} {text}: not a time in the past.",
            why=str(error),
            remedy=f"{option} 2h, or {option} 2026-11-01",
        ) from error


def parse_outcomes(texts: Sequence[str]) -> frozenset[str]:
    """Parse the values of `--outcome`, each with one outcome or several.

    Raises:
        Misuse: There is no such outcome.

    Example:
        >>> sorted(parse_outcomes(["rejected,failed", "created"]))
        ['created', 'failed', 'rejected']
    """
    known = [each.value for each in State]
    outcomes = {each.strip() for text in texts for each in text.split(",")}
    for unknown in sorted(outcomes.difference(known)):
        raise Misuse(
            f"Invalid --outcome: {unknown}",
            why=f"The values are: {', '.join(known)}.{did_you_mean(unknown, known)}",
            remedy="--outcome rejected,failed",
        )
    return frozenset(outcomes)


def to_json(job: Job) -> dict[str, Any]:
    """Convert a job to JSON, with all fields; unknown ones are null."""
    fields: dict[str, Any] = msgspec.to_builtins(job, builtin_types=(datetime,))
    return {"id": job.id, "outcome": job.outcome.value, **fields}


def sum_up(jobs: Sequence[Job]) -> str:
    """Count jobs by outcome."""
    counts = Counter(job.outcome for job in jobs)
    parts = [f"{counts[state]:,} {state}" for state in State if counts[state]]
    return f"{formats.count(len(jobs), 'job')}: {', '.join(parts)}"


def _list(
    terminal: Terminal,
    deployment: "Deployment",
    since: datetime,
    wanted: JobFilter,
    *,
    limit: int,
    as_json: bool,
) -> None:
    from quilt_packager.operations.jobs.listing import read_jobs

    found = read_jobs(deployment, since=since, wanted=wanted, limit=limit)
    if as_json:
        for job in found:
            terminal.json(to_json(job))
    else:
        _write_list(terminal, deployment, found, wanted)
    if found.is_cut_off:
        terminal.hint(
            f"More jobs may match: use --limit {min(10 * limit, MOST_LISTED)}, or a later --since."
        )


def _write_list(
    terminal: Terminal, deployment: "Deployment", found: "JobList", wanted: JobFilter
) -> None:
    if not found:
        if wanted != ALL:
            terminal.write("No job matches. Try an earlier --since or other filters.")
            _hint_at_typos(terminal, wanted)
        else:
            terminal.write(f"No jobs since {terminal.when(found.since)}.")
        return
    terminal.table(COLUMNS, [job_row(terminal, job) for job in found])
    terminal.write(sum_up(found))
    # A failed job is the one to look at.
    chosen = next((job for job in found if job.code is not None), found[0])
    show = deployment.command("jobs", "show", chosen.id[:ID_CHARACTERS])
    terminal.suggest("Details of a job:", show)


def _hint_at_typos(terminal: Terminal, wanted: JobFilter) -> None:
    """Write which known value resembles that of a filter."""
    from quilt_packager.operations.dead_letters.error_codes import DESCRIPTIONS

    for option, value, known in (
        ("--code", wanted.code, [*DESCRIPTIONS]),
        ("--source", wanted.source, [*TRIGGERS, *TRIGGERS.values()]),
    ):
        if value is not None and value not in known and (meant := did_you_mean(value, known)):
            terminal.hint(f"{option} {value}:{meant}")


def _follow(
    terminal: Terminal,
    deployment: "Deployment",
    since: datetime,
    wanted: JobFilter,
    *,
    as_json: bool,
) -> None:
    """Write each change of an outcome until Ctrl-C."""
    from quilt_packager.operations.jobs.watch import follow

    written: dict[str, tuple[State, int]] = {}
    for job in follow(deployment, since):
        state = (job.outcome, job.attempts)
        if written.get(job.id) == state:
            continue
        written[job.id] = state
        if not wanted.matches(job):
            continue
        if as_json:
            terminal.json(to_json(job))
        else:
            job_id = terminal.shorten(job.id, ID_CHARACTERS)
            terminal.change(job.updated, job.outcome, job_id, describe(job))


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
