"""What IAM asks of requests: actions, resources and the values of condition keys."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, NamedTuple
from urllib.parse import unquote

from quilt_packager.local.ministack import ACCOUNT, REGION
from tests.s3_stub import Request

Statement = dict[str, Any]

ENCRYPT = ("kms:Decrypt", "kms:GenerateDataKey")
WRITES = frozenset(
    {
        "CompleteMultipartUpload",
        "CopyObject",
        "CreateMultipartUpload",
        "PutObject",
        "UploadPart",
        "UploadPartCopy",
    }
)


class Need(NamedTuple):
    """A permission that a request takes.

    Attributes:
        action: IAM's name.
        resource: The ARN.
        context: The condition keys that the request has a value for.
    """

    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()


class Grant(NamedTuple):
    """An action on a pattern of resources that a statement allows."""

    sid: str
    action: str
    resource: str


def grants_of(statement: Statement) -> Iterator[Grant]:
    """Split a statement into its grants."""
    for action in _list(statement["Action"]):
        for resource in _list(statement["Resource"]):
            yield Grant(statement.get("Sid", ""), action, resource)


def covers(statement: Statement, grant: Grant, need: Need) -> bool:
    """Return whether a grant of a statement allows what a request needs."""
    return (
        grant.action == need.action
        and fnmatchcase(need.resource, grant.resource)
        and _holds(statement.get("Condition", {}), dict(need.context))
    )


def _holds(conditions: dict[str, dict[str, Any]], context: dict[str, str]) -> bool:
    """Return whether all conditions hold; any of a condition's values will do."""
    return all(
        name in context and any(fnmatchcase(context[name], each) for each in _list(values))
        for keys in conditions.values()
        for name, values in keys.items()
    )


def s3_needs(request: Request, keys: dict[str, str]) -> Iterator[Need]:
    """Return what S3 asks for a request.

    Args:
        request: The request, which was answered.
        keys: The ARNs of the keys that encrypt buckets.
    """
    bucket, operation = request.bucket, request.operation
    if not request.key:
        actions = {
            "GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
            "GetBucketVersioning": "s3:GetBucketVersioning",
            "ListObjectVersions": "s3:ListBucketVersions",
            "ListObjectsV2": "s3:ListBucket",
        }
        yield _on_bucket(bucket, actions[operation], request.query.get("prefix", ""))
        return
    key, version = request.key, "versionId" in request.query
    if operation in WRITES:
        yield _on_object(bucket, key, "s3:PutObject")
        # S3 reads the object, or the parts so far.
        is_multipart = operation not in {"CopyObject", "PutObject"}
        yield from _with_key(bucket, keys, *(ENCRYPT if is_multipart else ENCRYPT[1:]))
        if "if-match" in request.headers:
            yield _on_object(bucket, key, "s3:GetObject")
    elif operation == "GetObjectTagging":
        yield _reads_tags(bucket, key, has_version=version)
    elif operation == "AbortMultipartUpload":
        yield _on_object(bucket, key, "s3:AbortMultipartUpload")
    else:
        yield from _reads(bucket, key, has_version=version)
        yield from _with_key(bucket, keys, "kms:Decrypt")
        if operation == "GetObjectAttributes":
            suffix = "VersionAttributes" if version else "Attributes"
            yield _on_object(bucket, key, f"s3:GetObject{suffix}")
        if request.status == 404:  # it would be 403
            yield _on_bucket(bucket, "s3:ListBucket", None)
    if "x-amz-copy-source" in request.headers:
        yield from _copy_needs(request, keys)
    elif "x-amz-tagging" in request.headers:
        yield _on_object(bucket, key, "s3:PutObjectTagging")


def _copy_needs(request: Request, keys: dict[str, str]) -> Iterator[Need]:
    source, _, version = request.headers["x-amz-copy-source"].partition("?")
    bucket, _, key = unquote(source).lstrip("/").partition("/")
    yield from _reads(bucket, key, has_version=bool(version))
    yield from _with_key(bucket, keys, "kms:Decrypt")
    if request.operation == "CopyObject":  # with the tags
        yield _reads_tags(bucket, key, has_version=bool(version))
        yield _on_object(request.bucket, request.key, "s3:PutObjectTagging")


def boto_needs(
    service: str, operation: str, asked: dict[str, Any], keys: dict[str, str]
) -> Iterator[Need]:
    """Return what another service asks for a call.

    Args:
        service: The service's prefix in IAM.
        operation: Name of the operation.
        asked: Its parameters.
        keys: The ARNs of the keys that encrypt resources, by the names of these.
    """
    action = f"{service}:{operation.removesuffix('Batch')}"
    match service:
        case "sqs":
            name = asked["QueueUrl"].rpartition("/")[2]
            yield Need(action, arn("sqs", name))
            if action == "sqs:SendMessage":
                yield from _with_key(name, keys, *ENCRYPT, service="sqs")
        case "sns":
            yield Need(action, asked["TopicArn"])
            name = asked["TopicArn"].rpartition(":")[2]
            yield from _with_key(name, keys, *ENCRYPT, service="sns")
        case "events":
            for entry in asked["Entries"]:
                bus = arn("events", f"event-bus/{entry['EventBusName']}")
                yield Need(action, bus, (("events:source", entry["Source"]),))
        case "dynamodb":
            name = asked["TableName"]
            yield Need(action, arn("dynamodb", f"table/{name}"))
            every = (*ENCRYPT, "kms:DescribeKey", "kms:Encrypt")
            yield from _with_key(name, keys, *every, service="dynamodb")
        case "omics":
            yield Need(action, arn("omics", f"run/{asked['id']}"))
        case "states":
            yield Need(action, asked["stateMachineArn"])
        case _:
            raise NotImplementedError(service)


def arn(service: str, name: str) -> str:
    """Return the ARN of a resource of this account."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{name}"


def _reads(bucket: str, key: str, *, has_version: bool) -> Iterator[Need]:
    yield _on_object(bucket, key, "s3:GetObjectVersion" if has_version else "s3:GetObject")


def _reads_tags(bucket: str, key: str, *, has_version: bool) -> Need:
    return _on_object(bucket, key, f"s3:GetObject{'Version' if has_version else ''}Tagging")


def _on_object(bucket: str, key: str, action: str) -> Need:
    return Need(action, f"arn:aws:s3:::{bucket}/{key}", (("aws:ResourceAccount", ACCOUNT),))


def _on_bucket(bucket: str, action: str, prefix: str | None) -> Need:
    context = [("aws:ResourceAccount", ACCOUNT)]
    if prefix is not None:
        context.append(("s3:prefix", prefix))
    return Need(action, f"arn:aws:s3:::{bucket}", tuple(context))


def _with_key(
    name: str, keys: dict[str, str], *actions: str, service: str = "s3"
) -> Iterator[Need]:
    via = (("kms:ViaService", f"{service}.{REGION}.amazonaws.com"),)
    for action in actions if name in keys else ():
        yield Need(action, keys[name], via)


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
