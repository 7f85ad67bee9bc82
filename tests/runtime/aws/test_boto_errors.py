"""Errors of boto3 in words of this project, which AWS's own sentences do not reach."""

from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from quilt_packager_runtime.aws.boto_errors import describe_boto_error

USER = "arn:aws:sts::123456789012:assumed-role/lab/mia"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:packages"
SENTENCE = "A sentence of AWS."


def answer(code: str, message: str = SENTENCE, status: int = 400, **more: str) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": message, **more},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, "SendMessage")


def denial(cause: str) -> ClientError:
    message = f"User: {USER} is not authorized to perform: sqs:SendMessage on resource: {QUEUE}"
    return answer("AccessDenied", f"{message} {cause}", 403)


@pytest.mark.parametrize(
    ("error", "happened", "why"),
    [
        (
            denial("because no identity-based policy allows the sqs:SendMessage action"),
            f"AWS denied sqs:SendMessage on {QUEUE}.",
            f"No identity-based policy allows it to {USER}.",
        ),
        (
            denial("with an explicit deny in a service control policy"),
            f"AWS denied sqs:SendMessage on {QUEUE}.",
            f"A service control policy denies it to {USER}.",
        ),
        (
            denial("with an explicit deny in an identity-based policy"),
            f"AWS denied sqs:SendMessage on {QUEUE}.",
            f"An identity-based policy denies it to {USER}.",
        ),
        (
            denial("because no permissions boundary allows the sqs:SendMessage action"),
            f"AWS denied sqs:SendMessage on {QUEUE}.",
            f"No permissions boundary allows it to {USER}.",
        ),
        (
            answer("AccessDenied"),
            "AWS denied SendMessage.",
            "No policy allows it, or one denies it.",
        ),
        (
            answer("ExpiredToken"),
            "AWS rejected the credentials: ExpiredToken.",
            "The session has expired.",
        ),
        (
            answer("RequestTimeTooSkewed"),
            "AWS rejected the credentials: RequestTimeTooSkewed.",
            "The time of the request differs from that of AWS by minutes.",
        ),
        (
            answer("ThrottlingException"),
            "SendMessage failed with ThrottlingException.",
            "AWS limits the rate of these requests.",
        ),
        (
            answer("InternalFailure", status=503),
            "SendMessage failed with InternalFailure.",
            "AWS has a fault (HTTP status 503).",
        ),
        (
            answer("NoSuchBucket", BucketName="raw"),
            'The bucket "raw" does not exist.',
            "S3 has no bucket of that name.",
        ),
        (answer("NoSuchBucket"), "The bucket does not exist.", "S3 has no bucket of that name."),
        (
            answer("PermanentRedirect"),
            "SendMessage failed with PermanentRedirect.",
            "The bucket is in another region.",
        ),
        (
            answer("AuthorizationHeaderMalformed", Region="eu-west-1"),
            "SendMessage failed with AuthorizationHeaderMalformed.",
            "The bucket is in eu-west-1.",
        ),
        (
            answer("Novelty"),
            "SendMessage failed with Novelty.",
            'AWS said: "A sentence of AWS".',
        ),
        (answer("Novelty", ""), "SendMessage failed with Novelty.", "AWS gave no reason."),
        (
            exceptions.NoCredentialsError(),
            "No AWS credentials were found.",
            "Neither the environment nor a profile, container or instance has any.",
        ),
        (
            exceptions.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
            "The AWS credentials are incomplete.",
            "AWS_SECRET_ACCESS_KEY is missing (env).",
        ),
        (
            exceptions.UnauthorizedSSOTokenError(),
            "The sign-in to AWS has expired.",
            "The profile uses a session of aws sso login or aws login that is no longer valid.",
        ),
        (
            exceptions.TokenRetrievalError(provider="sso", error_msg=SENTENCE),
            "The sign-in to AWS has expired.",
            "The profile uses a session of aws sso login or aws login that is no longer valid.",
        ),
        (
            exceptions.CredentialRetrievalError(provider="custom-process", error_msg=SENTENCE),
            "The AWS credentials cannot be used.",
            'custom-process said: "A sentence of AWS".',
        ),
        (
            exceptions.ConfigParseError(path="lab/aws-config"),
            "The AWS configuration cannot be read.",
            "lab/aws-config is missing or malformed.",
        ),
        (
            exceptions.NoRegionError(),
            "No AWS region is set.",
            "Neither the environment nor the profile has one.",
        ),
        (
            exceptions.InvalidRegionError(region_name="eu west"),
            "Invalid AWS region: eu west.",
            "The name of a region has the form us-east-1.",
        ),
        (
            exceptions.EndpointConnectionError(endpoint_url="https://a/"),
            "AWS cannot be reached.",
            "https://a/ has no address, or takes no connections.",
        ),
        (
            exceptions.SSLError(endpoint_url="https://a/", error=OSError(SENTENCE)),
            "AWS cannot be reached.",
            "The certificate of https://a/ is not trusted, or the server has no TLS.",
        ),
        (
            exceptions.HTTPClientError(error=SENTENCE),
            "AWS cannot be reached.",
            "The connection to AWS broke.",
        ),
        (
            ResponseParserError(SENTENCE),
            "The response is not one of AWS.",
            "A proxy or another server answers at the endpoint.",
        ),
        (
            exceptions.WaiterConfigError(error_msg=SENTENCE),
            "boto3 failed with WaiterConfigError.",
            'It said: "A sentence of AWS".',
        ),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
def test_errors_have_words_of_their_own(error: Exception, happened: str, why: str) -> None:
    found = describe_boto_error(error)
    assert found is not None
    assert (found.happened, found.why) == (happened, why)


def test_an_unknown_profile_is_named_with_a_similar_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text("[profile production]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    found = describe_boto_error(exceptions.ProfileNotFound(profile="prodction"))
    assert found is not None
    assert found.why.endswith("Did you mean production?")


def test_both_sentences_can_be_quoted_in_another() -> None:
    assert str(describe_boto_error(answer("QueueDoesNotExist"))) == (
        "The queue does not exist. It does not exist in this account and region (QueueDoesNotExist)"
    )


def test_calls_with_invalid_parameters_and_other_errors_are_defects() -> None:
    assert describe_boto_error(exceptions.ParamValidationError(report="x")) is None
    assert describe_boto_error(KeyError("x")) is None
