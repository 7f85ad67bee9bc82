"""Finds folders and HealthOmics runs without a package, and sends messages for them."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from quilt_packager_runtime.errors import InvalidMessage, quote
from quilt_packager_runtime.formats.json_errors import describe_decode_error
from quilt_packager_runtime.formats.objects import (
    MAX_MESSAGE_BYTES,
    REGISTRY_PREFIX,
    SourceFolder,
)
from quilt_packager_runtime.requests.events import CRATE_NAME, FolderReady, OmicsRun
from quilt_packager_runtime.requests.messages import parse_message
from quilt_packager_runtime.requests.omics_metadata import describe_run
from quilt_packager_runtime.requests.package_request import UnresolvedRequest, request_for_folder
from quilt_packager_runtime.settings import Settings

from quilt_packager.operations.aws_errors import is_denied
from quilt_packager.operations.errors import SendFailed

if TYPE_CHECKING:
    from types_boto3_omics.client import OmicsClient
    from types_boto3_omics.literals import RunStatusType
    from types_boto3_omics.type_defs import GetRunResponseTypeDef
    from types_boto3_s3.client import S3Client
    from types_boto3_sqs.client import SQSClient


BATCH_MESSAGES = 10
"""Maximum number of messages in one request to SQS."""

POLL_SECONDS = 5.0
"""Time between looks at a queue that is full enough."""


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


class ProposedPackage(msgspec.Struct, frozen=True, kw_only=True):
    """A folder that `discover` proposes as a package. `backfill` needs its message only.

    Attributes:
        folder: URI of the folder.
        kind: Kind of the folder.
        package_name: Name of the package; None if the folder makes no valid name.
        registry: Registry of the package.
        objects: Number of objects.
        bytes: Their total size.
        archived: Number of archived objects.
        missing: Files that the kind of folder has when it is complete.
        packaged_as: Package that has the folder, or one above it.
        problem: Reason for which the engine would reject it.
        usd: Price of a first package in US dollars.
        message: The message that requests the package.
    """

    folder: str = ""
    kind: str = ""
    package_name: str | None = None
    registry: str = ""
    objects: int = 0
    bytes: int = 0
    archived: int = 0
    missing: tuple[str, ...] = ()
    packaged_as: str | None = None
    problem: str | None = None
    usd: float = 0.0
    message: dict[str, Any]


class AlreadyPackaged(NamedTuple):
    """A folder that has a package, and the candidate for another revision of it."""

    candidate: Candidate


Found = Iterator[Candidate | Unusable | AlreadyPackaged]


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


def read_proposals(lines: Iterable[str], settings: Settings) -> Found:
    """Read the proposals of `discover`, one JSON object a line.

    Raises:
        ValueError: A line is no proposal.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            proposed = msgspec.json.decode(line, type=ProposedPackage)
        except msgspec.DecodeError as error:
            raise ValueError(
                f"line {number} is no proposal: {describe_decode_error(error)}"
            ) from error
        name = proposed.folder or str(proposed.message.get("source_prefix"))
        candidate = _read(name, None, proposed.message, settings)
        if proposed.missing:
            yield Unusable(name, f"It has no {', '.join(proposed.missing)}.")
        elif proposed.packaged_as is not None and isinstance(candidate, Candidate):
            yield AlreadyPackaged(candidate)
        elif proposed.problem is not None:
            yield Unusable(name, proposed.problem)
        else:
            yield candidate


def sort_out(
    client: "S3Client",
    found: Found,
    *,
    registry: str | None = None,
    everything: bool = False,
    on_found: Callable[[int], object] = lambda _: None,
    on_missing: Callable[[Candidate], object] = lambda _: None,
) -> Findings:
    """Sort candidates by the state of their packages.

    Args:
        client: Client of S3.
        found: Candidates, and unusable folders or runs.
        registry: Registry to search. Default: the registry of each request.
        everything: Treat all candidates as missing.
        on_found: Called with the number of folders or runs so far.
        on_missing: Called with each candidate without a package.
    """
    findings = Findings([], 0, [])
    for each in found:
        if isinstance(each, Unusable):
            findings.unusable.append(each)
        elif not everything and (
            isinstance(each, AlreadyPackaged) or is_packaged(client, each, registry)
        ):
            findings = findings._replace(packaged=findings.packaged + 1)
        else:
            candidate = each.candidate if isinstance(each, AlreadyPackaged) else each
            findings.missing.append(candidate)
            on_missing(candidate)
        on_found(findings.total)
    return findings


class Sender:
    """Sends messages in batches, and waits while the queue holds enough of them.

    Args:
        client: Client of SQS.
        queue_url: The queue.
        max_queued: Maximum number of messages in the queue, received ones included.
        wait: Called with a number of seconds to wait.

    Attributes:
        sent: Ids of the messages in the order of their candidates.
    """

    def __init__(
        self,
        client: "SQSClient",
        queue_url: str,
        *,
        max_queued: int,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self._client = client
        self._queue_url = queue_url
        self._max_queued = max_queued
        self._wait = wait
        self._room = 0
        self._pending: list[Candidate] = []
        self.sent: list[str] = []

    def add(self, candidate: Candidate) -> None:
        """Send a message, or keep it until a batch is full."""
        waiting_bytes = sum(len(each.body.encode()) for each in self._pending)
        if waiting_bytes + len(candidate.body.encode()) > MAX_MESSAGE_BYTES:
            self.flush()
        self._pending.append(candidate)
        if len(self._pending) == BATCH_MESSAGES:
            self.flush()

    def flush(self) -> None:
        """Send the messages that were kept.

        Raises:
            SendFailed: SQS did not take one of them.
        """
        while self._pending:
            if self._room <= 0:
                self._room = self._max_queued - self._count_queued()
            if self._room <= 0:
                self._wait(POLL_SECONDS)
                continue
            batch, self._pending = self._pending[: self._room], self._pending[self._room :]
            self.sent += self._send(batch)
            self._room -= len(batch)

    def _send(self, candidates: Sequence[Candidate]) -> list[str]:
        answer = self._client.send_message_batch(
            QueueUrl=self._queue_url,
            Entries=[
                {"Id": str(number), "MessageBody": each.body}
                for number, each in enumerate(candidates)
            ],
        )
        if failed := answer.get("Failed"):
            names = ", ".join(candidates[int(each["Id"])].name for each in failed)
            raise SendFailed(
                f"SQS did not take the messages of {names}.",
                why=f"{failed[0]['Code']}. AWS said: {quote(failed[0].get('Message', ''))}.",
                remedy="Run the command again: it sends what has no package.",
            )
        ids = {each["Id"]: each["MessageId"] for each in answer["Successful"]}
        return [ids[str(number)] for number in range(len(candidates))]

    def _count_queued(self) -> int:
        """Count the messages of the queue; 0 before the first is sent, if that is denied."""
        from botocore.exceptions import ClientError

        try:
            attributes = self._client.get_queue_attributes(
                QueueUrl=self._queue_url,
                AttributeNames=[
                    "ApproximateNumberOfMessages",
                    "ApproximateNumberOfMessagesNotVisible",
                ],
            )["Attributes"]
        except ClientError as error:
            if is_denied(error) and not self.sent:
                return 0
            raise
        return sum(map(int, attributes.values()))


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
