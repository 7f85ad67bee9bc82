"""`quilt-packager backfill`: messages for runs and folders that have no package."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, NamedTuple, cast

import typer
from quilt_packager_runtime.formats.names import parse_source_prefix
from quilt_packager_runtime.requests.events import CRATE_NAME, OMICS_STATUSES
from quilt_packager_runtime.settings import Settings

from quilt_packager.cli.commands.send import region_of
from quilt_packager.cli.console.errors import Misuse
from quilt_packager.cli.console.exits import Exit
from quilt_packager.cli.console.options import (
    JsonOption,
    ProfileOption,
    RegionOption,
    StackOption,
    find,
)
from quilt_packager.cli.console.progress import JobProgress
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.cli.console.typer_groups import make_group
from quilt_packager.cli.console.usage import sentence
from quilt_packager.operations import formats
from quilt_packager.operations.backfills import (
    Findings,
    Found,
    Sender,
    find_folders,
    find_runs,
    read_proposals,
    sort_out,
)
from quilt_packager.operations.deployment.deployments import Options, connect, make_client
from quilt_packager.operations.durations import parse_since

if TYPE_CHECKING:
    import boto3
    from types_boto3_omics.literals import RunStatusType
    from types_boto3_s3.client import S3Client
    from types_boto3_sqs.client import SQSClient

HELP = """Send messages for folders and runs without a package.

Events are best effort, and older data caused none. Use --dry-run to list without sending.

Examples:
  quilt-packager backfill omics --since 7d --dry-run
  quilt-packager backfill s3 s3://raw/runs/
  quilt-packager discover s3://raw/ --json | quilt-packager backfill -
"""

app = make_group("backfill", HELP)

QueueUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Queue, instead of --stack. The engine's options are then unknown.",
        show_default=False,
    ),
]
Registry = Annotated[
    str | None,
    typer.Option(
        metavar="BUCKET", help="Bucket with the packages. Default: the engine's registry."
    ),
]
Everything = Annotated[
    bool, typer.Option("--all", help="Include items that already have a package.")
]
MaxQueued = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=1,
        help="Maximum number of messages in the queue. The command waits while it has more.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="List the messages without sending them.")]

MAX_QUEUED = 1000
"""An engine with 10 concurrent jobs has work for a while, and events do not wait long."""


class Destination(NamedTuple):
    """The queue to send to.

    Attributes:
        session: The AWS credentials.
        region: The queue's region.
        queue_url: The queue.
        settings: The engine's settings, or the defaults if only the queue is known.
        options: The options that selected the engine.
    """

    session: "boto3.Session"
    region: str | None
    queue_url: str
    settings: Settings
    options: Options


class Wording(NamedTuple):
    """The terms of the output.

    Attributes:
        noun: Singular noun for the items.
        ready: Past participle for their completion.
        name: Heading for their names.
    """

    noun: str
    ready: str
    name: str


class BackfillOptions(NamedTuple):
    """The options that all commands share.

    Attributes:
        registry: Bucket to search for packages, if not the engine's.
        everything: Also send messages for items that have a package.
        dry_run: Send nothing.
        max_queued: Maximum number of messages in the queue.
        as_json: Write JSON.
    """

    registry: str | None
    everything: bool
    dry_run: bool
    max_queued: int
    as_json: bool


@app.command("s3")
def backfill_s3(
    prefix: Annotated[
        str, typer.Argument(metavar="PREFIX", help="Prefix, such as s3://bucket/prefix/.")
    ],
    *,
    sentinel: Annotated[
        str, typer.Option(metavar="NAME", help="File that marks a folder to package.")
    ] = CRATE_NAME,
    registry: Registry = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    max_queued: MaxQueued = MAX_QUEUED,
    queue_url: QueueUrl = None,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Send messages for the folders that contain a given file.

    A ro-crate-metadata.json is sent as its event, so that the options of WorkflowRunCrates apply.
    Files below .quilt/ are skipped.

    Examples:
      quilt-packager backfill s3 s3://raw/runs/ --dry-run
      quilt-packager backfill s3 s3://raw/runs/ --sentinel done.txt
    """
    try:
        folder = parse_source_prefix(prefix)
    except ValueError as error:
        raise Misuse(
            f"Invalid prefix: {prefix}",
            why=sentence(str(error)),
            remedy="Use the form s3://bucket/prefix/, ending in a slash.",
        ) from error
    if not sentinel:
        raise Misuse(
            "Invalid --sentinel: it is empty.",
            why="It is the name of a file that marks a folder.",
            remedy="--sentinel done.txt",
        )
    destination = _find_destination(queue_url, stack, profile, region)
    s3 = make_client(destination.session, "s3", destination.region)
    return _backfill(
        destination,
        find_folders(s3, folder, sentinel, destination.settings),
        Wording("folder", "written", "FOLDER"),
        BackfillOptions(registry, everything, dry_run, max_queued, as_json),
    )


@app.command("omics")
def backfill_omics(
    *,
    since: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="Start of the period in which runs were created, such as 7d or 2026-11-01.",
            show_default=False,
        ),
    ],
    status: Annotated[
        str, typer.Option(metavar="STATUS", help="Status of the runs.")
    ] = "COMPLETED",
    registry: Registry = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    max_queued: MaxQueued = MAX_QUEUED,
    queue_url: QueueUrl = None,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Send messages for HealthOmics runs without a package.

    Covers the runs of the engine's region. Each is sent as its event, so that the options of
    HealthOmicsRuns apply.

    Examples:
      quilt-packager backfill omics --since 7d --dry-run
      quilt-packager backfill omics --since 2026-11-01 --status FAILED
    """
    if status not in OMICS_STATUSES:
        raise Misuse(
            f"Invalid run status: {status}",
            why=f"HealthOmics has {', '.join(OMICS_STATUSES)}.",
            remedy="Use one of these.",
        )
    try:
        moment = parse_since(since, datetime.now(UTC))
    except ValueError as error:
        raise Misuse(
            str(error), why="--since takes a time in the past.", remedy="--since 7d"
        ) from error
    destination = _find_destination(queue_url, stack, profile, region)
    omics = make_client(destination.session, "omics", destination.region)
    return _backfill(
        destination,
        find_runs(omics, moment, cast("RunStatusType", status), destination.settings),
        Wording(f"{status.lower()} run", status.lower(), "RUN"),
        BackfillOptions(registry, everything, dry_run, max_queued, as_json),
    )


@app.command("-")
def backfill_proposals(
    *,
    registry: Registry = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    max_queued: MaxQueued = MAX_QUEUED,
    queue_url: QueueUrl = None,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Send the messages that discover --json wrote, from standard input.

    Incomplete folders and those with a problem are skipped. Run it again to continue: folders that
    have a package by then are not sent again.

    Examples:
      quilt-packager discover s3://raw/ --json | quilt-packager backfill -
      quilt-packager backfill - --max-queued 50 < proposals.jsonl
    """
    destination = _find_destination(queue_url, stack, profile, region)
    try:
        return _backfill(
            destination,
            read_proposals(sys.stdin, destination.settings),
            Wording("folder", "written", "FOLDER"),
            BackfillOptions(registry, everything, dry_run, max_queued, as_json),
        )
    except ValueError as error:
        raise Misuse(
            "Standard input has no proposals.",
            why=sentence(str(error)),
            remedy="quilt-packager discover s3://bucket/ --json | quilt-packager backfill -",
        ) from error


def _find_destination(
    queue_url: str | None, stack: str | None, profile: str | None, region: str | None
) -> Destination:
    if queue_url is None:
        from quilt_packager.operations.deployment.configurations import read_configuration

        deployment = find(stack, profile, region)
        settings = read_configuration(deployment).settings
        session = connect(profile, deployment.region)
        return Destination(
            session, deployment.region, deployment.queue_url, settings, deployment.options
        )
    if stack is not None:
        raise Misuse(
            "--queue-url cannot be combined with --stack.",
            why="Each selects the queue.",
            remedy="Remove one of them.",
        )
    options = Options(profile=profile, region=region)
    region = region or region_of(queue_url)
    return Destination(connect(profile, region), region, queue_url, Settings(), options)


def _backfill(
    destination: Destination, found: Found, wording: Wording, options: BackfillOptions
) -> int:
    terminal = Terminal()
    s3: S3Client = make_client(destination.session, "s3", destination.region)
    sqs: SQSClient = make_client(destination.session, "sqs", destination.region)
    sender = Sender(sqs, destination.queue_url, max_queued=options.max_queued)
    with JobProgress(terminal) as progress:
        try:
            findings = sort_out(
                s3,
                found,
                registry=options.registry,
                everything=options.everything,
                on_found=lambda count: progress(f"sent {len(sender.sent):,}, checked", count, None),
                on_missing=(lambda _: None) if options.dry_run else sender.add,
            )
            sender.flush()
        except BaseException:
            terminal.hint(
                f"Sent {len(sender.sent):,} messages. Run the command again to continue; sending "
                "a message again is harmless."
            )
            raise
    if options.as_json:
        terminal.json(_to_json(findings, sender.sent, dry_run=options.dry_run))
    else:
        _write(terminal, findings, wording, options, destination.options)
    return Exit.OK


def _to_json(findings: Findings, sent: Sequence[str], *, dry_run: bool) -> dict[str, object]:
    ids: Sequence[str | None] = sent or [None] * len(findings.missing)
    return {
        "dry_run": dry_run,
        "found": findings.total,
        "packaged": findings.packaged,
        "missing": [
            {
                "name": each.name,
                "source": str(each.request.source),
                "registry": each.request.registry,
                "package_name": each.request.package_name,
                "ready": each.ready,
                "message_id": message_id,
            }
            for each, message_id in zip(findings.missing, ids, strict=True)
        ],
        "unusable": [each._asdict() for each in findings.unusable],
    }


def _write(
    terminal: Terminal,
    findings: Findings,
    wording: Wording,
    options: BackfillOptions,
    engine: Options,
) -> None:
    missing = findings.missing
    verb = "Would send" if options.dry_run else "Sent"
    summary = f"{verb} {len(missing):,} of {formats.count(findings.total, wording.noun)}"
    if not options.everything:
        has = "has" if findings.packaged == 1 else "have"
        summary += f"; {findings.packaged:,} {has} a package"
    terminal.write(f"{summary}.")
    if missing:
        terminal.table(
            [wording.name, "PACKAGE", "REGISTRY", wording.ready.upper()],
            [
                (
                    each.name,
                    each.request.package_name or "named by its crate",
                    each.request.registry,
                    terminal.when(each.ready) if each.ready else "",
                )
                for each in missing
            ],
            indent="  ",
        )
    for each in findings.unusable:
        terminal.hint(f"Skipped {each.name}: {each.why}")
    if missing and options.dry_run:
        terminal.hint("Remove --dry-run to send them.")
    elif missing:
        terminal.suggest("To follow them:", engine.command("jobs", "--follow"))
