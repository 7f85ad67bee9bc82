"""Events that announce a folder: for each kind, the rule's pattern and the translation.

Constructs bind the patterns; the queue receives whole events, which are translated here.
Keys in events are raw (never URIs), except in classic S3 notifications, which form-encode them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeVar
from urllib.parse import unquote_plus

import msgspec

from quilt_packager_runtime.errors import (
    InvalidMessage,
    name_some,
    quote,
)
from quilt_packager_runtime.formats.event_names import EVENT_SOURCE, UPLOADS_SOURCE
from quilt_packager_runtime.formats.json_errors import describe_type_error
from quilt_packager_runtime.formats.objects import REGISTRY_PREFIX, SourceFolder
from quilt_packager_runtime.formats.outcome import DETAIL_TYPES
from quilt_packager_runtime.settings.source_options import SourceKind, SourceOptions, find_options

Kind = Literal["message", SourceKind]

Sources = Sequence[SourceOptions]
"""The options of an engine's event sources."""


MAX_ID_CHARACTERS = 256
"""Maximum length of a sender's name: EventBridge's ids have 36 characters, those of S3 16."""


class Trigger(msgspec.Struct, frozen=True):
    """The cause of a job. Senders choose its texts, which are cut to `MAX_ID_CHARACTERS`.

    Attributes:
        kind: `message` for a package description, otherwise the kind of event.
        event_id: The event's id, to find it in other logs; None where it has none.
        event_source: Sender of the event, for kinds of events that have several senders.
    """

    kind: Kind
    event_id: str | None = None
    event_source: str | None = None

    def __post_init__(self) -> None:
        """Cut texts that no service writes."""
        for name in ("event_id", "event_source"):
            text = getattr(self, name)
            if text is not None and len(text) > MAX_ID_CHARACTERS:
                msgspec.structs.force_setattr(self, name, text[:MAX_ID_CHARACTERS])


class FolderReady(msgspec.Struct, frozen=True):
    """An event that names the folder to package.

    Attributes:
        source: The folder.
        trigger: The event.
        options: Options of the event source.
    """

    source: SourceFolder
    trigger: Trigger
    options: SourceOptions


class OmicsRun(msgspec.Struct, frozen=True, kw_only=True):
    """A HealthOmics run, as its event describes it; `omics:GetRun` has more fields.

    Attributes:
        run_id: Id of the run.
        arn: ARN of the run, which contains its region.
        status: Status in the event.
        source: Folder of the run; None if `omics:GetRun` has to be called, see `omics_folder`.
        name: Name of the run.
        workflow_id: Id of the workflow.
        workflow_name: Name of the workflow.
        trigger: The event.
        options: Options of the event source.
    """

    run_id: str
    arn: str
    status: str
    source: SourceFolder | None = None
    name: str | None = None
    workflow_id: str | None = None
    workflow_name: str | None = None
    trigger: Trigger
    options: SourceOptions

    @property
    def region(self) -> str:
        """Region of the run."""
        return self.arn.split(":")[3]


class Ignored(msgspec.Struct, frozen=True):
    """An event that requests no package, with the reason."""

    why: str


Translation = FolderReady | OmicsRun | Ignored
_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Shape = TypeVar("_Shape")


def is_event(body: Mapping[str, object]) -> bool:
    """Return whether a JSON object is an event, known or not, and no package description.

    Example:
        >>> is_event({"source_prefix": "s3://b/f/"}), is_event({"Event": "s3:TestEvent"})
        (False, True)
    """
    return not body.keys().isdisjoint({"detail-type", "Records", "Event"})


def translate(  # noqa: PLR0911 - one return for each kind
    event: Mapping[str, object], sources: Sources = ()
) -> Translation:
    """Translate an event.

    Args:
        event: An EventBridge event, or a classic S3 notification.
        sources: The options of the event sources, one of which it came from.

    Raises:
        InvalidMessage: The event's kind is unknown, or its shape is not that of its kind.

    Example:
        >>> translate({"Event": "s3:TestEvent"})
        Ignored(why="S3's test of a new notification")
    """
    if event.get("Event") == "s3:TestEvent":
        return Ignored("S3's test of a new notification")
    if "Records" in event:
        return _translate_notification(event, sources)
    match event.get("source"), event.get("detail-type"):
        case "aws.omics", "Run Status Change":
            return _translate_omics(event, sources)
        case "aws.s3", "Object Created":
            return _translate_object_created(event, sources)
        case "aws.s3", "AWS API Call via CloudTrail":
            return _translate_api_call(event, sources)
        case _, "package-objects-ready":
            return _translate_objects_ready(event, sources)
        case source, detail_type if source == EVENT_SOURCE and detail_type in DETAIL_TYPES.values():
            return Ignored("an outcome requests no package: a loop would follow")
        case source, detail_type:
            raise InvalidMessage(
                f"Unknown kind of event: {quote(str(detail_type))} of {quote(str(source))}.",
                why="The folder of an unknown event cannot be determined.",
                remedy="Send a message with a source_prefix, for example by an input transformer.",
            )


# HealthOmics: a run changed its status. Only `arn` and `status` are in all generations.

OMICS_STATUSES = (
    "PENDING",
    "STARTING",
    "RUNNING",
    "STOPPING",
    "COMPLETED",
    "DELETED",
    "FAILED",
    "CANCELLED",
)


def health_omics_pattern(statuses: Sequence[str] = ("COMPLETED",)) -> dict[str, object]:
    """Return the pattern of HealthOmics runs that reach one of the statuses.

    Args:
        statuses: Some of `OMICS_STATUSES`.

    Raises:
        ValueError: `statuses` is empty, or has one that HealthOmics does not have.
    """
    unknown = [status for status in statuses if status not in OMICS_STATUSES]
    if unknown or not statuses:
        raise ValueError(
            f"statuses are some of {', '.join(OMICS_STATUSES)}; given: {name_some(unknown) or '-'}"
        )
    return {
        "source": ["aws.omics"],
        "detail-type": ["Run Status Change"],
        "detail": {"status": list(statuses)},
    }


_RUN_ARN = re.compile(r"arn:[^:/]{1,63}:omics:[^:/]{0,63}:[^:/]{0,63}:run/([A-Za-z0-9-]{1,63})")


class _OmicsDetail(msgspec.Struct, rename="camel"):
    arn: _Text
    status: _Text
    run_output_uri: str | None = None
    run_name: str | None = None
    workflow_id: str | None = None
    workflow_name: str | None = None


class _OmicsEvent(msgspec.Struct):
    detail: _OmicsDetail
    id: str | None = None


def _translate_omics(event: Mapping[str, object], sources: Sources) -> OmicsRun | Ignored:
    read = _read(event, _OmicsEvent)
    detail = read.detail
    arn = _RUN_ARN.fullmatch(detail.arn)
    if not arn:
        raise _malformed(f"{quote(detail.arn)} is not the ARN of a HealthOmics run")
    options = find_options(sources, "health_omics", detail.status)
    source = _run_folder(detail.run_output_uri) if detail.run_output_uri else None
    refused = options.refuse(source) if source else None
    if refused:
        return Ignored(refused)
    return OmicsRun(
        run_id=arn[1],
        arn=detail.arn,
        status=detail.status,
        source=source,
        name=detail.run_name,
        workflow_id=detail.workflow_id,
        workflow_name=detail.workflow_name,
        trigger=Trigger("health_omics", read.id),
        options=options,
    )


def omics_folder(output_uri: str, run_id: str) -> SourceFolder:
    """Return the folder of a run below the `outputUri` of `omics:GetRun`.

    Raises:
        InvalidMessage: The `outputUri` is not in S3.

    Example:
        >>> omics_folder("s3://runs/out/", "3395667")
        SourceFolder(bucket='runs', prefix='out/3395667/')
    """
    return _run_folder(f"{output_uri.rstrip('/')}/{run_id}")


def _run_folder(uri: str) -> SourceFolder:
    """Parse a URI of HealthOmics: nothing is escaped, and a folder ends without `/`."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    key = key.rstrip("/")
    if not uri.startswith("s3://") or not key:
        raise _malformed(f"{quote(uri)} is not the URI of a run's folder in S3")
    return SourceFolder(bucket, key + "/")


# Workflow Run RO-Crates: a crate's file was written, beside the files of its run.

CRATE_NAME = "ro-crate-metadata.json"


def workflow_run_crate_pattern(
    buckets: Sequence[str], *, allow_bucket_root: bool = False
) -> dict[str, object]:
    """Return the pattern of crates that are written to the buckets.

    Args:
        buckets: Names of buckets that send their events to EventBridge.
        allow_bucket_root: Match crates at the root of a bucket, too.

    Raises:
        ValueError: `buckets` is empty.
    """
    if not buckets:
        raise ValueError("buckets is empty; name those that receive crates")
    at_root = [CRATE_NAME] if allow_bucket_root else []
    return {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": list(buckets)},
            "object": {"key": [{"suffix": f"/{CRATE_NAME}"}, *at_root]},
        },
    }


class _Bucket(msgspec.Struct):
    name: _Text


class _Object(msgspec.Struct):
    key: _Text


class _ObjectCreatedDetail(msgspec.Struct):
    bucket: _Bucket
    object: _Object


class _ObjectCreated(msgspec.Struct):
    detail: _ObjectCreatedDetail
    id: str | None = None


def _translate_object_created(
    event: Mapping[str, object], sources: Sources
) -> FolderReady | Ignored:
    read = _read(event, _ObjectCreated)
    trigger = Trigger("workflow_run_crate", read.id)
    return _find_crate(read.detail.bucket.name, read.detail.object.key, trigger, sources)


def _find_crate(bucket: str, key: str, trigger: Trigger, sources: Sources) -> FolderReady | Ignored:
    folder, slash, name = key.rpartition("/")
    if name != CRATE_NAME:
        return Ignored(f"{quote(name)} is not named {CRATE_NAME}")
    options = find_options(sources, "workflow_run_crate", bucket)
    return _find_folder(SourceFolder(bucket, folder + slash), trigger, options)


def _find_folder(
    source: SourceFolder, trigger: Trigger, options: SourceOptions
) -> FolderReady | Ignored:
    """Ignore the registry itself, and folders that the source's options exclude."""
    if source.prefix.startswith(REGISTRY_PREFIX):
        return Ignored(f"{REGISTRY_PREFIX} is the registry itself")
    refused = options.refuse(source)
    return Ignored(refused) if refused else FolderReady(source, trigger, options)


# CloudTrail's data events: the same crates. Failed calls are events, too.

_CREATING_CALLS = frozenset({"PutObject", "PostObject", "CopyObject", "CompleteMultipartUpload"})


class _RequestParameters(msgspec.Struct, rename="camel"):
    bucket_name: _Text
    key: _Text


class _ApiCallDetail(msgspec.Struct, rename="camel"):
    event_name: _Text
    error_code: str | None = None
    request_parameters: dict[str, object] | None = None


class _ApiCall(msgspec.Struct):
    detail: _ApiCallDetail
    id: str | None = None


def _translate_api_call(event: Mapping[str, object], sources: Sources) -> FolderReady | Ignored:
    read = _read(event, _ApiCall)
    call = read.detail
    if call.error_code:
        return Ignored(f"{quote(call.event_name)} failed: {quote(call.error_code)}")
    if call.event_name not in _CREATING_CALLS:
        return Ignored(f"{quote(call.event_name)} creates no object")
    created = _read(call.request_parameters or {}, _RequestParameters)
    trigger = Trigger("workflow_run_crate", read.id)
    return _find_crate(created.bucket_name, created.key, trigger, sources)


# Classic S3 notifications, straight to a queue or through SNS: the same crates.


class _S3(msgspec.Struct):
    bucket: _Bucket
    object: _Object


class _Record(msgspec.Struct, rename="camel"):
    event_source: Literal["aws:s3"]
    event_name: _Text
    s3: _S3
    response_elements: dict[str, str] = {}


class _Notification(msgspec.Struct, rename="pascal"):
    records: list[_Record]


def _translate_notification(event: Mapping[str, object], sources: Sources) -> FolderReady | Ignored:
    found = [_translate_record(record, sources) for record in _read(event, _Notification).records]
    ready = {each.source: each for each in found if isinstance(each, FolderReady)}
    if len(ready) > 1:
        folders = name_some([str(source) for source in ready])
        raise InvalidMessage(
            f"One notification names several folders: {folders}.",
            why="A message requests one package.",
            remedy="Send S3 events through EventBridge, where each has one object, or send a "
            "message for each folder.",
        )
    ignored = (each for each in found if isinstance(each, Ignored))
    return next(iter(ready.values()), None) or next(ignored, Ignored("it holds no records"))


def _translate_record(record: _Record, sources: Sources) -> FolderReady | Ignored:
    if not record.event_name.removeprefix("s3:").startswith("ObjectCreated:"):
        return Ignored(f"{quote(record.event_name)} creates no object")
    try:
        key = unquote_plus(record.s3.object.key, errors="strict")
    except UnicodeDecodeError:
        raise _malformed(f"the key {quote(record.s3.object.key)} does not decode") from None
    request_id = record.response_elements.get("x-amz-request-id")
    trigger = Trigger("workflow_run_crate", request_id)
    return _find_crate(record.s3.bucket.name, key, trigger, sources)


# Uploads below a prefix have stopped, according to the coalescer or Event-Driven Packaging (EDP).

OBJECTS_READY = "package-objects-ready"
EDP_SOURCE = "com.quiltdata.edp"


def objects_ready_pattern(
    sources: Sequence[str] = (EDP_SOURCE, UPLOADS_SOURCE),
) -> dict[str, object]:
    """Return the pattern of prefixes that are announced as ready.

    Args:
        sources: Senders of the events. The packager accepts such events from any sender.
    """
    return {"source": list(sources), "detail-type": [OBJECTS_READY]}


class _ObjectsReadyDetail(msgspec.Struct):
    bucket: _Text
    prefix: str


class _ObjectsReady(msgspec.Struct):
    detail: _ObjectsReadyDetail
    id: str | None = None
    source: str | None = None


def _translate_objects_ready(
    event: Mapping[str, object], sources: Sources
) -> FolderReady | Ignored:
    read = _read(event, _ObjectsReady)
    prefix = read.detail.prefix
    # Without its slash, a prefix of whole components would match its siblings too.
    folder = prefix if not prefix or prefix.endswith("/") else prefix + "/"
    bucket = read.detail.bucket
    options = find_options(sources, "objects_ready", bucket, read.source)
    trigger = Trigger("objects_ready", read.id, read.source)
    return _find_folder(SourceFolder(bucket, folder), trigger, options)


def _read(event: Mapping[str, object], shape: type[_Shape]) -> _Shape:
    try:
        return msgspec.convert(event, shape)
    except msgspec.ValidationError as error:
        raise _malformed(describe_type_error(error, shape)) from error


def _malformed(problem: str) -> InvalidMessage:
    return InvalidMessage(
        f"Malformed event: {problem}.",
        why="Each kind of event has a documented shape.",
        remedy="Forward the event unchanged, or send a message with a source_prefix instead.",
    )
