"""The EventBridge event of an outcome: its type, its pattern, and its schema.

`python -m quilt_packager_runtime.reporting.outcome_events` prints the JSON Schema, in draft 4 for
EventBridge's schema registry.
"""

import json
import sys
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from quilt_packager_runtime.formats.event_names import EVENT_SOURCE
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.formats.outcome import DETAIL_TYPES, Outcome, Result
from quilt_packager_runtime.requests.events import Kind, Trigger
from quilt_packager_runtime.requests.sources import MessageSource

MAX_REASON_CHARACTERS = 8192
"""Maximum length of a published reason or remark. EventBridge accepts 256 KiB in all."""

_Value = TypeVar("_Value")
_TopHash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
_Count = Annotated[int, Meta(ge=0)]


class TriggerDetail(msgspec.Struct, frozen=True):
    """The trigger of a job: the kind of event, or `message`, and the event's id if it has one."""

    kind: Kind
    event_id: str | UnsetType = UNSET


class Links(msgspec.Struct, frozen=True):
    """Links to the revision; `quarantine` links to a rejected package in quarantine."""

    quilt: str | UnsetType = UNSET
    catalog: str | UnsetType = UNSET
    quarantine: str | UnsetType = UNSET


class OutcomeDetail(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a job. Unknown fields are left out, and metadata values never included."""

    version: Literal["1"]
    engine: Annotated[str, Meta(description="The stack and the name of the engine.")]
    outcome: Result
    message_id: Annotated[str, Meta(description="Id of the message, as in the logs.")]
    trigger: TriggerDetail | UnsetType = UNSET
    source: Annotated[str, Meta(description="The folder, as a URI.")] | UnsetType = UNSET
    sources: (
        Annotated[
            tuple[MessageSource, ...],
            Meta(description="All folders, the source first, if the message names several."),
        ]
        | UnsetType
    ) = UNSET
    registry: str | UnsetType = UNSET
    package_name: str | UnsetType = UNSET
    top_hash: _TopHash | UnsetType = UNSET
    previous_top_hash: (
        Annotated[_TopHash, Meta(description="The newest revision at the start of the job.")]
        | UnsetType
    ) = UNSET
    foreign_top_hash: (
        Annotated[
            _TopHash, Meta(description="The revision of another writer that this one replaced.")
        ]
        | UnsetType
    ) = UNSET
    carried_entries: (
        Annotated[_Count, Meta(description="Entries carried from a revision of another writer.")]
        | UnsetType
    ) = UNSET
    carried_fields: (
        Annotated[_Count, Meta(description="Metadata fields carried from it.")] | UnsetType
    ) = UNSET
    conflicts: (
        Annotated[
            str,
            Meta(description="Keys and fields that were not carried: their source has changed."),
        ]
        | UnsetType
    ) = UNSET
    objects: (
        Annotated[_Count, Meta(description="Number of entries of the revision.")] | UnsetType
    ) = UNSET
    bytes: Annotated[_Count, Meta(description="Sum of their sizes.")] | UnsetType = UNSET
    reused: (
        Annotated[_Count, Meta(description="Checksums reused from the previous revision.")]
        | UnsetType
    ) = UNSET
    stored: Annotated[_Count, Meta(description="Checksums stored in S3.")] | UnsetType = UNSET
    computed: Annotated[_Count, Meta(description="Checksums computed by the job.")] | UnsetType = (
        UNSET
    )
    verified: (
        Annotated[
            _Count,
            Meta(description="Number of objects that match the checksum lists of their sender."),
        ]
        | UnsetType
    ) = UNSET
    checksum_lists: (
        Annotated[str, Meta(description="Those lists, by their keys in the package.")] | UnsetType
    ) = UNSET
    manifest_refreshed: (
        Annotated[
            bool,
            Meta(description="The manifest of an unchanged package names newer versions now."),
        ]
        | UnsetType
    ) = UNSET
    input_packages: (
        Annotated[
            tuple[str, ...],
            Meta(description="Revisions that hold inputs of the run, as `quilt+s3` URIs."),
        ]
        | UnsetType
    ) = UNSET
    seconds: Annotated[float, Meta(ge=0, description="Duration of the job.")]
    remark: (
        Annotated[str, Meta(description="Warnings about a package that was created or unchanged.")]
        | UnsetType
    ) = UNSET
    code: Annotated[str, Meta(description="The error's stable code.")] | UnsetType = UNSET
    reason: Annotated[str, Meta(description="The error in words.")] | UnsetType = UNSET
    links: Links


class OutcomeEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The whole event, as rules and targets receive it."""

    version: str
    id: str
    source: Literal["quilt.packager"]
    detail_type: Annotated[str, Meta(extra_json_schema={"enum": [*DETAIL_TYPES.values()]})] = (
        msgspec.field(name="detail-type")
    )
    account: str
    time: str
    region: str
    resources: list[str]
    detail: OutcomeDetail


def outcome_pattern(detail_type: str, *, engine: str) -> dict[str, Any]:
    """Return the event pattern of an engine's events of one type.

    Example:
        >>> outcome_pattern(DETAIL_TYPES[Result.CREATED], engine="lab")["detail-type"]
        ['Package Created']
    """
    return {
        "source": [EVENT_SOURCE],
        "detail-type": [detail_type],
        "detail": {"engine": [engine]},
    }


def outcome_detail(  # noqa: PLR0913 - each is a part of the event
    outcome: Outcome,
    *,
    engine: str,
    message_id: str,
    seconds: float,
    source: SourceFolder | None = None,
    sources: tuple[MessageSource, ...] | None = None,
    trigger: Trigger | None = None,
    catalog_url: str | None = None,
) -> OutcomeDetail:
    """Return the published detail of an outcome.

    Args:
        outcome: The outcome.
        engine: Name of the engine.
        message_id: Id of the job's message.
        seconds: Duration of the job.
        source: The folder, if the message could be read.
        sources: All folders, if there are several.
        trigger: The trigger of the job, if the message could be read.
        catalog_url: URL of the Quilt catalog that shows the registry, if there is one.
    """
    return OutcomeDetail(
        version="1",
        engine=engine,
        outcome=outcome.outcome,
        message_id=message_id,
        trigger=TriggerDetail(trigger.kind, _known(trigger.event_id)) if trigger else UNSET,
        source=str(source) if source else UNSET,
        sources=_known(sources),
        registry=_known(outcome.registry),
        package_name=_known(outcome.package_name),
        top_hash=_known(outcome.top_hash),
        previous_top_hash=_known(outcome.previous_top_hash),
        foreign_top_hash=_known(outcome.foreign_top_hash),
        carried_entries=_known(outcome.carried_entries),
        carried_fields=_known(outcome.carried_fields),
        conflicts=outcome.conflicts[:MAX_REASON_CHARACTERS] if outcome.conflicts else UNSET,
        objects=_known(outcome.objects),
        bytes=_known(outcome.bytes),
        reused=_known(outcome.reused),
        stored=_known(outcome.stored),
        computed=_known(outcome.computed),
        verified=_known(outcome.verified),
        checksum_lists=outcome.checksum_lists[:MAX_REASON_CHARACTERS]
        if outcome.checksum_lists
        else UNSET,
        manifest_refreshed=_known(outcome.manifest_refreshed),
        input_packages=_known(outcome.input_packages),
        seconds=round(seconds, 3),
        remark=outcome.remark[:MAX_REASON_CHARACTERS] if outcome.remark else UNSET,
        code=_known(outcome.code),
        reason=outcome.reason[:MAX_REASON_CHARACTERS] if outcome.reason else UNSET,
        links=Links(
            quilt=_known(outcome.link),
            catalog=_known(outcome.catalog_link(catalog_url)),
            quarantine=_known(outcome.quarantine),
        ),
    )


def event_schema() -> str:
    """Return the JSON Schema of an `OutcomeEvent`, as text."""
    _, definitions = msgspec.json.schema_components(
        [OutcomeEvent], ref_template="#/definitions/{name}"
    )
    for definition in definitions.values():
        if definition.get("required") == []:  # draft 4 does not allow an empty list
            del definition["required"]
    schema = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        **definitions.pop(OutcomeEvent.__name__),
        "definitions": definitions,
    }
    return json.dumps(schema, indent=2) + "\n"


def _known(value: _Value | None) -> _Value | UnsetType:
    return UNSET if value is None else value


if __name__ == "__main__":
    sys.stdout.write(event_schema())
