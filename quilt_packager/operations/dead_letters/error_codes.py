"""What each code of a failure means, and what helps: for a group of failures, in general words."""

from typing import NamedTuple

from quilt_packager_runtime import errors

REDRIVEN = "Redriven"
"""The code of a message that SQS put aside itself: nobody said why."""

UNDELIVERED = "Undelivered"
"""The code of an event that EventBridge could not put into the queue."""

NOT_A_MESSAGE = (
    "It cannot be retried: its rule would have made a message of it. Send that message by hand, "
    "and discard the event."
)
"""What to do about an event that asks for no package itself."""


class Words(NamedTuple):
    """What a code means.

    Attributes:
        title: A headline.
        happened: What happened, as a sentence.
        why: The usual causes, as a sentence.
        remedy: What to do, as a sentence.
    """

    title: str
    happened: str
    why: str
    remedy: str


WORDS = {
    "InvalidMessage": Words(
        "The message is not valid",
        "The message breaks its own rules.",
        "Its sender wrote it so.",
        "Correct the sender, and discard.",
    ),
    "BucketNotAllowed": Words(
        "The bucket is not allowed",
        "The message names a bucket that this engine may not use.",
        "It is not among the engine's source or registry buckets.",
        "Add it, deploy, and retry; or discard.",
    ),
    "NoSuchBucket": Words(
        "The bucket does not exist",
        "The message names a bucket that does not exist.",
        "It was deleted, or its name is wrong.",
        "Correct the sender, and discard.",
    ),
    "AccessDenied": Words(
        "Access was denied",
        "AWS refuses the packager an action.",
        "A policy of the role, the bucket or the key does not allow it.",
        "Allow what the message's own reason names, deploy, and retry.",
    ),
    "NoRunOutput": Words(
        "The run wrote nowhere",
        "Nobody knows where a HealthOmics run wrote.",
        "The run was deleted, or ran elsewhere.",
        "Send a message with the run's output folder, and discard.",
    ),
    "EmptySource": Words(
        "The folder holds no objects",
        "The folder held no objects when the message was handled.",
        "The upload had not begun, the name is wrong, or exclude leaves nothing.",
        "Check the folder; retry or discard.",
    ),
    "InvalidKeys": Words(
        "Some keys cannot be packaged",
        "The folder has keys that no package can hold.",
        "quilt3 refuses them, or two of them collide.",
        "Rename or exclude them, and retry.",
    ),
    "UnreadableObjects": Words(
        "Some objects cannot be read",
        "The folder has objects that nobody can read without their owner's key.",
        "They are encrypted with a key of their owner's (SSE-C).",
        "Encrypt them otherwise or exclude them, and retry.",
    ),
    "ArchivedObjects": Words(
        "Some objects are archived",
        "The folder has archived objects without a stored checksum that serves.",
        "A lifecycle rule, or their owner, archived them.",
        "Restore them, and retry.",
    ),
    "InvalidMetadata": Words(
        "The metadata cannot be used",
        "The package's metadata cannot be read, or is no JSON object.",
        "The file it should be in is missing, broken or too large.",
        "Correct it, and retry.",
    ),
    "ManifestLineTooLong": Words(
        "The package has too long a line",
        "A line of the manifest would be longer than its readers take.",
        "The metadata or a key is too long.",
        "Shorten it, and retry.",
    ),
    "InvalidWorkflowConfig": Words(
        "The registry's rules are broken",
        "The registry's workflow configuration cannot be used.",
        "It, or a schema that it names, is missing or not valid.",
        "Correct .quilt/workflows/config.yml, and retry.",
    ),
    "WorkflowViolations": Words(
        "The package breaks its workflow's rules",
        "The package breaks the rules of its registry's workflow.",
        "The metadata, the files or the message are not as it requires.",
        "Add what is missing, and retry.",
    ),
    "SourceChanged": Words(
        "The folder changed meanwhile",
        "An object changed while it was hashed.",
        "Something still writes there.",
        "Retry when it is done.",
    ),
    "WriteConflict": Words(
        "Others were faster",
        "Other writers kept winning the race for the package.",
        "Several jobs write one package at a time.",
        "Retry.",
    ),
    "DeadlineExceeded": Words(
        "There was too little time",
        "The time of an invocation was over before the package was done.",
        "The job is too large for one invocation, or S3 was slow.",
        "Let large jobs be handed over, or give the function more time; then retry.",
    ),
    "DiskFull": Words(
        "There was too little disk",
        "The function's temporary folder had no room for the job's files.",
        "The job is too large for it, or earlier jobs left files there.",
        "Retry; give the function more ephemeral storage if it returns.",
    ),
    "LargeJobFailed": Words(
        "A large job failed",
        "The state machine gave up on the job.",
        "None of its steps left a reason.",
        "Look at its execution, and retry.",
    ),
    "InternalError": Words(
        "The packager crashed",
        "The job stopped with an error that nobody foresaw.",
        "It is not a known cause.",
        "Retry once; if it returns, report it with the job's id.",
    ),
    "AttemptsExhausted": Words(
        "The job ended without a word",
        "The job was tried as often as it may be, and the last attempt did not say how it ended.",
        "The function ran out of memory or was stopped, or nobody could be told.",
        "Look at the job's log, mend what it shows, and retry.",
    ),
    "AwsError": Words(
        "AWS did not answer",
        "A service of AWS answered with an error, or not at all.",
        "It was down or throttled, or refuses the packager.",
        "Retry; look at the messages' own reasons if it returns.",
    ),
    "NotificationFailed": Words(
        "Nobody could be told",
        "The job ended, but its outcome could not be announced.",
        "EventBridge or SNS was down or throttled, or refuses the packager.",
        "Retry once the packager may tell of outcomes.",
    ),
    "CredentialsRefused": Words(
        "AWS refused the credentials",
        "S3 did not accept the packager's credentials.",
        "They had expired, or were not there.",
        "Retry.",
    ),
    "ServiceUnavailable": Words(
        "S3 was busy or down",
        "S3 was throttled, down or out of reach, whatever was tried.",
        "Many requests went to one prefix, or S3 had an outage.",
        "Retry; lower the concurrency if it returns.",
    ),
    REDRIVEN: Words(
        "Nobody said why",
        "The message was delivered as often as it may be, and no attempt said how it ended.",
        "The function was throttled, ran out of memory, or was stopped before it could tell.",
        "Look at the job's log, mend what it shows, and retry.",
    ),
    UNDELIVERED: Words(
        "Events that did not arrive",
        "EventBridge could not put an event into the queue.",
        "The rule may not send to it or use its key, or SQS did not answer for a day.",
        "Retry: the event then goes to the queue from here.",
    ),
}
"""What each code means. An error of S3 that is not here means what `S3_ERROR` says."""

S3_ERROR = Words(
    "S3 answered with an error",
    "S3 answered with an error that its client could not overcome.",
    "The object changed or went, or S3 had a fault.",
    "Retry; look at the messages' own reasons if it returns.",
)

UNKNOWN = Words(
    "The job failed",
    "The job failed with a code that this version does not know.",
    "The engine is newer than this command.",
    "Look at the messages' own reasons.",
)


def words_for(code: str) -> Words:
    """What a code means in general.

    Args:
        code: The code of a failure.

    Example:
        >>> words_for("EmptySource").title
        'The folder holds no objects'
        >>> words_for("MalformedResponse").title
        'S3 answered with an error'
    """
    if code in WORDS:
        return WORDS[code]
    return S3_ERROR if issubclass(_class_of(code), errors.S3Error) else UNKNOWN


def needs_change(code: str) -> bool:
    """Whether a retry fails again unless something has changed.

    Args:
        code: The code of a failure.

    Example:
        >>> needs_change("WorkflowViolations"), needs_change("ServiceUnavailable")
        (True, False)
    """
    return issubclass(_class_of(code), errors.Rejected)


def count_not_retried(count: int) -> str:
    """Say how many failures cannot be retried, and what to do about them.

    Args:
        count: How many; at least 1.

    Example:
        >>> count_not_retried(2)
        '2 events cannot be retried: their rules would have made messages of them. Send ...'
    """
    if count == 1:
        return f"1 event{NOT_A_MESSAGE.removeprefix('It')}"
    return (
        f"{count:,} events cannot be retried: their rules would have made messages of them. Send "
        "those messages by hand, and discard the events."
    )


def _class_of(code: str) -> type[Exception]:
    found = getattr(errors, code, None)
    return found if isinstance(found, type) and issubclass(found, Exception) else Exception
