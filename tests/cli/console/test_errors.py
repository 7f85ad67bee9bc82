"""Reports of errors: an explanation and an exit code for each kind."""

import botocore.exceptions
import pytest
from botocore.exceptions import ClientError

from quilt_packager.cli.console.errors import report_error
from quilt_packager.cli.console.exits import Exit
from quilt_packager.local.errors import LocalError

ENDPOINT = "https://sqs.us-east-1.amazonaws.com/"


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "No."}}, "SendMessage")


@pytest.mark.parametrize(
    ("error", "exit_code", "remedy"),
    [
        (botocore.exceptions.NoCredentialsError(), Exit.ACCESS, "Sign in"),
        (botocore.exceptions.ProfileNotFound(profile="x"), Exit.ACCESS, "--profile"),
        (botocore.exceptions.UnauthorizedSSOTokenError(), Exit.ACCESS, "Sign in"),
        (botocore.exceptions.NoRegionError(), Exit.USAGE, "AWS_REGION"),
        (botocore.exceptions.ConnectTimeoutError(endpoint_url=ENDPOINT), Exit.ACCESS, "network"),
        (
            botocore.exceptions.EndpointConnectionError(endpoint_url=ENDPOINT),
            Exit.ACCESS,
            "network",
        ),
        (
            botocore.exceptions.SSLError(endpoint_url=ENDPOINT, error=OSError()),
            Exit.ACCESS,
            "network",
        ),
        (refusal("InvalidClientTokenId"), Exit.ACCESS, "Sign in"),
        (refusal("AccessDeniedException"), Exit.ACCESS, "Allow it"),
        (refusal("QueueDoesNotExist"), Exit.USAGE, "PackagerQueueUrl"),
        (refusal("Throttling"), Exit.FAILED, "again in a moment"),
        (refusal("KMS.AccessDeniedException"), Exit.ACCESS, "Allow it"),
        (refusal("ResourceNotFoundException"), Exit.FAILED, "deleted"),
        (botocore.exceptions.InvalidRegionError(region_name="a b"), Exit.USAGE, "--region"),
        (
            botocore.exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2),
            Exit.ACCESS,
            "network",
        ),
        (botocore.exceptions.ParamValidationError(report="x"), Exit.FAILED, "--debug"),
        (LocalError("It failed.", why="It did.", remedy="Try again."), Exit.FAILED, "Try again."),
        (RuntimeError("x"), Exit.FAILED, "--debug"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_has_an_exit_code_and_a_remedy(
    error: Exception, exit_code: Exit, remedy: str
) -> None:
    report = report_error(error)
    assert report.exit_code is exit_code
    assert remedy in report.remedy


def test_an_unknown_error_is_named() -> None:
    report = report_error(RuntimeError("the reason"))
    assert (report.code, "the reason" in report.happened) == ("RuntimeError", True)


@pytest.mark.parametrize("module", ["botocore.exceptions", "starlette.applications", "uvicorn"])
def test_missing_module_names_the_extra_to_install(module: str) -> None:
    report = report_error(ModuleNotFoundError(name=module))
    assert (report.exit_code, "quilt-packager[cli]" in report.remedy) == (Exit.USAGE, True)
