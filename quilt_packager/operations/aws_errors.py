"""What errors of boto3 mean: of what kind each is, and what happened, for the command and the page.

What to do about one, who asked knows better.
"""

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from botocore.exceptions import ClientError


class Kind(StrEnum):
    """Why AWS did not do what it was asked for."""

    CREDENTIALS = "credentials"
    """There are none, or AWS does not take them: nothing works until they are renewed."""
    DENIED = "denied"
    """They do not allow it."""
    BUSY = "busy"
    """It was asked too often, or has a fault of its own: later it may answer."""
    GONE = "gone"
    """What was asked about is not there."""
    UNREACHABLE = "unreachable"
    """No answer came."""
    OTHER = "other"


BAD_CREDENTIALS = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
DENIED = frozenset(
    {
        "403",  # HEAD: its answer has no body to say more
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "KMS.AccessDeniedException",
        "KmsAccessDenied",
        "UnauthorizedOperation",
    }
)
BUSY = frozenset(
    {
        "KMS.ThrottlingException",
        "KmsThrottled",
        "RequestLimitExceeded",
        "RequestThrottled",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
NO_QUEUE = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})
GONE = NO_QUEUE | {
    "404",
    "ExecutionDoesNotExist",
    "NoSuchBucket",
    "NoSuchKey",
    "ResourceNotFoundException",
    "StateMachineDoesNotExist",
}
KINDS = {
    code: kind
    for kind, codes in {
        Kind.CREDENTIALS: BAD_CREDENTIALS,
        Kind.DENIED: DENIED,
        Kind.BUSY: BUSY,
        Kind.GONE: GONE,
    }.items()
    for code in codes
}

SERVER_ERROR = 500
"""From this status of HTTP on, it is AWS's own fault."""


class AwsProblem(NamedTuple):
    """An error of boto3 in words.

    Attributes:
        kind: Of what kind it is.
        code: AWS's name of it, or boto3's.
        happened: What happened, as a sentence.
        why: The cause, in the words of AWS or of boto3.
    """

    kind: Kind
    code: str
    happened: str
    why: str

    @property
    def passes(self) -> bool:
        """Whether the same question may be answered later."""
        return self.kind in {Kind.BUSY, Kind.UNREACHABLE}


def explain(error: Exception) -> AwsProblem | None:
    """Say what an error of boto3 means.

    Args:
        error: What came instead of an answer.

    Returns:
        What it means; None of what is no error of boto3, or a defect of who called it.
    """
    from botocore import exceptions

    code = type(error).__name__
    match error:
        case exceptions.ClientError():
            return _explain_answer(error)
        case (
            exceptions.HTTPClientError()
            | exceptions.ConnectionError()
            | exceptions.IncompleteReadError()
        ):
            return AwsProblem(Kind.UNREACHABLE, code, "AWS cannot be reached.", str(error))
        case exceptions.ParamValidationError():
            return None
        case exceptions.BotoCoreError():
            # No credentials, an unknown profile, an SSO session that ended, and their like.
            words = "The AWS credentials cannot be used."
            return AwsProblem(Kind.CREDENTIALS, code, words, str(error))
    return None


def is_denied(error: Exception) -> bool:
    """Whether AWS knows whose credentials these are, but they do not allow what was asked.

    Args:
        error: What came instead of an answer.
    """
    found = explain(error)
    return found is not None and found.kind is Kind.DENIED


def _explain_answer(error: "ClientError") -> AwsProblem:
    answer = error.response.get("Error", {})
    code, operation = answer.get("Code", "Unknown"), error.operation_name
    kind = KINDS.get(code, Kind.OTHER)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if kind is Kind.OTHER and status >= SERVER_ERROR:
        kind = Kind.BUSY
    happened = {
        Kind.CREDENTIALS: f"AWS refused the credentials: {code}.",
        Kind.DENIED: f"AWS refused {operation}.",
    }.get(kind, f"AWS answered {operation} with {code}.")
    if code in NO_QUEUE:
        happened = "There is no such queue."
    return AwsProblem(kind, code, happened, answer.get("Message", ""))
