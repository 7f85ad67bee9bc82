"""Finds what no event came of, as folders and HealthOmics runs without a package, and sends it."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from quilt_packager_runtime.errors import InvalidMessage
from quilt_packager_runtime.formats.objects import REGISTRY_PREFIX, SourceFolder
from quilt_packager_runtime.requests.events import CRATE_NAME, FolderReady, OmicsRun
from quilt_packager_runtime.requests.messages import (
    PackageRequest,
    parse_message,
    request_for_folder,
)
from quilt_packager_runtime.requests.omics_metadata import describe_run
from quilt_packager_runtime.settings import Settings

if TYPE_CHECKING:
    from types_boto3_omics.client import OmicsClient
    from types_boto3_omics.literals import RunStatusType
    from types_boto3_omics.type_defs import GetRunResponseTypeDef
    from types_boto3_s3.client import S3Client
    from types_boto3_sqs.client import SQSClient


class Candidate(NamedTuple):
    """What may lack a package.

    Attributes:
        name: What a person knows it by: the run's id, or the folder.
        ready: When it was complete, as far as AWS tells.
        body: The message for it.
        request: What comes of that.
    """

    name: str
    ready: datetime | None
    body: str
    request: PackageRequest


class Unusable(NamedTuple):
    """What the engine would reject or ignore.

    Attributes:
        name: As `Candidate` has it.
        why: Why, as a sentence.
    """

    name: str
    why: str


Found = Iterator[Candidate | Unusable]


class Findings(NamedTuple):
    """What was found.

    Attributes:
        missing: What has no package, or whose package cannot be looked up.
        packaged: How many have one.
        unusable: What the engine would reject or ignore.
    """

    missing: list[Candidate]
    packaged: int
    unusable: list[Unusable]

    @property
    def total(self) -> int:
        """How many there are in all."""
        return len(self.missing) + self.packaged + len(self.unusable)


def find_folders(
    client: "S3Client", folder: SourceFolder, sentinel: str, settings: Settings
) -> Found:
    """Find the folders that hold a file of some name.

    Args:
        client: S3.
        folder: Where to look.
        sentinel: The file's name.
        settings: The engine's settings, by which it would treat them.
    """
    pages = client.get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=folder.bucket, Prefix=folder.prefix):
        for listed in page.get("Contents", []):
            parent, slash, name = listed["Key"].rpartition("/")
            if name != sentinel or not slash or listed["Key"].startswith(REGISTRY_PREFIX):
                continue
            found = SourceFolder(folder.bucket, parent + slash)
            message: dict[str, object] = {"source_prefix": str(found)}
            if name == CRATE_NAME:
                message = _crate_event(folder.bucket, listed["Key"])
            yield _read(str(found), listed["LastModified"], message, settings)


def find_runs(
    client: "OmicsClient", since: datetime, status: "RunStatusType", settings: Settings
) -> Found:
    """Find the runs of a status.

    Args:
        client: HealthOmics.
        since: When they were created at the earliest.
        status: The status.
        settings: The engine's settings, by which it would treat them.
    """
    for page in client.get_paginator("list_runs").paginate(status=status):
        for listed in page["items"]:
            if listed["creationTime"] >= since:
                run = client.get_run(id=listed["id"])
                ready = run.get("stopTime", run["creationTime"])
                yield _read(run["id"], ready, _run_event(run, status), settings, run)


def sort_out(
    client: "S3Client",
    found: Found,
    *,
    registry: str | None = None,
    everything: bool = False,
    on_found: Callable[[int], object] = lambda _: None,
) -> Findings:
    """Tell what has no package from what has one.

    Args:
        client: S3.
        found: What was found.
        registry: Where to look for packages. Default: where they would go.
        everything: Look for none: all of it is missing.
        on_found: Called with the count of what was looked at, each time.
    """
    findings = Findings([], 0, [])
    for each in found:
        if isinstance(each, Unusable):
            findings.unusable.append(each)
        elif not everything and is_packaged(client, each, registry):
            findings = findings._replace(packaged=findings.packaged + 1)
        else:
            findings.missing.append(each)
        on_found(findings.total)
    return findings


def send(client: "SQSClient", queue_url: str, candidate: Candidate) -> str:
    """Send the message for a candidate.

    Args:
        client: SQS.
        queue_url: The engine's queue.
        candidate: The candidate.

    Returns:
        The message's id.
    """
    return client.send_message(QueueUrl=queue_url, MessageBody=candidate.body)["MessageId"]


def is_packaged(client: "S3Client", candidate: Candidate, registry: str | None = None) -> bool:
    """Whether there is a package of a candidate's name, as far as the name is known.

    Listing asks for no more rights than looking at the data does, and tells 404 from 403.

    Args:
        client: S3.
        candidate: The candidate.
        registry: Where to look. Default: where the package would go.
    """
    name = candidate.request.known_package_name
    if name is None:
        return False
    pointer = f"{REGISTRY_PREFIX}named_packages/{name}/latest"
    answer = client.list_objects_v2(
        Bucket=registry or candidate.request.registry, Prefix=pointer, MaxKeys=1
    )
    return bool(answer["KeyCount"])


def _read(
    name: str,
    ready: datetime | None,
    message: dict[str, object],
    settings: Settings,
    run: Mapping[str, Any] | None = None,
) -> Candidate | Unusable:
    body = json.dumps(message)
    registry = settings.default_registry
    try:
        wanted = parse_message(body, default_registry=registry, sources=settings.sources)
        if isinstance(wanted, OmicsRun) and wanted.source is not None:
            folder = FolderReady(wanted.source, wanted.trigger, wanted.options)
            wanted = request_for_folder(
                folder, described=describe_run(wanted, run or {}), default_registry=registry
            )
    except InvalidMessage as error:
        return Unusable(name, error.happened)
    if isinstance(wanted, PackageRequest):
        return Candidate(name, ready, body, wanted)
    if isinstance(wanted, OmicsRun):
        return Unusable(name, "HealthOmics does not say where it wrote.")
    return Unusable(name, f"{wanted.why[:1].upper()}{wanted.why[1:]}.")


def _crate_event(bucket: str, key: str) -> dict[str, object]:
    detail = {"bucket": {"name": bucket}, "object": {"key": key}}
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}


def _run_event(run: "GetRunResponseTypeDef", status: str) -> dict[str, object]:
    output_uri = run.get("runOutputUri")
    if not output_uri and run.get("outputUri"):
        output_uri = f"{run['outputUri'].rstrip('/')}/{run['id']}"
    detail = {
        "arn": run["arn"],
        "status": status,
        "runOutputUri": output_uri,
        "runName": run.get("name"),
        "workflowId": run.get("workflowId"),
    }
    return {"source": "aws.omics", "detail-type": "Run Status Change", "detail": detail}
