"""Errors as the page shows them."""

import logging
from dataclasses import dataclass

from quilt_packager_runtime.errors import ExplainedError, Explanation

from quilt_packager.operations.aws_errors import AwsExplanation
from quilt_packager.operations.explanations import explain

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Problem(Explanation):
    """An error in words.

    Attributes:
        is_session: AWS rejects the credentials: every request fails until they are renewed.
    """

    is_session: bool = False


def describe_problem(error: Exception) -> Problem:
    """Explain an error to the user of the page; log it if it is unexpected."""
    found = explain(error)
    if not isinstance(found, AwsExplanation) and not isinstance(error, ExplainedError):
        log.error("Unexpected error.", exc_info=error)
    why, is_session = found.why, isinstance(found, AwsExplanation) and found.is_session
    if is_session:
        why += " The page uses your own credentials; the engine keeps running without them."
    return Problem(found.code, found.happened, why.strip(), found.remedy, is_session=is_session)
