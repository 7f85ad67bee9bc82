"""The errors of a job, as one tree of exceptions.

The name of a class is its code: logs, metrics, dead letters, the command and the docs use it.

    PackagerError
    ├── Rejected                  cannot succeed unchanged: to the dead-letter queue at once
    │   ├── InvalidMessage
    │   ├── BucketNotAllowed
    │   ├── NoSuchBucket
    │   ├── AccessDenied
    │   ├── NoRunOutput
    │   ├── EmptySource
    │   ├── Incomplete
    │   ├── InvalidKeys
    │   ├── InvalidChecksumList
    │   ├── ChecksumMismatch
    │   ├── UnreadableObjects
    │   ├── ArchivedObjects
    │   ├── InvalidCrate
    │   ├── InvalidMetadata
    │   ├── ManifestLineTooLong
    │   ├── InvalidWorkflowConfig
    │   ├── WorkflowViolations
    │   ├── PackageNameTaken
    │   ├── HeldForReview
    │   ├── NoSuchRevision
    │   ├── InvalidManifest
    │   ├── DestinationOccupied
    │   ├── CopyMismatch
    │   └── UnsupportedEndpoint
    └── Failed                    may succeed later: SQS delivers the message again
        ├── SourceChanged
        ├── WriteConflict
        ├── DeadlineExceeded
        ├── DiskFull
        ├── LargeJobFailed
        ├── PromotionStopped
        ├── InternalError
        ├── AttemptsExhausted
        ├── AwsError
        │   ├── InvalidAwsConfiguration
        │   └── NotificationFailed
        └── S3Error
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
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

MAX_NAMED = 20
"""Maximum number of offending values that an error names; the rest is counted."""

MAX_QUOTED = 1024
"""Maximum number of characters of a value in an error: a whole S3 key, not a whole message."""


@dataclass(frozen=True)
class Explanation:
    """An error in words.

    Attributes:
        code: Stable name of the error.
        happened: Sentence that says what failed and names the value.
        why: Sentence with the cause or the violated rule; empty if it is not known.
        remedy: Advice for the reader: a sentence or a command.
    """

    code: str
    happened: str
    why: str
    remedy: str


class ExplainedError(Exception):
    """Base of every error that carries its explanation; `Explanation` describes the arguments."""

    def __init__(self, happened: str, *, why: str, remedy: str) -> None:
        super().__init__(f"{happened} {why} {remedy}")
        self.happened = happened
        self.why = why
        self.remedy = remedy

    @property
    def code(self) -> str:
        """The stable name of this kind of error."""
        return type(self).__name__

    @property
    def explanation(self) -> Explanation:
        """The code and the sentences, without the exception."""
        return Explanation(self.code, self.happened, self.why, self.remedy)


class PackagerError(ExplainedError):
    """A job ended without a package.

    The first sentence of a subclass's docstring says what happened, in general terms. With the
    attributes below, the command, the page and the docs describe a group of errors of one code.

    Attributes:
        title: Headline.
        usual_cause: The most frequent causes, as a sentence.
        usual_remedy: Advice, as a sentence.
    """

    title: ClassVar[str]
    usual_cause: ClassVar[str]
    usual_remedy: ClassVar[str]

    @property
    def reason(self) -> str:
        """All sentences as one text."""
        return str(self)


class Rejected(PackagerError):
    """The job cannot succeed unchanged: a retry is pointless."""


class InvalidMessage(Rejected):
    """The message is not valid.

    Attributes:
        rules: First violated rule of each field, if fields violate rules.
    """

    title = "Invalid message"
    usual_cause = "The sender left out a field, or wrote a value that is not valid."
    usual_remedy = "Correct the sender, and discard the message."

    rules: Mapping[str, str] = MappingProxyType({})


class BucketNotAllowed(Rejected):
    """The message names a bucket that this engine may not use."""

    title = "Bucket not allowed"
    usual_cause = "The bucket is not among the engine's source or registry buckets."
    usual_remedy = "Add the bucket, deploy, and retry; or discard the message."


class NoSuchBucket(Rejected):
    """The message names a bucket that does not exist."""

    title = "Bucket does not exist"
    usual_cause = "The bucket was deleted, or its name is misspelled."
    usual_remedy = "Correct the sender, and discard the message."


class AccessDenied(Rejected):
    """AWS denied the packager an action.

    This never means that an object does not exist.

    Attributes:
        key_state: State of the KMS key that denied its use, if a key is the cause.
    """

    title = "Access denied"
    usual_cause = "A policy of the role, the bucket or the key does not allow it."
    usual_remedy = "Allow the action that the message's reason names, deploy, and retry."

    key_state: str | None = None


class NoRunOutput(Rejected):
    """The output location of the HealthOmics run could not be determined."""

    title = "Run output unknown"
    usual_cause = "The run was deleted, or belongs to another account or region."
    usual_remedy = "Send a message with the run's output folder, and discard this one."


class EmptySource(Rejected):
    """The source folder contained no objects to package."""

    title = "Source folder is empty"
    usual_cause = "The upload had not started, the name is wrong, or exclude matches every object."
    usual_remedy = "Check the folder; then retry or discard the message."


class Incomplete(Rejected):
    """The folder lacks files that its package requires.

    Attributes:
        is_awaited: A job may wait for the files.
        missing: Number of missing files and of globs without a match; None if unknown.
    """

    title = "Source folder is incomplete"
    usual_cause = (
        "The upload had not finished, or `require` or a list names files that are missing."
    )
    usual_remedy = "Retry when the files are there, or correct require or the list."

    is_awaited: bool = True
    missing: int | None = None


class InvalidKeys(Rejected):
    """The folder has keys that no package can contain."""

    title = "Invalid object keys"
    usual_cause = "quilt3 rejects the keys, or two of them collide."
    usual_remedy = "Rename or exclude the objects, and retry."


class InvalidChecksumList(Rejected):
    """A checksum list of the sender cannot be used."""

    title = "Invalid checksum list"
    usual_cause = "verify_checksums matches a file that is not a checksum list, or is too large."
    usual_remedy = "Correct the list or verify_checksums, and retry."


class ChecksumMismatch(Rejected):
    """Files differ from the checksum lists of their sender."""

    title = "Checksums do not match"
    usual_cause = "The files were damaged or replaced, or their checksum list is out of date."
    usual_remedy = "Upload the files or the list again, and retry."


class UnreadableObjects(Rejected):
    """The folder has objects that S3 returns only with their owner's key."""

    title = "Objects cannot be read"
    usual_cause = "The objects are encrypted with a customer-provided key (SSE-C)."
    usual_remedy = "Encrypt the objects differently or exclude them, and retry."


class ArchivedObjects(Rejected):
    """The folder has archived objects without a usable stored checksum."""

    title = "Objects are archived"
    usual_cause = "A lifecycle rule or a user archived the objects."
    usual_remedy = "Restore the objects, and retry."


class InvalidCrate(Rejected):
    """The crate breaks rules of Quilt's profile, or lists parts that are missing."""

    title = "Invalid crate"
    usual_cause = "A part was not uploaded, or the program that wrote the crate made an error."
    usual_remedy = "Upload the parts or correct the crate, and retry."


class InvalidMetadata(Rejected):
    """The package metadata cannot be read, or is not a JSON object.

    Attributes:
        is_missing: There is no such object.
    """

    title = "Invalid metadata"
    usual_cause = "The metadata file is missing, malformed or too large."
    usual_remedy = "Correct the metadata, and retry."

    is_missing: bool = False


class ManifestLineTooLong(Rejected):
    """A line of the manifest would exceed the limit of its readers."""

    title = "Manifest line too long"
    usual_cause = "The metadata or a key is too long."
    usual_remedy = "Shorten it, and retry."


class InvalidWorkflowConfig(Rejected):
    """The registry's workflow configuration cannot be used."""

    title = "Invalid workflow configuration"
    usual_cause = "The configuration, or a schema that it references, is missing or not valid."
    usual_remedy = "Correct .quilt/workflows/config.yml, and retry."


class WorkflowViolations(Rejected):
    """The package violates the rules of its registry's workflow.

    Attributes:
        quarantine: `quilt+s3` URI of the quarantined package, if there is one.
    """

    title = "Workflow rules violated"
    usual_cause = "The metadata, the entries or the message do not meet the rules."
    usual_remedy = "Correct them, and retry."

    quarantine: str | None = None


class PackageNameTaken(Rejected):
    """The name that was made from the folder belongs to the package of another folder."""

    title = "Package name taken"
    usual_cause = "Two folders give the same package name, such as a/b/c and a_b/c."
    usual_remedy = "Send a package_name or set one for the event source, and discard the message."


class HeldForReview(Rejected):
    """The newest revision of the package was published by another writer, and is kept."""

    title = "Held for review"
    usual_cause = (
        "A person or another program published it, and on_foreign_revision is hold; or it is "
        "carry, and the engine has no earlier revision to compare."
    )
    usual_remedy = (
        "Retry with --on-foreign-revision replace to publish, or carry to publish with the changes "
        "of that revision; or discard to keep it."
    )


class NoSuchRevision(Rejected):
    """The revision to promote does not exist."""

    title = "Revision not found"
    usual_cause = "The package's name, its registry or the top hash is wrong."
    usual_remedy = "Correct it, and promote again."


class InvalidManifest(Rejected):
    """The manifest to promote cannot be used."""

    title = "Invalid manifest"
    usual_cause = "It was overwritten, or its checksums cannot be compared with those of copies."
    usual_remedy = "Package the folder again, and promote the new revision."


class DestinationOccupied(Rejected):
    """The destination has other objects, or another manifest, that a promotion must not replace."""

    title = "Destination is occupied"
    usual_cause = "Another program wrote objects below the prefix, in a bucket without versions."
    usual_remedy = "Enable versioning of the bucket, or copy to another prefix."


class CopyMismatch(Rejected):
    """Objects are not those that the manifest describes."""

    title = "Copies do not match the manifest"
    usual_cause = "The objects were overwritten or deleted after they were packaged."
    usual_remedy = "Package the folder again, and promote the new revision."


class UnsupportedEndpoint(Rejected):
    """The S3 endpoint lacks something that packaging needs, or contradicts itself."""

    title = "Unsupported S3 endpoint"
    usual_cause = "The endpoint is not AWS, or a proxy in front of it is not complete."
    usual_remedy = "Use a server that supports what docs/reference/s3-servers.md lists, and retry."


class Failed(PackagerError):
    """The job may succeed later, without any change."""


class SourceChanged(Failed):
    """An object changed between listing and hashing."""

    title = "Source changed during packaging"
    usual_cause = "An upload to the folder was still in progress."
    usual_remedy = "Retry when the upload is complete."


class WriteConflict(Failed):
    """Other writers kept updating the package at the same time."""

    title = "Write conflict"
    usual_cause = "Several jobs write the same package."
    usual_remedy = "Retry."


class DeadlineExceeded(Failed):
    """The invocation ran out of time before the package was complete."""

    title = "Deadline exceeded"
    usual_cause = "The job is too large for one invocation, or S3 was slow."
    usual_remedy = "Lower max_inline_size, or raise the function's memory or timeout; then retry."


class DiskFull(Failed):
    """The function's temporary folder had no space for the job's files."""

    title = "Disk full"
    usual_cause = "The job is too large for it, or earlier jobs left files there."
    usual_remedy = "Retry; increase the function's ephemeral storage if the error recurs."


class LargeJobFailed(Failed):
    """The state machine stopped the job, and no step recorded a reason."""

    title = "Large job failed"
    usual_cause = "The execution was stopped or timed out, or a function crashed."
    usual_remedy = "Inspect the execution, and retry."


class PromotionStopped(Failed):
    """The state machine stopped a promotion after its last attempt."""

    title = "Promotion stopped"
    usual_cause = "Every attempt failed, timed out or crashed; the log has the reason of each."
    usual_remedy = "Correct it, and promote by the command."


class InternalError(Failed):
    """An unexpected exception ended the job."""

    title = "Internal error"
    usual_cause = "The packager has a defect."
    usual_remedy = "Retry once; if the error recurs, report it with the job's id."


class AttemptsExhausted(Failed):
    """The last allowed attempt ended without an outcome."""

    title = "Attempts exhausted"
    usual_cause = "The function ran out of memory or was stopped, or could not publish the outcome."
    usual_remedy = "Fix what the job's log shows, and retry."


class AwsError(Failed):
    """An AWS service other than S3 returned an error, or did not respond."""

    title = "AWS service error"
    usual_cause = "The service was down or throttled, or denied the request."
    usual_remedy = "Retry; check the reasons of the messages if the error recurs."


class InvalidAwsConfiguration(AwsError):
    """The endpoint or the region of AWS is not valid."""

    title = "Invalid AWS configuration"
    usual_cause = "A variable such as AWS_ENDPOINT_URL, or the profile, has a wrong value."
    usual_remedy = "Correct the function's environment, deploy, and retry."


class NotificationFailed(AwsError):
    """The event of a job's outcome could not be published."""

    title = "Outcome not published"
    usual_cause = "EventBridge was down or throttled, or denied the request."
    usual_remedy = "Retry when the packager can publish outcomes."


class S3Error(Failed):
    """S3 returned an error that retries did not overcome."""

    title = "S3 error"
    usual_cause = "The object changed or was deleted, or S3 had a fault."
    usual_remedy = "Retry; check the reasons of the messages if the error recurs."


class NoSuchKey(S3Error):
    """The object, version or upload does not exist."""


class PreconditionFailed(S3Error):
    """An If-Match or If-None-Match condition did not hold (412)."""


class ConditionalRequestConflict(S3Error):
    """A concurrent write to the same key prevented a conditional write (409)."""


class InvalidObjectState(S3Error):
    """The object is archived: its bytes cannot be read or copied."""


class BadRequest(S3Error):
    """S3 rejected the request (400), such as HEAD and GET of objects with SSE-C."""


class InvalidRange(S3Error):
    """The range starts beyond the end of the object (416)."""


class MalformedResponse(S3Error):
    """The response of S3 was truncated or malformed."""


class CredentialsRefused(S3Error):
    """S3 rejected the packager's credentials."""

    title = "Credentials rejected"
    usual_cause = "The credentials had expired, were not valid, or were missing."
    usual_remedy = "Retry."


class ServiceUnavailable(S3Error):
    """S3 was throttled, down or unreachable, despite all retries.

    Attributes:
        is_unreachable: No response arrived.
    """

    title = "S3 unavailable"
    usual_cause = "Many requests went to one prefix, or S3 had an outage."
    usual_remedy = "Retry; lower the concurrency if the error recurs."

    is_unreachable: bool = False


UNREADABLE = (
    AccessDenied,
    BadRequest,
    InvalidObjectState,
    InvalidRange,
    NoSuchKey,
    PreconditionFailed,
)
"""Errors of reading one object, which a job survives if it can do without that object."""


def name_some(values: Sequence[str], count: int | None = None) -> str:
    """Quote the first `MAX_NAMED` values, and count the rest.

    Args:
        values: Offending values, in the order in which to show them.
        count: Total number of values. Default: these are all.

    Example:
        >>> name_some(["a//b", "c/"])
        '"a//b", "c/"'
        >>> name_some([str(n) for n in range(22)])[-20:]
        '"19" and 2 more (22)'
    """
    named = [quote(value) for value in values[:MAX_NAMED]]
    return join_some(named, len(values) if count is None else count)


def join_some(named: Sequence[str], count: int) -> str:
    """Join at most `MAX_NAMED` descriptions of values, and count the rest."""
    text = ", ".join(named[:MAX_NAMED])
    rest = count - MAX_NAMED
    return f"{text} and {rest} more ({count})" if rest > 0 else text


class Samples:
    """Counts descriptions of values, and keeps the first `MAX_NAMED`."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[str] = []

    def add(self, text: str) -> None:
        """Count a description."""
        if self.count < MAX_NAMED:
            self._first.append(text)
        self.count += 1

    def __str__(self) -> str:
        return join_some(self._first, self.count)


def quote(value: str) -> str:
    r"""Quote at most `MAX_QUOTED` characters, so that none can break a log line or a queue.

    Example:
        >>> print(quote("a\nb"))
        "a\nb"
    """
    shown = printable(value[:MAX_QUOTED])
    return f'"{shown}"…' if len(value) > MAX_QUOTED else f'"{shown}"'


def printable(text: str) -> str:
    r"""Escape characters that are not printable, so that foreign text cannot steer a terminal.

    Example:
        >>> print(printable("a\x1b[31mb\n"))
        a\x1b[31mb\n
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )
