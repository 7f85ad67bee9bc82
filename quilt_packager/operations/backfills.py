"""Finds folders and HealthOmics runs without a package, and sends messages for them."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from quilt_packager_runtime.errors import InvalidMessage
from quilt_packager_runtime.formats.objects import REGISTRY_PREFIX, SourceFolder
from quilt_packager_runtime.requests.events import CRATE_NAME, FolderReady, OmicsRun
from quilt_packager_runtime.requests.messages import parse_message
from quilt_packager_runtime.requests.omics_metadata import describe_run
from quilt_packager_runtime.requests.package_request import UnresolvedRequest, request_for_folder
from quilt_packager_runtime.settings import Settings

if TYPE_CHECKING:
    from types_boto3_omics.client import OmicsClient
    from types_boto3_omics.literals import RunStatusType
    from types_boto3_omics.type_defs import GetRunResponseTypeDef
    from types_boto3_s3.client import S3Client
    from types_boto3_sqs.client import SQSClient


class Candidate(NamedTuple):
    """A folder or a run that may lack a package.

    Attributes:
        name: Id of the run, or URI of the folder.
        ready: Time of completion, if AWS reports it.
        body: Message body.
        request: Packaging request of that message.
    """

    name: str
    ready: datetime | None
    body: str
    request: UnresolvedRequest


class Unusable(NamedTuple):
    """A folder or a run that the engine would reject or ignore.

    Attributes:
        name: Id of the run, or URI of the folder.
        why: Reason, as a sentence.
    """

    name: str
    why: str


Found = Iterator[Candidate | Unusable]


class Findings(NamedTuple):
    """Candidates by the state of their packages.

    Attributes:
        missing: Candidates without a package, or whose package name is not known yet.
        packaged: Number of candidates with a package.
        unusable: Folders and runs that the engine would reject or ignore.
    """

    missing: list[Candidate]
    packaged: int
    unusable: list[Unusable]

    @property
    def total(self) -> int:
        """The total number of folders or runs."""
        return len(self.missing) + self.packaged + len(self.unusable)


def find_folders(
    client: "S3Client", folder: SourceFolder, sentinel: str, settings: Settings
) -> Found:
    """Find the folders below `folder` that contain a file of the name `sentinel`."""
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
    """Find the runs of a status that were created at `since` or later."""
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
    """Sort candidates by the state of their packages.

    Args:
        client: Client of S3.
        found: Candidates, and unusable folders or runs.
        registry: Registry to search. Default: the registry of each request.
        everything: Treat all candidates as missing.
        on_found: Called with the number of folders or runs so far.
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
    """Send the message of a candidate, and return its id."""
    return client.send_message(QueueUrl=queue_url, MessageBody=candidate.body)["MessageId"]


def is_packaged(client: "S3Client", candidate: Candidate, registry: str | None = None) -> bool:
    """Return True if the package of a candidate exists; False if its name is not known yet.

    Unlike HEAD, listing needs no further permission, and distinguishes a missing key from denied
    access.
    """
    name = candidate.request.package_name
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
    if isinstance(wanted, UnresolvedRequest):
        return Candidate(name, ready, body, wanted)
    if isinstance(wanted, OmicsRun):
        return Unusable(name, "HealthOmics does not report the output location.")
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
