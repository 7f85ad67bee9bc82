"""`quilt-packager backfill`: messages for what no event came of, because events are best effort."""

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
from quilt_packager.operations import formats
from quilt_packager.operations.backfills import (
    Findings,
    Found,
    find_folders,
    find_runs,
    send,
    sort_out,
)
from quilt_packager.operations.deployment.deployments import Options, connect, make_client
from quilt_packager.operations.durations import parse_since

if TYPE_CHECKING:
    import boto3
    from types_boto3_omics.literals import RunStatusType
    from types_boto3_s3.client import S3Client
    from types_boto3_sqs.client import SQSClient

HELP = """Send messages for what has no package yet.

Events are best effort, and older data had none. With --dry-run nothing is sent.

Examples:
  quilt-packager backfill omics --since 7d --dry-run
  quilt-packager backfill s3 s3://raw/runs/
"""

app = make_group("backfill", HELP)

QueueUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The queue, instead of --stack. Nothing is known then of the engine's options.",
        show_default=False,
    ),
]
Registry = Annotated[
    str | None,
    typer.Option(
        metavar="BUCKET", help="The bucket with the packages. Default: where the engine puts them."
    ),
]
Everything = Annotated[bool, typer.Option("--all", help="Send for what has a package, too.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Tell what would be sent, and send nothing.")
]


class Target(NamedTuple):
    """Where messages go.

    Attributes:
        session: The credentials.
        region: The region of the queue.
        queue_url: The queue.
        settings: What is known of the engine's settings.
        options: The options by which the user chose it.
    """

    session: "boto3.Session"
    region: str | None
    queue_url: str
    settings: Settings
    options: Options


class Words(NamedTuple):
    """How results are told.

    Attributes:
        noun: What is looked for, of which there is one.
        ready: What happened to it when it was complete.
        name: What its name is the name of.
    """

    noun: str
    ready: str
    name: str


class Wish(NamedTuple):
    """What is to be done with what is found.

    Attributes:
        registry: Where to look for packages, if not where they would go.
        everything: Send for what has a package, too.
        dry_run: Send nothing.
        as_json: Tell it to a program.
    """

    registry: str | None
    everything: bool
    dry_run: bool
    as_json: bool


@app.command("s3")
def backfill_s3(
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="As s3://bucket/prefix/.")],
    *,
    sentinel: Annotated[
        str, typer.Option(metavar="NAME", help="The file that makes a folder one to package.")
    ] = CRATE_NAME,
    registry: Registry = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    queue_url: QueueUrl = None,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Send messages for the folders that hold a file of some name.

    A ro-crate-metadata.json is sent as its event, so that the options of WorkflowRunCrates apply.
    What is below .quilt/ is left out.

    Examples:
      quilt-packager backfill s3 s3://raw/runs/ --dry-run
      quilt-packager backfill s3 s3://raw/runs/ --sentinel done.txt
    """
    try:
        folder = parse_source_prefix(prefix)
    except ValueError as error:
        raise Misuse(
            f"{prefix} is no prefix to look below.",
            why=f"{error}.",
            remedy="Give it as s3://bucket/prefix/, ending in a slash.",
        ) from error
    target = _find_target(queue_url, stack, profile, region)
    s3 = make_client(target.session, "s3", target.region)
    return _backfill(
        target,
        find_folders(s3, folder, sentinel, target.settings),
        Words("folder", "written", "FOLDER"),
        Wish(registry, everything, dry_run, as_json),
    )


@app.command("omics")
def backfill_omics(
    *,
    since: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="Runs that were created since then: as 7d, or 2026-11-01.",
            show_default=False,
        ),
    ],
    status: Annotated[str, typer.Option(metavar="STATUS", help="The runs' status.")] = "COMPLETED",
    registry: Registry = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    queue_url: QueueUrl = None,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Send messages for the HealthOmics runs that have no package.

    They are those of the engine's region. Each is sent as its event, so that the options of
    HealthOmicsRuns apply.

    Examples:
      quilt-packager backfill omics --since 7d --dry-run
      quilt-packager backfill omics --since 2026-11-01 --status FAILED
    """
    if status not in OMICS_STATUSES:
        raise Misuse(
            f"{status} is no status of a run.",
            why=f"There are {', '.join(OMICS_STATUSES)}.",
            remedy="Give one of these.",
        )
    try:
        moment = parse_since(since, datetime.now(UTC))
    except ValueError as error:
        raise Misuse(
            str(error), why="--since takes a moment in the past.", remedy="--since 7d"
        ) from error
    target = _find_target(queue_url, stack, profile, region)
    omics = make_client(target.session, "omics", target.region)
    return _backfill(
        target,
        find_runs(omics, moment, cast("RunStatusType", status), target.settings),
        Words(f"{status.lower()} run", status.lower(), "RUN"),
        Wish(registry, everything, dry_run, as_json),
    )


def _find_target(
    queue_url: str | None, stack: str | None, profile: str | None, region: str | None
) -> Target:
    if queue_url is None:
        from quilt_packager.operations.deployment.configurations import read_configuration

        deployment = find(stack, profile, region)
        settings = read_configuration(deployment).settings
        session = connect(profile, deployment.region)
        return Target(
            session, deployment.region, deployment.queue_url, settings, deployment.options
        )
    if stack is not None:
        raise Misuse(
            "--queue-url and --stack are both given.",
            why="Either says where messages go.",
            remedy="Leave out one of them.",
        )
    options = Options(profile=profile, region=region)
    region = region or region_of(queue_url)
    return Target(connect(profile, region), region, queue_url, Settings(), options)


def _backfill(target: Target, found: Found, words: Words, wish: Wish) -> int:
    terminal = Terminal()
    s3: S3Client = make_client(target.session, "s3", target.region)
    sqs: SQSClient = make_client(target.session, "sqs", target.region)
    sent: list[str] = []
    with JobProgress(terminal) as progress:
        findings = sort_out(
            s3,
            found,
            registry=wish.registry,
            everything=wish.everything,
            on_found=lambda count: progress("looked at", count, None),
        )
        missing = findings.missing
        try:
            for candidate in () if wish.dry_run else missing:
                sent.append(send(sqs, target.queue_url, candidate))
                progress("sent", len(sent), len(missing))
        except BaseException:
            terminal.hint(
                f"{len(sent):,} of {len(missing):,} were sent; to send them twice does no harm."
            )
            raise
    if wish.as_json:
        terminal.json(_to_json(findings, sent, dry_run=wish.dry_run))
    else:
        _write(terminal, findings, words, wish, target.options)
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
                "package_name": each.request.known_package_name,
                "ready": each.ready,
                "message_id": message_id,
            }
            for each, message_id in zip(findings.missing, ids, strict=True)
        ],
        "unusable": [each._asdict() for each in findings.unusable],
    }


def _write(
    terminal: Terminal, findings: Findings, words: Words, wish: Wish, options: Options
) -> None:
    missing = findings.missing
    verb = "Would send" if wish.dry_run else "Sent"
    told = f"{verb} {len(missing):,} of {formats.count(findings.total, words.noun)}"
    if not wish.everything:
        has = "has" if findings.packaged == 1 else "have"
        told += f"; {findings.packaged:,} {has} a package"
    terminal.write(f"{told}.")
    if missing:
        terminal.table(
            [words.name, "PACKAGE", "REGISTRY", words.ready.upper()],
            [
                (
                    each.name,
                    each.request.known_package_name or "named by its crate",
                    each.request.registry,
                    terminal.when(each.ready) if each.ready else "",
                )
                for each in missing
            ],
            indent="  ",
        )
    for each in findings.unusable:
        terminal.hint(f"Left out {each.name}: {each.why}")
    if missing and wish.dry_run:
        terminal.hint("Drop --dry-run to send them.")
    elif missing:
        terminal.suggest("Follow them:", options.command("jobs", "--follow"))
