"""Any error, told as this project tells its own: what happened, why, what to do; one exit code."""

import sys
from typing import NamedTuple

import typer
from quilt_packager_runtime.errors import (
    AccessDenied,
    CredentialsRefused,
    NoSuchBucket,
    PackagerError,
    Rejected,
)

from quilt_packager.cli.console.exits import Exit
from quilt_packager.local.errors import LocalError, MissingExtra
from quilt_packager.operations.aws_errors import NO_QUEUE, Kind, explain
from quilt_packager.operations.errors import LookupFailed, OperationError

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
"""What the `cli` extra brings beside that without which this module could not be imported."""

USAGE = "Usage"
"""The code of every wrong call of the command."""

SIGN_IN = "Sign in (aws sso login, aws configure), or set AWS_PROFILE."


ENDS = {
    Kind.CREDENTIALS: (Exit.ACCESS, SIGN_IN),
    Kind.DENIED: (Exit.ACCESS, "Allow it to the role or user whose credentials these are."),
    Kind.UNREACHABLE: (Exit.ACCESS, "Check the network, the proxy, and AWS_ENDPOINT_URL."),
    Kind.BUSY: (Exit.FAILED, "Try again in a moment."),
    Kind.GONE: (Exit.FAILED, "Look at --region; if it was deleted, deploy the stack again."),
    Kind.OTHER: (
        Exit.FAILED,
        "Try again; if it stays so, the sentence above tells what AWS wants.",
    ),
}
"""How a command ends that AWS did not answer as it should, and what to do."""


class Misuse(Exception):
    """A command cannot do what it was asked for.

    Args:
        happened: What was asked.
        why: Why that cannot be done.
        remedy: What to do instead.
    """

    def __init__(self, happened: str, *, why: str, remedy: str) -> None:
        super().__init__(happened)
        self.happened = happened
        self.why = why
        self.remedy = remedy


class Told(NamedTuple):
    """An error in words.

    Attributes:
        exit_code: How the command ends.
        code: The error's name.
        happened: What happened.
        why: The cause.
        remedy: What to do.
        log: The end of a log that tells more.
    """

    exit_code: Exit
    code: str
    happened: str
    why: str
    remedy: str
    log: str = ""

    @property
    def reason(self) -> str:
        """What happened and why."""
        return " ".join(filter(None, [self.happened, self.why]))


def tell(error: Exception) -> Told:
    """Say what an error means to the user.

    Args:
        error: What ended the command.
    """
    code = type(error).__name__
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "quilt-packager"
        return Told(Exit.USAGE, USAGE, error.format_message(), "", f"{command} --help")
    ours = _tell_ours(error)
    if ours is not None:
        return ours
    if isinstance(error, ModuleNotFoundError):
        module = (error.name or "").partition(".")[0]
        if module in CLI_EXTRA:
            return tell(MissingExtra("cli", module))
    # Without boto3 there can be no error of boto3's, and importing it takes its time.
    told = _tell_boto3(error) if "botocore" in sys.modules else None
    return told or Told(
        Exit.FAILED,
        code,
        f"The command stopped: {code}: {error}",
        "This is not a known cause.",
        "quilt-packager --debug … shows where; if it happens again, report it with that.",
    )


def _tell_ours(error: Exception) -> Told | None:
    code = type(error).__name__
    if isinstance(error, Misuse):
        return Told(Exit.USAGE, USAGE, error.happened, error.why, error.remedy)
    if isinstance(error, PackagerError):
        return Told(_exit_code_of(error), code, error.happened, error.why, error.remedy)
    if isinstance(error, OperationError):
        exit_code = Exit.USAGE if isinstance(error, LookupFailed) else Exit.FAILED
        return Told(exit_code, code, error.happened, error.why, error.remedy)
    if isinstance(error, LocalError):
        exit_code = Exit.USAGE if isinstance(error, MissingExtra) else Exit.FAILED
        return Told(exit_code, code, error.happened, error.why, error.remedy, error.log)
    return None


def _exit_code_of(error: PackagerError) -> Exit:
    """How a command ends that asks of S3 what a job would."""
    match error:
        case CredentialsRefused() | AccessDenied():
            return Exit.ACCESS
        case NoSuchBucket():
            return Exit.USAGE
        case Rejected():
            return Exit.REJECTED
    return Exit.FAILED


def _tell_boto3(error: Exception) -> Told | None:
    from botocore import exceptions

    if isinstance(error, exceptions.NoRegionError | exceptions.InvalidRegionError):
        return Told(
            Exit.USAGE,
            type(error).__name__,
            "It is not clear which AWS region is meant.",
            str(error),
            "Give --region, or set AWS_REGION or a region in the profile.",
        )
    found = explain(error)
    if found is None:
        return None
    exit_code, remedy = ENDS[found.kind]
    if found.code in NO_QUEUE:
        exit_code, remedy = Exit.USAGE, "Copy PackagerQueueUrl from the outputs of the stack."
    return Told(exit_code, found.code, found.happened, found.why, remedy)
