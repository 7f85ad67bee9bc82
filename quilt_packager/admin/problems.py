"""Any error, told as this project tells its own: what happened, why, what to do."""

import logging
from typing import NamedTuple

from botocore import exceptions
from quilt_packager_runtime.errors import PackagerError

from quilt_packager.operations.errors import OperationError

log = logging.getLogger(__name__)

SIGN_IN = "Sign in again in the terminal (aws sso login, aws configure), then try again."

EXPIRED = frozenset(
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
REFUSED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"})


class Problem(NamedTuple):
    """An error in words.

    Attributes:
        code: The error's name.
        happened: What happened, as a sentence.
        why: The cause, as a sentence; empty where it goes without saying.
        remedy: What to do, as a sentence.
        is_session: AWS does not take the credentials: nothing works until they are renewed.
    """

    code: str
    happened: str
    why: str
    remedy: str
    is_session: bool = False


def tell(error: Exception) -> Problem:
    """Say what an error means to who looks at the page.

    Args:
        error: What came instead of an answer.
    """
    code = type(error).__name__
    match error:
        case OperationError() | PackagerError():
            return Problem(error.code, error.happened, error.why, error.remedy)
        case exceptions.ClientError():
            answer = error.response.get("Error", {})
            return _tell_answer(
                answer.get("Code", "Unknown"), answer.get("Message", ""), error.operation_name
            )
        case exceptions.HTTPClientError() | exceptions.ConnectionError():
            return Problem(
                code, "AWS cannot be reached.", str(error), "Check the network, then try again."
            )
        case exceptions.ParamValidationError():
            pass
        case exceptions.BotoCoreError():
            # No credentials, an SSO session that ended, and their like.
            return Problem(
                code, "The AWS credentials cannot be used.", str(error), SIGN_IN, is_session=True
            )
    log.error("Unexpected error.", exc_info=error)
    return Problem(
        code,
        f"Something went wrong: {code}.",
        str(error),
        "Try again; if it happens again, report it with what the terminal shows.",
    )


def _tell_answer(code: str, message: str, operation: str) -> Problem:
    if code in EXPIRED:
        return Problem(
            code,
            "Your AWS session has expired.",
            "The page uses your own credentials, and AWS no longer accepts them. Nothing is lost: "
            "the engine in the cloud goes on working.",
            SIGN_IN,
            is_session=True,
        )
    if code in REFUSED:
        return Problem(
            code,
            f"AWS refused {operation}.",
            message,
            "Ask for this permission, then try again. The other parts of the page work without it.",
        )
    return Problem(
        code, f"AWS answered {operation} with {code}.", message, "Try again in a moment."
    )
