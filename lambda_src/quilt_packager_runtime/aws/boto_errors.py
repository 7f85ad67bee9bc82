"""The errors of boto3 in words: their own sentences vary with its version, and with the service."""

import re
import sys
from difflib import get_close_matches
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from quilt_packager_runtime.errors import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.exceptions import ClientError


class Kind(StrEnum):
    """Reasons for which AWS does not do what a request asks for."""

    CREDENTIALS = "credentials"
    """They are missing, or AWS rejects them: every request fails until they are renewed."""
    SIGNED_OUT = "signed_out"
    """The session of IAM Identity Center or of `aws login` has expired."""
    PROFILE = "profile"
    """The profile does not exist, or its configuration is not valid."""
    CLOCK = "clock"
    """The clock of this computer is wrong."""
    DENIED = "denied"
    """They do not allow the request."""
    BUSY = "busy"
    """AWS throttles requests or has a fault: the same request may succeed later."""
    GONE = "gone"
    """The resource does not exist."""
    NO_BUCKET = "no_bucket"
    """The bucket does not exist."""
    NO_QUEUE = "no_queue"
    """The queue does not exist."""
    NO_REGION = "no_region"
    """The region is missing or not valid."""
    WRONG_REGION = "wrong_region"
    """The bucket is in another region."""
    ENDPOINT = "endpoint"
    """The configured endpoint is not valid."""
    UNREACHABLE = "unreachable"
    """No response arrived."""
    OTHER = "other"


class Description(NamedTuple):
    """An error of boto3 in words.

    Attributes:
        kind: Reason, which decides what helps.
        code: Code of AWS, or the name of boto3's exception.
        happened: Sentence that says what failed.
        why: Sentence with the cause.
    """

    kind: Kind
    code: str
    happened: str
    why: str

    @property
    def remedy(self) -> str:
        """Advice for a person whose credentials and configuration these are."""
        return REMEDIES[self.kind]

    def __str__(self) -> str:
        """Return both sentences and the code, to be quoted in another sentence."""
        code = "" if self.code in self.happened else f" ({self.code})"
        return f"{self.happened} {self.why}".rstrip(".") + code


REMEDIES = {
    Kind.CREDENTIALS: "Sign in (aws sso login, aws configure) or set AWS_PROFILE, and try again.",
    Kind.SIGNED_OUT: "Sign in with this profile (aws sso login, aws login), and try again.",
    Kind.PROFILE: "Correct --profile, AWS_PROFILE or ~/.aws/config. The command aws configure "
    "list-profiles lists the profiles.",
    Kind.CLOCK: "Set the clock of this computer, and try again.",
    Kind.DENIED: "Allow it for the role or user whose credentials these are, and try again.",
    Kind.BUSY: "Try again in a moment.",
    Kind.GONE: "Check the region; if the resource was deleted, deploy the stack again.",
    Kind.NO_BUCKET: "Correct the name; if the bucket was deleted, create it again.",
    Kind.NO_QUEUE: "Check the URL of the queue: it is an output of the stack.",
    Kind.NO_REGION: "Give --region, or set AWS_REGION or a region in the profile.",
    Kind.WRONG_REGION: "Give the region of the bucket with --region, or set AWS_REGION.",
    Kind.ENDPOINT: "Correct AWS_ENDPOINT_URL, or endpoint_url in the profile.",
    Kind.UNREACHABLE: "Check the network, the proxy and AWS_ENDPOINT_URL, and try again.",
    Kind.OTHER: "Correct what the error names, and try again.",
}

NO_CREDENTIALS = Description(
    Kind.CREDENTIALS,
    "NoCredentialsError",
    "No AWS credentials were found.",
    "Neither the environment nor a profile, container or instance has any.",
)

THROTTLED = "AWS limits the rate of these requests."
UNKNOWN_KEY = "AWS does not know the access key: it was deleted, or belongs to another partition."
EXPIRED = "The session has expired."
NOT_THERE = "It does not exist in this account and region."
CLOCK_IS_WRONG = "The time of the request differs from that of AWS by minutes."

CAUSES: dict[Kind, dict[str, str]] = {
    Kind.CREDENTIALS: {
        "AuthFailure": "The credentials are not valid.",
        "ExpiredToken": EXPIRED,
        "ExpiredTokenException": EXPIRED,
        "IncompleteSignature": "The access key or the secret key is malformed.",
        "InvalidAccessKeyId": UNKNOWN_KEY,
        "InvalidClientTokenId": UNKNOWN_KEY,
        "InvalidToken": "The session token is malformed.",
        "SignatureDoesNotMatch": "The secret key does not belong to the access key.",
        "UnrecognizedClientException": UNKNOWN_KEY,
    },
    Kind.CLOCK: {
        "RequestExpired": CLOCK_IS_WRONG,
        "RequestTimeTooSkewed": CLOCK_IS_WRONG,
    },
    Kind.DENIED: dict.fromkeys(
        (
            "403",  # HEAD has no body that names the error
            "AccessDenied",
            "AccessDeniedException",
            "AuthorizationError",
            "KMS.AccessDeniedException",
            "KmsAccessDenied",
            "UnauthorizedOperation",
        ),
        "No policy allows it, or one denies it.",
    ),
    Kind.BUSY: dict.fromkeys(
        (
            "KMS.ThrottlingException",
            "KmsThrottled",
            "LimitExceededException",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "RequestThrottled",
            "SlowDown",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
        ),
        THROTTLED,
    ),
    Kind.NO_BUCKET: {"NoSuchBucket": "S3 has no bucket of that name."},
    Kind.NO_QUEUE: {
        "AWS.SimpleQueueService.NonExistentQueue": NOT_THERE,
        "QueueDoesNotExist": NOT_THERE,
    },
    Kind.GONE: {
        "404": NOT_THERE,
        "ExecutionDoesNotExist": NOT_THERE,
        "NoSuchKey": NOT_THERE,
        "ResourceNotFoundException": NOT_THERE,
        "StateMachineDoesNotExist": NOT_THERE,
    },
    Kind.WRONG_REGION: dict.fromkeys(
        (
            "301",
            "AuthorizationHeaderMalformed",
            "IllegalLocationConstraintException",
            "PermanentRedirect",
        ),
        "The bucket is in another region.",
    ),
}
CREDENTIAL_CAUSES = CAUSES[Kind.CREDENTIALS] | CAUSES[Kind.CLOCK]
KINDS = {code: kind for kind, causes in CAUSES.items() for code in causes}

UNUSABLE = "The AWS credentials cannot be used."
EXPIRED_SIGN_IN = (
    Kind.SIGNED_OUT,
    "The sign-in to AWS has expired.",
    "The profile uses a session of aws sso login or aws login that is no longer valid.",
)
UNREADABLE_CONFIGURATION = (
    Kind.PROFILE,
    "The AWS configuration cannot be read.",
    "{path} is missing or malformed.",
)
INVALID_PROFILE = (Kind.PROFILE, "The AWS profile is not valid.", "boto3 said: {detail}.")
NO_ENDPOINT = (
    Kind.NO_REGION,
    "The region has no endpoint of the service.",
    "The region does not exist, or lacks the service.",
)
INVALID_ENDPOINT = (
    Kind.ENDPOINT,
    "The AWS endpoint is not valid.",
    "It is not a URL, or does not fit the request. boto3 said: {detail}.",
)
UNREACHABLE = (Kind.UNREACHABLE, "AWS cannot be reached.")
TOO_LATE = (*UNREACHABLE, "{place} did not answer in time.")
BROKEN = (*UNREACHABLE, "The connection to {place} broke.")

LOCAL: dict[str, tuple[Kind, str, str]] = {
    "NoCredentialsError": (NO_CREDENTIALS.kind, NO_CREDENTIALS.happened, NO_CREDENTIALS.why),
    "PartialCredentialsError": (
        Kind.CREDENTIALS,
        "The AWS credentials are incomplete.",
        "{cred_var} is missing ({provider}).",
    ),
    "RefreshWithMFAUnsupportedError": (
        Kind.CREDENTIALS,
        UNUSABLE,
        "They have expired, and new ones need an MFA code.",
    ),
    "CredentialRetrievalError": (Kind.CREDENTIALS, UNUSABLE, "{provider} said: {detail}."),
    "MetadataRetrievalError": (
        Kind.CREDENTIALS,
        UNUSABLE,
        "The metadata service of the container or instance said: {detail}.",
    ),
    "MissingDependencyException": (
        Kind.CREDENTIALS,
        UNUSABLE,
        "They need a library that is not installed. boto3 said: {detail}.",
    ),
    "SSOError": EXPIRED_SIGN_IN,
    "LoginError": EXPIRED_SIGN_IN,
    "LoginInsufficientPermissions": (
        Kind.CREDENTIALS,
        UNUSABLE,
        "The user may not renew them: signin:CreateOAuth2Token is not allowed.",
    ),
    "TokenRetrievalError": EXPIRED_SIGN_IN,
    "ProfileNotFound": (
        Kind.PROFILE,
        "No AWS profile is named {profile}.",
        "The AWS configuration has no such profile.",
    ),
    "ConfigParseError": UNREADABLE_CONFIGURATION,
    "ConfigNotFound": UNREADABLE_CONFIGURATION,
    "InvalidConfigError": INVALID_PROFILE,
    "UnknownCredentialError": INVALID_PROFILE,
    "NoRegionError": (
        Kind.NO_REGION,
        "No AWS region is set.",
        "Neither the environment nor the profile has one.",
    ),
    "InvalidRegionError": (
        Kind.NO_REGION,
        "Invalid AWS region: {region_name}.",
        "The name of a region has the form us-east-1.",
    ),
    "BaseEndpointResolverError": NO_ENDPOINT,
    "UnknownRegionError": NO_ENDPOINT,
    "EndpointProviderError": INVALID_ENDPOINT,
    "InvalidEndpointConfigurationError": INVALID_ENDPOINT,
    "ProxyConnectionError": (*UNREACHABLE, "The proxy {place} takes no connections."),
    "SSLError": (
        *UNREACHABLE,
        "The certificate of {place} is not trusted, or the server has no TLS.",
    ),
    "ConnectTimeoutError": TOO_LATE,
    "ReadTimeoutError": TOO_LATE,
    "EndpointConnectionError": (*UNREACHABLE, "{place} has no address, or takes no connections."),
    "HTTPClientError": BROKEN,
    "ConnectionError": BROKEN,
    "IncompleteReadError": BROKEN,
    "ResponseParserError": (
        Kind.ENDPOINT,
        "The response is not one of AWS.",
        "A proxy or another server answers at the endpoint.",
    ),
    "BotoCoreError": (Kind.OTHER, "boto3 failed with {name}.", "It said: {detail}."),
}
"""Exceptions that are no responses: kind, what happened, and why."""

NAMED = re.compile(r"not authorized to perform: (?P<action>[\w:-]+\w)( on resource: (?P<on>\S+))?")
USER = re.compile(r"User: (?P<user>arn:\S+)")
POLICY = re.compile(
    r"(?P<is_explicit>explicit deny in an? |no )"
    r"(?P<policy>(?:[\w-]+ ){1,3}policy|permissions boundary)"
)


def describe_boto_error(error: BaseException) -> Description | None:
    """Describe an error of boto3.

    Returns:
        The description; None for other errors and for calls with invalid parameters, which are
        defects of the caller.
    """
    # Without botocore, the error cannot be one of boto3, and importing it takes time.
    if "botocore" not in sys.modules:
        return None
    from botocore import exceptions, parsers  # noqa: PLC0415 - as in sessions

    match error:
        case exceptions.ClientError():
            return _describe_response(error)
        case exceptions.ParamValidationError():
            return None
        case exceptions.BotoCoreError() | parsers.ResponseParserError():
            return _describe_local(error)
    return None


def _describe_response(error: "ClientError") -> Description:
    response: Mapping[str, Any] = error.response.get("Error", {})
    code, said = response.get("Code", "Unknown"), response.get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    operation = error.operation_name
    kind = KINDS.get(code, Kind.OTHER)
    happened = f"{operation} failed with {code}."
    if kind is Kind.OTHER and status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Description(Kind.BUSY, code, happened, f"AWS has a fault (HTTP status {status}).")
    if kind is Kind.OTHER:
        why = f"AWS said: {quote(said.rstrip('.'))}." if said else "AWS gave no reason."
        return Description(kind, code, happened, why)
    why = CAUSES[kind][code]
    match kind:
        case Kind.DENIED:
            happened, why = _describe_denial(operation, said, why)
        case Kind.CREDENTIALS | Kind.CLOCK:
            happened = f"AWS rejected the credentials: {code}."
        case Kind.NO_QUEUE:
            happened = "The queue does not exist."
        case Kind.NO_BUCKET:
            happened = f"The bucket {quote(response.get('BucketName', ''))} does not exist."
        case Kind.WRONG_REGION:
            region = response.get("Region")
            why = f"The bucket is in {region}." if region else why
    return Description(kind, code, happened.replace(' ""', ""), why)


def _describe_denial(operation: str, said: str, usual: str) -> tuple[str, str]:
    """Read the action, the resource, the user and the kind of policy that AWS may have named.

    Example:
        >>> _describe_denial(
        ...     "SendMessage",
        ...     "User: arn:aws:iam::1:user/a is not authorized to perform: sqs:sendmessage on "
        ...     "resource: arn:aws:sqs:eu-west-1:1:q with an explicit deny in a service control "
        ...     "policy",
        ...     "",
        ... )[1]
        'A service control policy denies it to arn:aws:iam::1:user/a.'
    """
    named, user, policy = (pattern.search(said) for pattern in (NAMED, USER, POLICY))
    action = operation
    if named:
        on = (named["on"] or "").strip("\"'.,")
        action = f"{named['action']} on {on}" if on else named["action"]
    to = f" to {user['user']}" if user else ""
    if policy and policy["is_explicit"].startswith("explicit"):
        usual = f"A {policy['policy']} denies it{to}."
    elif policy:
        usual = f"No {policy['policy']} allows it{to}."
    elif user:
        usual = f"No policy allows it{to}, or one denies it."
    return f"AWS denied {action}.", usual.replace("A identity", "An identity")


def _describe_local(error: Exception) -> Description:
    """Describe an error that is no response of AWS, by the nearest of its classes."""
    facts: dict[str, Any] = getattr(error, "kwargs", {})
    place = facts.get("endpoint_url") or facts.get("proxy_url") or "AWS"
    detail = quote(str(facts.get("error_msg") or facts.get("msg") or error).rstrip("."))
    name = type(error).__name__
    nearest = next(each.__name__ for each in type(error).__mro__ if each.__name__ in LOCAL)
    kind, happened, why = LOCAL[nearest]
    known = Facts({**facts, "place": place, "detail": detail, "name": name})
    if nearest == "ProfileNotFound":
        why += _similar_profile(facts["profile"])
    return Description(kind, name, happened.format_map(known), why.format_map(known))


class Facts(dict[str, Any]):
    """The facts of an exception. Exceptions of one class may lack some of them."""

    def __missing__(self, name: str) -> str:
        """Return a word for an unknown fact."""
        return f"the {name}"


def _similar_profile(name: str) -> str:
    from botocore.session import get_session  # noqa: PLC0415 - as in sessions

    similar = get_close_matches(name, get_session().available_profiles, n=1)
    return f" Did you mean {similar[0]}?" if similar else ""
