"""What others hear of a job's end: an EventBridge event, its pattern, and its schema.

`python -m quilt_packager_runtime.reporting.outcome_events` prints the JSON Schema, in draft 4 for
EventBridge's schema registry.
"""

import json
import sys
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.formats.outcome import DETAIL_TYPES, EVENT_SOURCE, Outcome, Result
from quilt_packager_runtime.requests.events import Kind, Trigger

MAX_REASON_CHARACTERS = 8192
"""How much of a reason is told: EventBridge takes 256 KiB in all."""

_Value = TypeVar("_Value")
_TopHash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
_Count = Annotated[int, Meta(ge=0)]


class TriggerDetail(msgspec.Struct, frozen=True):
    """What made a job: `kind` of event or `message`, and the event's id, if it had one."""

    kind: Kind
    event_id: str | UnsetType = UNSET


class Links(msgspec.Struct, frozen=True):
    """Where the revision can be seen; `quarantine`: where a refused package was put instead."""

    quilt: str | UnsetType = UNSET
    catalog: str | UnsetType = UNSET
    quarantine: str | UnsetType = UNSET


class OutcomeDetail(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended. What is not known is left out; no values of metadata are in it."""

    version: Literal["1"]
    engine: Annotated[str, Meta(description="The engine: its stack, and its name in it.")]
    outcome: Result
    message_id: Annotated[str, Meta(description="The message, as the logs name it.")]
    trigger: TriggerDetail | UnsetType = UNSET
    source: Annotated[str, Meta(description="The folder, as a URI.")] | UnsetType = UNSET
    registry: str | UnsetType = UNSET
    package_name: str | UnsetType = UNSET
    top_hash: _TopHash | UnsetType = UNSET
    previous_top_hash: (
        Annotated[_TopHash, Meta(description="The newest revision when the job began.")] | UnsetType
    ) = UNSET
    objects: Annotated[_Count, Meta(description="The revision's entries.")] | UnsetType = UNSET
    bytes: Annotated[_Count, Meta(description="The sum of their sizes.")] | UnsetType = UNSET
    reused: (
        Annotated[_Count, Meta(description="Checksums that the previous revision had.")] | UnsetType
    ) = UNSET
    stored: Annotated[_Count, Meta(description="Checksums that S3 had.")] | UnsetType = UNSET
    computed: Annotated[_Count, Meta(description="Checksums computed.")] | UnsetType = UNSET
    seconds: Annotated[float, Meta(ge=0, description="How long it took.")]
    code: Annotated[str, Meta(description="The error's stable code.")] | UnsetType = UNSET
    reason: Annotated[str, Meta(description="The error in words.")] | UnsetType = UNSET
    links: Links


class OutcomeEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The whole event, as rules and their targets get it."""

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


def outcome_pattern(result: Result, *, engine: str) -> dict[str, Any]:
    """Match the jobs of an engine that end in one way.

    Args:
        result: How they end.
        engine: The engine's name.

    Example:
        >>> outcome_pattern(Result.CREATED, engine="lab")["detail-type"]
        ['Package Created']
    """
    return {
        "source": [EVENT_SOURCE],
        "detail-type": [DETAIL_TYPES[result]],
        "detail": {"engine": [engine]},
    }


def describe(  # noqa: PLR0913 - each is a part of the event
    outcome: Outcome,
    *,
    engine: str,
    message_id: str,
    seconds: float,
    source: SourceFolder | None = None,
    trigger: Trigger | None = None,
    catalog_url: str | None = None,
) -> OutcomeDetail:
    """Say of an outcome what others may hear.

    Args:
        outcome: How the job ended.
        engine: The engine that did it.
        message_id: The message that asked for it.
        seconds: How long it took.
        source: The folder, if the message got as far as naming one.
        trigger: What made the job, likewise.
        catalog_url: The catalog that the registry is seen in.
    """
    return OutcomeDetail(
        version="1",
        engine=engine,
        outcome=outcome.outcome,
        message_id=message_id,
        trigger=TriggerDetail(trigger.kind, _known(trigger.event_id)) if trigger else UNSET,
        source=str(source) if source else UNSET,
        registry=_known(outcome.registry),
        package_name=_known(outcome.package_name),
        top_hash=_known(outcome.top_hash),
        previous_top_hash=_known(outcome.previous_top_hash),
        objects=_known(outcome.objects),
        bytes=_known(outcome.bytes),
        reused=_known(outcome.reused),
        stored=_known(outcome.stored),
        computed=_known(outcome.computed),
        seconds=round(seconds, 3),
        code=_known(outcome.code),
        reason=outcome.reason[:MAX_REASON_CHARACTERS] if outcome.reason else UNSET,
        links=_links(outcome, catalog_url),
    )


def event_schema() -> str:
    """The JSON Schema of an `OutcomeEvent`, as text."""
    _, definitions = msgspec.json.schema_components(
        [OutcomeEvent], ref_template="#/definitions/{name}"
    )
    for definition in definitions.values():
        if definition.get("required") == []:  # which draft 4 does not allow
            del definition["required"]
    schema = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        **definitions.pop(OutcomeEvent.__name__),
        "definitions": definitions,
    }
    return json.dumps(schema, indent=2) + "\n"


def _links(outcome: Outcome, catalog_url: str | None) -> Links:
    catalog = None
    if outcome.top_hash is not None and catalog_url is not None:
        catalog = (
            f"{catalog_url.rstrip('/')}/b/{outcome.registry}/packages/{outcome.package_name}"
            f"/tree/{outcome.top_hash}"
        )
    return Links(_known(outcome.link), _known(catalog), _known(outcome.quarantine))


def _known(value: _Value | None) -> _Value | UnsetType:
    return UNSET if value is None else value


if __name__ == "__main__":
    sys.stdout.write(event_schema())
