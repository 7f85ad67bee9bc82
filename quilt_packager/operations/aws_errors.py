"""Explanations of boto3 errors for the user of the command and the page."""

from dataclasses import dataclass

from quilt_packager_runtime.aws.boto_errors import Kind, describe_boto_error
from quilt_packager_runtime.errors import Explanation

from quilt_packager.contract import QUEUE_OUTPUT

QUEUE_REMEDY = f"Check the URL: it is the output {QUEUE_OUTPUT} of the stack."

SESSION = frozenset({Kind.CREDENTIALS, Kind.SIGNED_OUT, Kind.PROFILE, Kind.CLOCK})
"""Reasons for which every request fails, until the user signs in or corrects the profile."""


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

    @property
    def is_session(self) -> bool:
        """True if every request fails, until the user signs in or corrects the profile."""
        return self.kind in SESSION


def explain_aws_error(error: Exception) -> AwsExplanation | None:
    """Explain an error of boto3.

    Returns:
        The explanation; None for other errors and for calls with invalid parameters, which are
        defects of the caller.
    """
    found = describe_boto_error(error)
    if found is None:
        return None
    remedy = QUEUE_REMEDY if found.kind is Kind.NO_QUEUE else found.remedy
    return AwsExplanation(found.code, found.happened, found.why, remedy, found.kind)


def is_denied(error: Exception) -> bool:
    """Return True if AWS accepts the credentials, but they do not allow the request."""
    found = explain_aws_error(error)
    return found is not None and found.kind is Kind.DENIED
