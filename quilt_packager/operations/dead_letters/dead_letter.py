"""A dead letter, read: what failed and why, whoever put it there; and failures by their code."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import msgspec
from quilt_packager_runtime.errors import MAX_QUOTED, InvalidMessage, printable
from quilt_packager_runtime.formats.json_documents import read_json
from quilt_packager_runtime.formats.objects import MAX_MESSAGE_BYTES
from quilt_packager_runtime.requests.events import Ignored
from quilt_packager_runtime.requests.messages import PackageRequest, parse_message
from quilt_packager_runtime.requests.source_options import SourceKind, SourceOptions

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
"""A letter that has no more time left is about to be lost."""

ANY_SOURCE = tuple(
    SourceOptions(kind=kind, allow_bucket_root=True, package_name="any/name")
    for kind in get_args(SourceKind)
)
"""Event sources that refuse no folder. What those of the engine refuse, only the engine knows: an
event that they may take is retried, and the packager says what becomes of it."""


class Origin(StrEnum):
    """Who put a letter into the dead-letter queue."""

    PACKAGER = "packager"
    SQS = "sqs"
    EVENTBRIDGE = "eventbridge"


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter.

    Attributes:
        id: Its SQS message id.
        job_id: The job that failed; None for an event that never became one.
        code: The stable name of the error.
        happened: What happened, as a sentence.
        why: The cause, as a sentence; empty where the letter does not say.
        remedy: What to do, as a sentence.
        package_name: The package that was wanted, if the letter says.
        registry: Its registry, likewise.
        source: The folder, as a URI, if the body names one. Where the message is not valid, this
            and the package's name are what its sender wrote.
        body: What was sent.
        sent: When the letter was sent, from which SQS counts how long it keeps it.
        expires: When SQS deletes it.
        origin: Who put it there.
        receipt_handle: What SQS knows our hold of it by.
        held_until: When that ends, in seconds of the monotonic clock.
        can_retry: Whether the engine's queue may get the body again. It may not if EventBridge
            could not deliver an event that asks for no package itself: the packager would ignore
            it, and it would be lost.
    """

    id: str
    job_id: str | None
    code: str
    happened: str
    why: str
    remedy: str
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

    @property
    def label(self) -> str:
        """What a person knows it by: the package, else the folder, else the id."""
        return self.package_name or self.source or self.id

    @property
    def needs_change(self) -> bool:
        """Whether a retry fails again unless something has changed."""
        return needs_change(self.code)


class Group(NamedTuple):
    """The failures of one code.

    Attributes:
        code: The code.
        title: A headline.
        happened: What happened: the letters' own sentence if it is one, else a general one.
        why: The cause, likewise.
        remedy: What to do, likewise, and how many cannot be retried if others can.
        needs_change: Whether a retry fails again unless something has changed.
        failures: The failures; the one that expires first stands first.
    """

    code: str
    title: str
    happened: str
    why: str
    remedy: str
    needs_change: bool
    failures: tuple[Failure, ...]

    @property
    def expires(self) -> datetime:
        """When SQS deletes the first of them."""
        return self.failures[0].expires

    @property
    def retriable(self) -> tuple[Failure, ...]:
        """Those that can be retried."""
        return tuple(each for each in self.failures if each.can_retry)

    @property
    def tells_each(self) -> bool:
        """Whether each failure has something to say that the group does not."""
        return any(each.happened != self.happened for each in self.failures)


def group(failures: Iterable[Failure]) -> list[Group]:
    """Group failures by their code.

    Args:
        failures: The failures.

    Returns:
        The groups; the one of which a letter expires first stands first.
    """
    by_code: dict[str, list[Failure]] = {}
    for failure in sorted(failures, key=by_expiry):
        by_code.setdefault(failure.code, []).append(failure)
    return [_describe(code, tuple(letters)) for code, letters in by_code.items()]


def expiring(failures: Iterable[Failure], now: datetime) -> tuple[Failure, ...]:
    """The failures that SQS deletes soon, the first of them first.

    Args:
        failures: The failures.
        now: From when to count.
    """
    soon = [each for each in failures if each.expires - now < SOON]
    return tuple(sorted(soon, key=by_expiry))


def choose(
    failures: Sequence[Failure], ids: Iterable[str] = (), code: str | None = None
) -> tuple[Failure, ...]:
    """Choose failures by how their ids, or those of their jobs, begin, or by their code.

    Args:
        failures: The failures.
        ids: Ids, or how they begin.
        code: A code. Neither: all.

    Raises:
        UnknownFailure: Nothing is called so, or several are.
    """
    wanted = list(ids)
    if wanted:
        found = {chosen.id: chosen for chosen in (_by_id(failures, each) for each in wanted)}
        return tuple(found.values())
    chosen = tuple(each for each in failures if code is None or each.code == code)
    if failures and not chosen:
        raise UnknownFailure(
            f"No failure has the code {code}.",
            why=f"There are: {', '.join(sorted({each.code for each in failures}))}.",
            remedy="Codes are written as quilt-packager failures shows them.",
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
    several = f"{len(found)} begin so." if found else "It was sent again or discarded, or expired."
    raise UnknownFailure(
        f'"{begin}" is the id of no failure.',
        why=several,
        remedy="quilt-packager failures --json shows the ids.",
    )


def parse_dead_letter(
    message: "MessageTypeDef", retention: timedelta, held_until: float
) -> Failure:
    """Read a letter.

    Args:
        message: The message, with all its attributes.
        retention: How long its queue keeps it.
        held_until: When our hold of it ends, in seconds of the monotonic clock.
    """
    system: Mapping[Any, str] = message.get("Attributes", {})
    said = {
        name: value.get("StringValue", "")
        for name, value in message.get("MessageAttributes", {}).items()
    }
    sent = datetime.fromtimestamp(int(system["SentTimestamp"]) / 1000, UTC)
    body = _read_body(message["Body"])
    # A message that SQS moved has what its sender gave it, whatever that is called.
    is_moved = "DeadLetterQueueSourceArn" in system
    common: dict[str, Any] = {
        "id": message["MessageId"],
        "source": body.source,
        "body": message["Body"],
        "sent": sent,
        "expires": sent + retention,
        "receipt_handle": message["ReceiptHandle"],
        "held_until": held_until,
    }
    if "code" in said and not is_moved:
        described = describe_code(said["code"])
        return Failure(
            **common,
            job_id=said.get("job_id"),
            code=said["code"],
            happened=said.get("happened") or said.get("reason") or described.happened,
            why=said.get("why", ""),
            remedy=said.get("remedy") or described.remedy,
            package_name=said.get("package_name") or body.package_name,
            registry=said.get("registry"),
            origin=Origin.PACKAGER,
        )
    if "ERROR_CODE" in said and not is_moved:
        described = describe_code(UNDELIVERED)
        told = ": ".join(filter(None, [said["ERROR_CODE"], said.get("ERROR_MESSAGE")]))
        rule = said.get("RULE_ARN", "").rpartition("/")[2]
        return Failure(
            **common,
            job_id=None,
            code=UNDELIVERED,
            happened=f"EventBridge could not put an event into the queue: {told.rstrip('.')}.",
            why=f"The rule {rule} sent it." if rule else described.why,
            remedy=described.remedy if body.is_job else NOT_A_MESSAGE,
            package_name=body.package_name,
            registry=None,
            origin=Origin.EVENTBRIDGE,
            can_retry=body.is_job,
        )
    described = describe_code(REDRIVEN)
    return Failure(
        **common,
        # A message keeps its id when SQS moves it.
        job_id=message["MessageId"],
        code=REDRIVEN,
        happened=described.happened,
        why=described.why,
        remedy=described.remedy,
        package_name=body.package_name,
        registry=None,
        origin=Origin.SQS,
    )


class _Body(NamedTuple):
    """What a body asks for, as far as it tells.

    Attributes:
        is_job: Whether it is a job for the packager, unless the engine's event sources refuse it.
        package_name: The package's name.
        source: The folder.
    """

    is_job: bool
    package_name: str | None = None
    source: str | None = None


def _read_body(body: str) -> _Body:
    try:
        wanted = parse_message(body, sources=ANY_SOURCE)
    except InvalidMessage:
        name, source = _read_fields(body)
        return _Body(is_job=False, package_name=name, source=source)
    if isinstance(wanted, Ignored):
        return _Body(is_job=False)
    source = None if wanted.source is None else str(wanted.source)
    # How an event's package is named, its event source knows.
    if isinstance(wanted, PackageRequest) and wanted.trigger.kind == "message":
        return _Body(is_job=True, package_name=wanted.package_name, source=source)
    return _Body(is_job=True, source=source)


def _read_fields(body: str) -> tuple[str | None, str | None]:
    """What a message calls its package and its folder that is not valid, as its owner wrote it."""
    try:
        fields = read_json(body, max_bytes=MAX_MESSAGE_BYTES)
    except ValueError:
        return None, None
    if not isinstance(fields, dict):
        return None, None
    name, source = (fields.get(each) for each in ("package_name", "source_prefix"))
    return _shown(name), _shown(source)


def _shown(value: object) -> str | None:
    """A text for a reader; None if it is none, or says nothing."""
    if not isinstance(value, str) or not value.strip():
        return None
    return printable(value[:MAX_QUOTED]) + ("…" if len(value) > MAX_QUOTED else "")


def by_expiry(failure: Failure) -> tuple[datetime, str]:
    """The order of failures: what SQS deletes first stands first."""
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
        needs_change=needs_change(code),
        failures=failures,
    )


def _shared(sentences: Sequence[str], general: str) -> str:
    """The sentence that all say, else a general one."""
    return sentences[0] if len(set(sentences)) == 1 else general
