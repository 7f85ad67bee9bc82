"""`quilt-packager backfill`: messages for what no event came of, because events are best effort."""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import typer
from quilt_packager_runtime.events import CRATE_NAME, FolderReady, OmicsRun
from quilt_packager_runtime.messages import PackageRequest, parse_message, request_for_folder
from quilt_packager_runtime.naming import parse_source_prefix
from quilt_packager_runtime.objects import REGISTRY_PREFIX, SourceFolder

from quilt_packager import formats
from quilt_packager.cli.errors import Misuse
from quilt_packager.cli.exits import Exit
from quilt_packager.cli.send import region_of
from quilt_packager.cli.terminal import Terminal

HELP = """Send messages for what has no package yet.

Events are best effort, and older data had none. With --dry-run nothing is sent.

Examples:
  quilt-packager backfill s3 s3://raw/runs/ --queue-url "$PACKAGER_QUEUE_URL" --dry-run
  quilt-packager backfill omics --since 2026-11-01 --queue-url "$PACKAGER_QUEUE_URL"
"""

app = typer.Typer(
    name="backfill",
    no_args_is_help=True,
    rich_markup_mode=None,
)

QueueUrl = Annotated[
    str, typer.Option(help="The queue: the stack's output PackagerQueueUrl.", show_default=False)
]
Registry = Annotated[
    str | None,
    typer.Option(help="The bucket with the packages. Default: that of the data."),
]
Everything = Annotated[
    bool,
    typer.Option(
        "--all",
        help="Send for what has a package, too. Needed where a template names packages: only names "
        "after folders can be looked up.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Tell what would be sent, and send nothing.")
]


class Candidate(NamedTuple):
    """What may lack a package.

    Attributes:
        body: The message for it.
        request: What comes of that.
    """

    body: str
    request: PackageRequest


@app.command("s3")
def backfill_s3(
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="As s3://bucket/prefix/.")],
    *,
    queue_url: QueueUrl,
    sentinel: Annotated[
        str, typer.Option(help="The file that makes a folder one to package.")
    ] = CRATE_NAME,
    registry: Registry = None,
    everything: Everything = False,
    dry_run: DryRun = False,
) -> int:
    """Send messages for the folders below a prefix that hold a file of some name.

    A ro-crate-metadata.json is sent as its event, so that the options of WorkflowRunCrates apply.
    Crates at a bucket's root, and what is below .quilt/, are left out.
    """
    import boto3

    try:
        folder = parse_source_prefix(prefix)
    except ValueError as error:
        raise Misuse(
            f"{prefix} is no prefix to look below.",
            why=f"{error}.",
            remedy="Give it as s3://bucket/prefix/, ending in a slash.",
        ) from error
    found = find_folders(boto3.client("s3"), folder, sentinel)
    return _backfill(found, queue_url, registry, everything=everything, dry_run=dry_run)


@app.command("omics")
def backfill_omics(
    *,
    since: Annotated[
        datetime,
        typer.Option(help="Runs that were created since then, in UTC.", show_default=False),
    ],
    queue_url: QueueUrl,
    status: Annotated[str, typer.Option(help="The runs' status.")] = "COMPLETED",
    registry: Registry = None,
    everything: Everything = False,
    dry_run: DryRun = False,
) -> int:
    """Send messages for the HealthOmics runs of the queue's region that have no package.

    Each is sent as its event, so that the options of HealthOmicsRuns apply.
    """
    import boto3

    client = boto3.client("omics", region_name=region_of(queue_url))
    found = find_runs(client, since.replace(tzinfo=UTC), status)
    return _backfill(found, queue_url, registry, everything=everything, dry_run=dry_run)


def find_folders(client: Any, folder: SourceFolder, sentinel: str) -> Iterator[Candidate]:  # noqa: ANN401 - boto3 makes it
    """Find the folders that hold a file of some name.

    Args:
        client: S3.
        folder: Where to look.
        sentinel: The file's name.
    """
    pages = client.get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=folder.bucket, Prefix=folder.prefix):
        for listed in page.get("Contents", []):
            parent, slash, name = listed["Key"].rpartition("/")
            if name != sentinel or not slash or listed["Key"].startswith(REGISTRY_PREFIX):
                continue
            yield from _candidate(
                _crate_event(folder.bucket, listed["Key"])
                if name == CRATE_NAME
                else {"source_prefix": str(SourceFolder(folder.bucket, parent + slash))}
            )


def find_runs(client: Any, since: datetime, status: str) -> Iterator[Candidate]:  # noqa: ANN401 - boto3 makes it
    """Find the runs of a status.

    Args:
        client: HealthOmics.
        since: When they were created at the earliest.
        status: The status.
    """
    for page in client.get_paginator("list_runs").paginate(status=status):
        for listed in page["items"]:
            if listed["creationTime"] >= since:
                run = client.get_run(id=listed["id"])
                yield from _candidate(_run_event(run, status))


def _candidate(message: dict[str, object]) -> Iterator[Candidate]:
    body = json.dumps(message)
    wanted = parse_message(body)
    if isinstance(wanted, OmicsRun) and wanted.source is not None:
        wanted = request_for_folder(FolderReady(wanted.source, wanted.trigger, wanted.options))
    if isinstance(wanted, PackageRequest):
        yield Candidate(body, wanted)


def _crate_event(bucket: str, key: str) -> dict[str, object]:
    detail = {"bucket": {"name": bucket}, "object": {"key": key}}
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}


def _run_event(run: dict[str, Any], status: str) -> dict[str, object]:
    output_uri = run.get("runOutputUri") or f"{run['outputUri'].rstrip('/')}/{run['id']}"
    detail = {
        "arn": run["arn"],
        "status": status,
        "runOutputUri": output_uri,
        "runName": run.get("name"),
        "workflowId": run.get("workflowId"),
    }
    return {"source": "aws.omics", "detail-type": "Run Status Change", "detail": detail}


def _backfill(
    candidates: Iterable[Candidate],
    queue_url: str,
    registry: str | None,
    *,
    everything: bool,
    dry_run: bool,
) -> int:
    import boto3

    terminal = Terminal()
    s3, sqs = boto3.client("s3"), boto3.client("sqs", region_name=region_of(queue_url))
    rows: list[tuple[str, str, str]] = []
    for body, request in candidates:
        name = request.package_name
        if not everything and _is_package(s3, registry or request.registry, name):
            rows.append(("= packaged", name, str(request.source)))
            continue
        if not dry_run:
            sqs.send_message(QueueUrl=queue_url, MessageBody=body)
        rows.append(("+ to send" if dry_run else "+ sent", name, str(request.source)))
    if rows:
        terminal.table(["STATE", "PACKAGE", "SOURCE"], rows, indent="  ")
    new = sum(state.startswith("+") for state, _, _ in rows)
    done = "to send" if dry_run else "sent"
    terminal.write(
        f"{formats.count(len(rows), 'folder')}: {new} {done}, {len(rows) - new} packaged"
    )
    return Exit.OK


def _is_package(client: Any, registry: str, name: str) -> bool:  # noqa: ANN401 - boto3 makes it
    """Listing asks for no more rights than looking at the data does, and tells 404 from 403."""
    pointer = f"{REGISTRY_PREFIX}named_packages/{name}/latest"
    return bool(client.list_objects_v2(Bucket=registry, Prefix=pointer, MaxKeys=1)["KeyCount"])
