"""Classification of boto3 errors, and their explanations."""

import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from quilt_packager_runtime.errors import Explanation

from quilt_packager.contract import QUEUE_OUTPUT

if TYPE_CHECKING:
    from botocore.exceptions import ClientError


class Kind(StrEnum):
    """Reasons for which AWS does not do what a request asks for."""

    CREDENTIALS = "credentials"
    """They are missing, or AWS rejects them: every request fails until they are renewed."""
    DENIED = "denied"
    """They do not allow the request."""
    BUSY = "busy"
    """AWS throttles requests or has a fault: the same request may succeed later."""
    GONE = "gone"
    """The resource does not exist."""
    NO_QUEUE = "no_queue"
    """The queue does not exist."""
    NO_REGION = "no_region"
    """The region is missing or not valid."""
    ENDPOINT = "endpoint"
    """The configured endpoint is not valid."""
    UNREACHABLE = "unreachable"
    """No response arrived."""
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
        "403",  # HEAD has no body that names the error
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
GONE = frozenset(
    {
        "404",
        "ExecutionDoesNotExist",
        "NoSuchBucket",
        "NoSuchKey",
        "ResourceNotFoundException",
        "StateMachineDoesNotExist",
    }
)
KINDS = {
    code: kind
    for kind, codes in {
        Kind.CREDENTIALS: BAD_CREDENTIALS,
        Kind.DENIED: DENIED,
        Kind.BUSY: BUSY,
        Kind.GONE: GONE,
        Kind.NO_QUEUE: NO_QUEUE,
    }.items()
    for code in codes
}

REMEDIES = {
    Kind.CREDENTIALS: "Sign in (aws sso login, aws configure) or set AWS_PROFILE, and try again.",
    Kind.DENIED: "Allow it for the role or user whose credentials these are, and try again.",
    Kind.BUSY: "Try again in a moment.",
    Kind.GONE: "Check the region; if the resource was deleted, deploy the stack again.",
    Kind.NO_QUEUE: f"Check the URL: it is the output {QUEUE_OUTPUT} of the stack.",
    Kind.NO_REGION: "Give --region, or set AWS_REGION or a region in the profile.",
    Kind.ENDPOINT: "Correct AWS_ENDPOINT_URL, or endpoint_url in the profile.",
    Kind.UNREACHABLE: "Check the network, the proxy and AWS_ENDPOINT_URL, and try again.",
    Kind.OTHER: "Try again; if the error recurs, the reason above says what AWS requires.",
}

SERVER_ERROR = 500
"""Lowest HTTP status of a fault of AWS."""


@dataclass(frozen=True)
class AwsExplanation(Explanation):
    """A boto3 error in words, with the code of AWS or of boto3.

    Attributes:
        kind: Reason, which decides what helps.
    """

    kind: Kind

    @property
    def passes(self) -> bool:
        """True if the same request may succeed later."""
        return self.kind in {Kind.BUSY, Kind.UNREACHABLE}


def explain_aws_error(error: Exception) -> AwsExplanation | None:
    """Explain an error of boto3.

    Returns:
        The explanation; None for other errors and for calls with invalid parameters, which are
        defects of the caller.
    """
    # Without botocore, the error cannot be one of boto3, and importing it takes time.
    if "botocore" not in sys.modules:
        return None
    from botocore import exceptions

    match error:
        case exceptions.ClientError():
            return _explain_response(error)
        case (
            exceptions.HTTPClientError()
            | exceptions.ConnectionError()
            | exceptions.IncompleteReadError()
        ):
            kind, happened = Kind.UNREACHABLE, "AWS cannot be reached."
        case exceptions.NoRegionError() | exceptions.InvalidRegionError():
            kind, happened = Kind.NO_REGION, "The AWS region is missing or not valid."
        case exceptions.EndpointProviderError():
            kind, happened = Kind.ENDPOINT, "The AWS endpoint is not valid."
        case exceptions.BotoCoreError() if not isinstance(error, exceptions.ParamValidationError):
            # No credentials, an unknown profile, an expired SSO session, and the like.
            kind, happened = Kind.CREDENTIALS, "The AWS credentials cannot be used."
        case _:
            return None
    return AwsExplanation(type(error).__name__, happened, str(error), REMEDIES[kind], kind)


def is_denied(error: Exception) -> bool:
    """Return True if AWS accepts the credentials, but they do not allow the request."""
    found = explain_aws_error(error)
    return found is not None and found.kind is Kind.DENIED


def _explain_response(error: "ClientError") -> AwsExplanation:
    response = error.response.get("Error", {})
    code, operation = response.get("Code", "Unknown"), error.operation_name
    kind = KINDS.get(code, Kind.OTHER)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if kind is Kind.OTHER and status >= SERVER_ERROR:
        kind = Kind.BUSY
    happened = {
        Kind.CREDENTIALS: f"AWS rejected the credentials: {code}.",
        Kind.DENIED: f"AWS denied {operation}.",
        Kind.NO_QUEUE: "The queue does not exist.",
    }.get(kind, f"{operation} failed with {code}.")
    return AwsExplanation(code, happened, response.get("Message", ""), REMEDIES[kind], kind)
