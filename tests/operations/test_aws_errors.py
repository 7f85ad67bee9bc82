"""Classification of boto3 errors."""

from typing import Any

import pytest
from botocore import exceptions
from botocore.exceptions import ClientError
from quilt_packager_runtime.aws.boto_errors import Kind

from quilt_packager.operations.aws_errors import explain_aws_error


def answer(code: str, status: int = 400) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": "No."},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, "SendMessage")


@pytest.mark.parametrize(
    ("error", "kind", "passes"),
    [
        (answer("ExpiredToken"), Kind.CREDENTIALS, False),
        (exceptions.NoCredentialsError(), Kind.CREDENTIALS, False),
        (answer("AccessDenied", 403), Kind.DENIED, False),
        (answer("ThrottlingException"), Kind.BUSY, True),
        (answer("InternalFailure", 500), Kind.BUSY, True),
        (answer("QueueDoesNotExist"), Kind.NO_QUEUE, False),
        (exceptions.ReadTimeoutError(endpoint_url="https://a/"), Kind.UNREACHABLE, True),
        (answer("ValidationError"), Kind.OTHER, False),
    ],
)
def test_errors_are_classified(error: Exception, kind: Kind, passes: bool) -> None:
    found = explain_aws_error(error)
    assert found is not None
    assert (found.kind, found.passes) == (kind, passes)


def test_invalid_parameters_are_a_defect() -> None:
    assert explain_aws_error(exceptions.ParamValidationError(report="x")) is None
    assert explain_aws_error(KeyError("x")) is None
