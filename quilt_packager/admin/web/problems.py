"""Any error, told as this project tells its own: what happened, why, what to do."""

import logging
from typing import NamedTuple

from quilt_packager_runtime.errors import PackagerError

from quilt_packager.operations.aws_errors import BAD_CREDENTIALS, AwsProblem, Kind, explain
from quilt_packager.operations.errors import OperationError

log = logging.getLogger(__name__)

SIGN_IN = "Sign in again in the terminal (aws sso login, aws configure), then try again."

REMEDIES = {
    Kind.CREDENTIALS: SIGN_IN,
    Kind.DENIED: "Ask for this permission, then try again. The other parts of the page work "
    "without it.",
    Kind.UNREACHABLE: "Check the network, then try again.",
    Kind.BUSY: "Try again in a moment.",
    Kind.GONE: "Try again; if it was deleted, deploy the stack again.",
    Kind.OTHER: "Try again in a moment.",
}


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
    if isinstance(error, OperationError | PackagerError):
        return Problem(error.code, error.happened, error.why, error.remedy)
    found = explain(error)
    if found is not None:
        return _tell_aws(found)
    log.error("Unexpected error.", exc_info=error)
    code = type(error).__name__
    return Problem(
        code,
        f"Something went wrong: {code}.",
        str(error),
        "Try again; if it happens again, report it with what the terminal shows.",
    )


def _tell_aws(found: AwsProblem) -> Problem:
    if found.code in BAD_CREDENTIALS:
        return Problem(
            found.code,
            "Your AWS session has expired.",
            "The page uses your own credentials, and AWS no longer accepts them. Nothing is lost: "
            "the engine in the cloud goes on working.",
            SIGN_IN,
            is_session=True,
        )
    return Problem(
        found.code,
        found.happened,
        found.why,
        REMEDIES[found.kind],
        is_session=found.kind is Kind.CREDENTIALS,
    )
