"""Errors as the command reports them: an explanation and an exit code."""

from dataclasses import dataclass

import typer
from quilt_packager_runtime.aws.boto_errors import Kind
from quilt_packager_runtime.aws.clients import CallFailed
from quilt_packager_runtime.errors import (
    AccessDenied,
    AwsError,
    CredentialsRefused,
    ExplainedError,
    Explanation,
    InvalidAwsConfiguration,
    NoSuchBucket,
    PackagerError,
    Rejected,
    ServiceUnavailable,
)

from quilt_packager.cli.console.exits import Exit
from quilt_packager.cli.console.usage import describe_usage
from quilt_packager.local.errors import LocalError, MissingExtra
from quilt_packager.operations.aws_errors import SESSION, AwsExplanation, explain_aws_error
from quilt_packager.operations.errors import LookupFailed
from quilt_packager.operations.explanations import explain

CLI_EXTRA = frozenset(
    {
        "aws_lambda_powertools",
        "awscrt",
        "boto3",
        "botocore",
        "jinja2",
        "markupsafe",
        "quilt3",
        "starlette",
        "uvicorn",
    }
)
"""Modules of the `cli` extra, except those that this module itself needs."""

USAGE = "Usage"
"""The code of every wrong call of the command."""

EXIT_CODES = {
    **dict.fromkeys(SESSION | {Kind.DENIED, Kind.UNREACHABLE}, Exit.ACCESS),
    Kind.NO_QUEUE: Exit.USAGE,
    Kind.NO_BUCKET: Exit.USAGE,
    Kind.NO_REGION: Exit.USAGE,
    Kind.WRONG_REGION: Exit.USAGE,
    Kind.ENDPOINT: Exit.USAGE,
}


class Misuse(ExplainedError):
    """The command cannot do what its arguments ask for."""

    @property
    def code(self) -> str:
        """One code for all."""
        return USAGE


@dataclass(frozen=True)
class ErrorReport(Explanation):
    """An error that ends the command.

    Attributes:
        exit_code: Exit code of the command.
        log: End of a log that has the details; empty if there is none.
    """

    exit_code: Exit
    log: str = ""

    @property
    def reason(self) -> str:
        """The first two sentences as one text."""
        return f"{self.happened} {self.why}".strip()


def report_error(error: Exception) -> ErrorReport:
    """Explain an error to the user of the command, and choose the exit code."""
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "quilt-packager"
        happened, why = describe_usage(error)
        return ErrorReport(USAGE, happened, why, f"{command} --help", Exit.USAGE)
    if isinstance(error, ModuleNotFoundError):
        module = (error.name or "").partition(".")[0]
        if module in CLI_EXTRA:
            error = MissingExtra("cli", module)
    found = explain(error)
    return ErrorReport(
        found.code,
        found.happened,
        found.why,
        found.remedy,
        exit_code=_exit_code(error, found),
        log=error.log if isinstance(error, LocalError) else "",
    )


def exit_code_of_job(error: PackagerError) -> Exit:
    """Choose the exit code of a job that ended with an error."""
    return Exit.REJECTED if isinstance(error, Rejected) else report_error(error).exit_code


def _exit_code(error: Exception, found: Explanation) -> Exit:
    match error:
        case CredentialsRefused() | AccessDenied() | ServiceUnavailable(is_unreachable=True):
            return Exit.ACCESS
        case (
            Misuse() | LookupFailed() | MissingExtra() | NoSuchBucket() | InvalidAwsConfiguration()
        ):
            return Exit.USAGE
        case Rejected():
            return Exit.REJECTED
        case AwsError(__cause__=CallFailed(__cause__=Exception() as cause)):
            return _exit_code(cause, explain_aws_error(cause) or found)
    if isinstance(found, AwsExplanation):
        return EXIT_CODES.get(found.kind, Exit.FAILED)
    return Exit.FAILED
