"""One explanation of any error, for the command and the page."""

from quilt_packager_runtime.errors import ExplainedError, Explanation

from quilt_packager.operations.aws_errors import explain_aws_error


def explain(error: Exception) -> Explanation:
    """Explain an error: one of this project, one of boto3, or an unexpected one.

    Example:
        >>> explain(KeyError("id")).happened
        "Unexpected error: KeyError: 'id'."
    """
    if isinstance(error, ExplainedError):
        return error.explanation
    return explain_aws_error(error) or _explain_unexpected(error)


def _explain_unexpected(error: Exception) -> Explanation:
    code = type(error).__name__
    return Explanation(
        code,
        f"Unexpected error: {code}: {error}".rstrip(".") + ".",
        "This is not a known cause.",
        "Try again; if the error recurs, report it with the traceback that quilt-packager --debug "
        "shows.",
    )
