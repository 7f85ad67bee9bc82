"""Descriptions of error codes, in general terms; run as a program, the table of the docs.

The error classes describe their codes. Codes without a class, and unknown ones, are described here.
"""

import inspect
import sys
from collections.abc import Iterator
from typing import NamedTuple

from quilt_packager_runtime import errors
from quilt_packager_runtime.errors import PackagerError

REDRIVEN = "Redriven"
"""The code of a message that SQS moved to the dead-letter queue itself, without a reason."""

UNDELIVERED = "Undelivered"
"""The code of an event that EventBridge could not deliver to the queue."""

UNCORRECTABLE = frozenset({errors.InvalidMessage.__name__, errors.PackageNameTaken.__name__})
"""Codes of messages that fail again however often they are retried: they need a correction."""

NOT_A_MESSAGE = (
    "It cannot be retried: its rule would have made a message of it. Send that message by hand, "
    "and discard the event."
)
"""Remedy for an event that requests no package itself."""


class ErrorDescription(NamedTuple):
    """Description of a code, in general terms.

    Attributes:
        title: Headline.
        happened: Sentence that says what happened.
        why: Usual causes, as a sentence.
        remedy: Advice, as a sentence.
    """

    title: str
    happened: str
    why: str
    remedy: str


UNKNOWN = ErrorDescription(
    "Unknown error code",
    "The job failed with a code that this version does not know.",
    "The engine is newer than this command.",
    "Check the reasons of the messages.",
)


def _error_classes(base: type[PackagerError] = PackagerError) -> Iterator[type[PackagerError]]:
    """Yield the classes whose names are codes, in the order of their definition."""
    if hasattr(base, "title"):
        yield base
    for each in base.__subclasses__():
        if each.__module__ == errors.__name__:
            yield from _error_classes(each)


def _describe_class(error: type[PackagerError]) -> ErrorDescription:
    """Describe a class, or the base class from which it inherits its title."""
    described = next(each for each in error.__mro__ if "title" in vars(each))
    happened = (inspect.getdoc(described) or error.title).partition("\n")[0]
    return ErrorDescription(error.title, happened, error.usual_cause, error.usual_remedy)


DESCRIPTIONS = {each.__name__: _describe_class(each) for each in _error_classes()} | {
    REDRIVEN: ErrorDescription(
        "Moved by SQS without a reason",
        "SQS delivered the message as often as allowed, and no attempt recorded an outcome.",
        "The function was throttled, ran out of memory, or was stopped.",
        "Fix what the job's log shows, and retry.",
    ),
    UNDELIVERED: ErrorDescription(
        "Event not delivered",
        "EventBridge could not deliver an event to the queue.",
        "The rule may not send to the queue or use its key, or SQS did not respond for a day.",
        "Retry: this sends the event to the queue.",
    ),
}
"""The description of each code."""


def describe_code(code: str) -> ErrorDescription:
    """Describe a code in general terms.

    Example:
        >>> describe_code("EmptySource").title
        'Source folder is empty'
        >>> describe_code("MalformedResponse").title
        'S3 error'
    """
    return DESCRIPTIONS.get(code, UNKNOWN)


def needs_change(code: str) -> bool:
    """Return True if a retry fails again unless something has changed.

    Example:
        >>> needs_change("WorkflowViolations"), needs_change("ServiceUnavailable")
        (True, False)
    """
    return code in DESCRIPTIONS and issubclass(getattr(errors, code, Exception), errors.Rejected)


def count_not_retried(count: int) -> str:
    """Say how many events, at least one, cannot be retried, and what to do about them.

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


def codes_table() -> str:
    """Write the table of `docs/how-to/failures.md`."""
    rows = ["| code | what happened | what to do | a plain retry |", "|---|---|---|---|"]
    for each in dict.fromkeys(DESCRIPTIONS.values()):
        codes = [code for code, described in DESCRIPTIONS.items() if described == each]
        named = ", ".join(f"`{code}`" for code in codes)
        retry = "fails again" if needs_change(codes[0]) else "may succeed"
        rows.append(f"| {named} | {each.happened} {each.why} | {each.remedy} | {retry} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(codes_table())
