"""Dead letters as failures with an explanation, and groups of failures by code."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from quilt_packager_runtime.errors import MAX_QUOTED, Explanation, InvalidMessage, printable
from quilt_packager_runtime.formats.json_documents import read_json
from quilt_packager_runtime.formats.objects import MAX_MESSAGE_BYTES
from quilt_packager_runtime.requests.events import Ignored
from quilt_packager_runtime.requests.messages import parse_message
from quilt_packager_runtime.requests.package_request import UnresolvedRequest
from quilt_packager_runtime.settings.source_options import SourceKind, SourceOptions

from quilt_packager.operations.dead_letters.error_codes import (
    NOT_A_MESSAGE,
    REDRIVEN,
    UNDELIVERED,
    count_not_retried,
    describe_code,
    needs_change,
)
from quilt_packager.operations.errors import UnknownFailure

if TYPE_CHECKING:
    from types_boto3_sqs.type_defs import MessageTypeDef

SOON = timedelta(days=1)
"""A failure with less time left is about to be deleted."""

ANY_SOURCE = tuple(
    SourceOptions(kind=kind, allow_bucket_root=True, package_name="any/name")
    for kind in get_args(SourceKind)
)
"""Event sources that accept every folder. Only the engine knows which folders its own sources
refuse: an event that they may accept is retried, and the packager decides."""


class Origin(StrEnum):
    """The service that sent a message to the dead-letter queue."""

    PACKAGER = "packager"
    SQS = "sqs"
    EVENTBRIDGE = "eventbridge"


@dataclass(frozen=True, kw_only=True)
class Failure(Explanation):
    """A dead letter.

    Attributes:
        id: SQS message id.
        job_id: Id of the failed job; None for an event that never became a job.
        package_name: Name of the requested package, if the message has one.
        registry: Its registry, if the message has one.
        source: URI of the source folder, if the message names one. If the message is not valid,
            this and the package name are as its sender wrote them.
        body: Message body.
        sent: Time at which the message was sent, from which SQS counts the retention period.
        expires: Time at which SQS deletes the message.
        origin: Service that sent the message to the dead-letter queue.
        receipt_handle: Receipt handle of the last receive.
        held_until: End of the visibility timeout, in seconds of the monotonic clock.
        can_retry: False for an undelivered event that requests no package itself: the packager
            would ignore it, and it would be lost.
        trigger: Kind of the message or event, as that of a job; None if it cannot be read.
        event_source: Sender of the event, for kinds of events that have several senders.
    """

    id: str
    job_id: str | None
    package_name: str | None
    registry: str | None
    source: str | None
    body: str
    sent: datetime
    expires: datetime
    origin: Origin
    receipt_handle: str
    held_until: float
    can_retry: bool = True
    trigger: str | None = None
    event_source: str | None = None

    @property
    def shown_id(self) -> str:
        """The id of the job, as everywhere; of the message if it never became a job."""
        return self.job_id or self.id

    @property
    def label(self) -> str:
        """The package name; else the folder; else the id of the job or message."""
        return self.package_name or self.source or self.shown_id

    @property
    def needs_change(self) -> bool:
        """True if a retry fails again unless something has changed."""
        return needs_change(self.code)


@dataclass(frozen=True)
class Group(Explanation):
    """The failures of one code. Sentences that all failures share replace the general ones.

    Attributes:
        title: Headline.
        failures: Failures in the order in which they expire.
    """

    title: str
    failures: tuple[Failure, ...]

    @property
    def needs_change(self) -> bool:
        """True if a retry fails again unless something has changed."""
        return needs_change(self.code)

    @property
    def expires(self) -> datetime:
        """The time at which SQS deletes the first of the messages."""
        return self.failures[0].expires

    @property
    def retriable(self) -> tuple[Failure, ...]:
        """The failures that can be retried."""
        return tuple(each for each in self.failures if each.can_retry)

    @property
    def has_individual_reasons(self) -> bool:
        """True if failures have sentences of their own, which the group does not show."""
        return any(each.happened != self.happened for each in self.failures)


def group(failures: Iterable[Failure]) -> list[Group]:
    """Group failures by their code, in the order in which they expire."""
    by_code: dict[str, list[Failure]] = {}
    for failure in sorted(failures, key=by_expiry):
        by_code.setdefault(failure.code, []).append(failure)
    return [_describe(code, tuple(letters)) for code, letters in by_code.items()]


def expiring(failures: Iterable[Failure], now: datetime) -> tuple[Failure, ...]:
    """Select the failures that SQS deletes soon, in the order in which they expire."""
    soon = [each for each in failures if each.expires - now < SOON]
    return tuple(sorted(soon, key=by_expiry))


def choose(
    failures: Sequence[Failure], ids: Iterable[str] = (), code: str | None = None
) -> tuple[Failure, ...]:
    """Select failures by ids or by code.

    Args:
        failures: Failures to select from.
        ids: Ids of messages or of their jobs, or the beginnings of ids.
        code: Error code. Default, without ids: select all.

    Raises:
        UnknownFailure: No failure matches, or the beginning of an id is ambiguous.
    """
    wanted = list(ids)
    if wanted:
        found = {chosen.id: chosen for chosen in (_by_id(failures, each) for each in wanted)}
        return tuple(found.values())
    chosen = tuple(each for each in failures if code is None or each.code == code)
    if failures and not chosen:
        raise UnknownFailure(
            f"No failure has the code {code}.",
            why=f"The codes are: {', '.join(sorted({each.code for each in failures}))}.",
            remedy="Write the code as quilt-packager failures shows it.",
        )
    return chosen


def _by_id(failures: Sequence[Failure], begin: str) -> Failure:
    found = [
        each
        for each in failures
        if each.id.startswith(begin) or (each.job_id or "").startswith(begin)
    ]
    exact = [each for each in found if begin in {each.id, each.job_id}]
    if len(exact or found) == 1:
        return (exact or found)[0]
    several = f"{len(found)} ids begin with it."
    raise UnknownFailure(
        f'No single failure has the id "{begin}".',
        why=several if found else "The message was retried or discarded, or it expired.",
        remedy="quilt-packager failures --json shows the ids.",
    )


def parse_dead_letter(
    message: "MessageTypeDef", retention: timedelta, held_until: float
) -> Failure:
    """Read a message of the dead-letter queue.

    Args:
        message: Message with all its attributes.
        retention: Retention period of the queue.
        held_until: End of the visibility timeout, in seconds of the monotonic clock.
    """
    system: Mapping[Any, str] = message.get("Attributes", {})
    attributes = {
        name: value.get("StringValue", "")
        for name, value in message.get("MessageAttributes", {}).items()
    }
    sent = datetime.fromtimestamp(int(system["SentTimestamp"]) / 1000, UTC)
    body = _read_body(message["Body"])
    common: dict[str, Any] = {
        "id": message["MessageId"],
        "package_name": body.package_name,
        "registry": None,
        "source": body.source,
        "body": message["Body"],
        "sent": sent,
        "expires": sent + retention,
        "receipt_handle": message["ReceiptHandle"],
        "held_until": held_until,
        "trigger": body.trigger,
        "event_source": body.event_source,
    }
    # A message that SQS moved has its sender's attributes, of whatever names.
    if "DeadLetterQueueSourceArn" not in system:
        if "code" in attributes:
            return _parse_failed_job(attributes, common)
        if "ERROR_CODE" in attributes:
            return _parse_undelivered(attributes, common, is_job=body.is_job)
    _, happened, why, remedy = describe_code(REDRIVEN)
    return Failure(
        REDRIVEN,
        happened,
        why,
        remedy,
        # A message keeps its id when SQS moves it.
        job_id=message["MessageId"],
        origin=Origin.SQS,
        **common,
    )


def _parse_failed_job(attributes: Mapping[str, str], common: dict[str, Any]) -> Failure:
    code = attributes["code"]
    described = describe_code(code)
    common["package_name"] = attributes.get("package_name") or common["package_name"]
    common["registry"] = attributes.get("registry")
    return Failure(
        code,
        attributes.get("happened") or attributes.get("reason") or described.happened,
        attributes.get("why", ""),
        attributes.get("remedy") or described.remedy,
        job_id=attributes.get("job_id"),
        origin=Origin.PACKAGER,
        **common,
    )


def _parse_undelivered(
    attributes: Mapping[str, str], common: dict[str, Any], *, is_job: bool
) -> Failure:
    described = describe_code(UNDELIVERED)
    error = ": ".join(filter(None, [attributes["ERROR_CODE"], attributes.get("ERROR_MESSAGE")]))
    rule = attributes.get("RULE_ARN", "").rpartition("/")[2]
    return Failure(
        UNDELIVERED,
        f"EventBridge could not deliver an event to the queue: {error.rstrip('.')}.",
        f"The rule {rule} sent it." if rule else described.why,
        described.remedy if is_job else NOT_A_MESSAGE,
        job_id=None,
        origin=Origin.EVENTBRIDGE,
        can_retry=is_job,
        **common,
    )


class _Body(NamedTuple):
    """The readable part of a body.

    Attributes:
        is_job: True for a job for the packager, unless the engine's event sources refuse it.
        package_name: Name of the package.
        source: URI of the folder.
        trigger: Kind of the message or event.
        event_source: Sender of the event.
    """

    is_job: bool
    package_name: str | None = None
    source: str | None = None
    trigger: str | None = None
    event_source: str | None = None


def _read_body(body: str) -> _Body:
    try:
        wanted = parse_message(body, sources=ANY_SOURCE)
    except InvalidMessage:
        name, source = _read_fields(body)
        return _Body(is_job=False, package_name=name, source=source)
    if isinstance(wanted, Ignored):
        return _Body(is_job=False)
    source = None if wanted.source is None else str(wanted.source)
    trigger = wanted.trigger
    # Only the event source knows the package name of an event.
    name = None
    if isinstance(wanted, UnresolvedRequest) and trigger.kind == "message":
        name = wanted.package_name
    return _Body(True, name, source, trigger.kind, trigger.event_source)  # noqa: FBT003


def _read_fields(body: str) -> tuple[str | None, str | None]:
    """Read the package name and the folder of a message that is not valid, as they are written."""
    try:
        fields = read_json(body, max_bytes=MAX_MESSAGE_BYTES)
    except ValueError:
        return None, None
    if not isinstance(fields, dict):
        return None, None
    name, source = (fields.get(each) for each in ("package_name", "source_prefix"))
    return _shown(name), _shown(source)


def _shown(value: object) -> str | None:
    """Make a value safe to show; None for other values than text, and for blank text."""
    if not isinstance(value, str) or not value.strip():
        return None
    return printable(value[:MAX_QUOTED]) + ("…" if len(value) > MAX_QUOTED else "")


def by_expiry(failure: Failure) -> tuple[datetime, str]:
    """Sort failures in the order in which they expire."""
    return failure.expires, failure.id


def _describe(code: str, failures: tuple[Failure, ...]) -> Group:
    described = describe_code(code)
    remedy = _shared([each.remedy for each in failures], described.remedy)
    kept = sum(not each.can_retry for each in failures)
    if 0 < kept < len(failures):
        remedy += f" {count_not_retried(kept)}"
    return Group(
        code=code,
        title=described.title,
        happened=_shared([each.happened for each in failures], described.happened),
        why=_shared([each.why for each in failures], described.why),
        remedy=remedy,
        failures=failures,
    )


def _shared(sentences: Sequence[str], general: str) -> str:
    """Return the sentence that all failures share, or the general one."""
    return sentences[0] if len(set(sentences)) == 1 else general
