"""Everything that can go wrong with a job, as one tree of exceptions with stable codes.

A code is the class's name. Logs, metrics, dead letters, the command and the docs use it.

    PackagerError
    ├── Rejected                  can never succeed as it is: to the dead-letter queue at once
    │   ├── InvalidMessage        the message breaks its own rules
    │   ├── BucketNotAllowed      a bucket that this engine may not use
    │   ├── NoSuchBucket          a bucket that does not exist
    │   ├── AccessDenied          AWS refuses us an action
    │   ├── NoRunOutput           a HealthOmics run that is gone, or wrote nowhere
    │   ├── EmptySource           no objects under the source prefix
    │   ├── InvalidKeys           keys that no package can hold
    │   ├── UnreadableObjects     encrypted with a key that only their owner has
    │   ├── ArchivedObjects       archived, and without a usable stored checksum
    │   ├── InvalidMetadata       metadata that cannot be read, or is no JSON object
    │   ├── ManifestLineTooLong   a header or entry that readers would refuse
    │   ├── InvalidWorkflowConfig the registry's rules are broken
    │   └── WorkflowViolations    the package breaks the registry's rules
    └── Failed                    may succeed later: SQS delivers the message again
        ├── SourceChanged         an object changed between list and hash
        ├── WriteConflict         other writers kept winning the race for `latest`
        ├── DeadlineExceeded      the time of this invocation is over
        ├── DiskFull              the temporary folder has no room for the job's files
        ├── LargeJobFailed        the state machine gave up, and knows no better reason
        ├── InternalError         the packager has a defect
        ├── AttemptsExhausted     the last attempt ended without saying why
        ├── AwsError              another service than S3 answered with an error
        │   └── NotificationFailedthe message is put aside, but nobody could be told
        └── S3Error               S3 answered with an error that its client could not overcome
            ├── NoSuchKey
            ├── PreconditionFailed
            ├── ConditionalRequestConflict
            ├── InvalidObjectState
            ├── BadRequest
            ├── InvalidRange
            ├── MalformedResponse
            ├── CredentialsRefused
            └── ServiceUnavailable
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

MAX_NAMED = 20
"""How many offending values an error names before it only counts them."""

MAX_QUOTED = 1024
"""How many characters of a value an error shows: a whole key of S3, not a whole message."""


class PackagerError(Exception):
    """A job ended without a package.

    Args:
        happened: What happened, as a sentence that names the value.
        why: The rule or the cause, as a sentence.
        remedy: What the reader can do, as a sentence.
    """

    def __init__(self, happened: str, *, why: str, remedy: str) -> None:
        """Keep the three sentences apart, for readers that show them apart."""
        super().__init__(f"{happened} {why} {remedy}")
        self.happened = happened
        self.why = why
        self.remedy = remedy

    @property
    def code(self) -> str:
        """The stable name of this kind of failure."""
        return type(self).__name__

    @property
    def reason(self) -> str:
        """The three sentences as one text."""
        return str(self)


class Rejected(PackagerError):
    """The job can never succeed as it is: a retry is a waste."""


class InvalidMessage(Rejected):
    """The message breaks its own rules.

    Attributes:
        rules: The first broken rule of each field, where it is fields that break them.
    """

    rules: Mapping[str, str] = MappingProxyType({})


class BucketNotAllowed(Rejected):
    """A bucket that this engine may not read from or write to."""


class NoSuchBucket(Rejected):
    """A bucket that does not exist."""


class AccessDenied(Rejected):
    """AWS refuses us an action. Never to be read as "not there".

    Attributes:
        key_state: What KMS says of the key that it does not let be used, where that is the cause.
    """

    key_state: str | None = None


class NoRunOutput(Rejected):
    """A HealthOmics run that is gone, or that wrote nowhere."""


class EmptySource(Rejected):
    """No objects under the source prefix."""


class InvalidKeys(Rejected):
    """Keys that no package can hold: colliding, or with components that quilt3 refuses."""


class ArchivedObjects(Rejected):
    """Archived objects whose bytes cannot be read and whose stored checksum does not serve."""


class UnreadableObjects(Rejected):
    """Objects that S3 will not show to anybody without their owner's own key (SSE-C)."""


class InvalidMetadata(Rejected):
    """Metadata that cannot be read, or is not a JSON object of acceptable size."""


class ManifestLineTooLong(Rejected):
    """A manifest line that its readers would refuse."""


class InvalidWorkflowConfig(Rejected):
    """The rules are broken: the registry's workflow configuration cannot be used."""


class WorkflowViolations(Rejected):
    """The package breaks the rules of its registry's workflow.

    Attributes:
        quarantine: Where it was put instead, as a `quilt+s3` URI; None: nowhere.
    """

    quarantine: str | None = None


class Failed(PackagerError):
    """The job may succeed later, with nobody changing anything."""


class SourceChanged(Failed):
    """An object changed between list and hash."""


class WriteConflict(Failed):
    """Other writers kept winning the race for the package."""


class DeadlineExceeded(Failed):
    """The time of this invocation is over."""


class DiskFull(Failed):
    """The temporary folder has no room for the job's files, or for what others left there."""


class LargeJobFailed(Failed):
    """The state machine gave up on a job, and none of its steps left a reason."""


class InternalError(Failed):
    """The packager has a defect: something was raised that nobody foresaw."""


class AttemptsExhausted(Failed):
    """The job was tried as often as it may be, and the last attempt did not say how it ended."""


class AwsError(Failed):
    """Another service than S3 answered with an error, or did not answer."""


class NotificationFailed(AwsError):
    """The message is in the dead-letter queue, but those who are to hear of it were not told."""


class S3Error(Failed):
    """S3 answered with an error that its client could not overcome."""


class NoSuchKey(S3Error):
    """The object, version or upload is not there."""


class PreconditionFailed(S3Error):
    """If-Match or If-None-Match did not hold (412)."""


class ConditionalRequestConflict(S3Error):
    """A concurrent write to the same key made S3 give up on ours (409)."""


class InvalidObjectState(S3Error):
    """The object is archived: its bytes cannot be read or copied."""


class BadRequest(S3Error):
    """S3 does not accept the request as it is (400): an object's HEAD and GET, with SSE-C."""


class InvalidRange(S3Error):
    """The range begins behind the object's end (416)."""


class MalformedResponse(S3Error):
    """An answer that was cut on its way, or does not make sense."""


class CredentialsRefused(S3Error):
    """The credentials have expired, are not valid, or are not there."""


class ServiceUnavailable(S3Error):
    """Throttled, down, or unreachable, after all of the client's retries."""


def name_some(values: Sequence[str], count: int | None = None) -> str:
    """List values for a reader: the first of them quoted, and how many there are in all.

    Args:
        values: The offending values, in the order to show them; the first `MAX_NAMED` do.
        count: How many there are; None if these are all.

    Returns:
        The first `MAX_NAMED`, with control characters escaped, and the count of the rest.

    Example:
        >>> name_some(["a//b", "c/"])
        '"a//b", "c/"'
        >>> name_some([str(n) for n in range(22)])[-20:]
        '"19" and 2 more (22)'
    """
    count = len(values) if count is None else count
    named = ", ".join(quote(value) for value in values[:MAX_NAMED])
    rest = count - MAX_NAMED
    return f"{named} and {rest} more ({count})" if rest > 0 else named


def quote(value: str) -> str:
    r"""Quote a value for a message, so that no character of it can break a log line or a queue.

    Args:
        value: The value; what is beyond `MAX_QUOTED` characters is left out.

    Example:
        >>> print(quote("a\nb"))
        "a\nb"
    """
    shown = printable(value[:MAX_QUOTED])
    return f'"{shown}"…' if len(value) > MAX_QUOTED else f'"{shown}"'


def printable(text: str) -> str:
    r"""Escape what is no printable character, so that text of others cannot steer a terminal.

    Args:
        text: The text; all of it is kept.

    Example:
        >>> print(printable("a\x1b[31mb\n"))
        a\x1b[31mb\n
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )
