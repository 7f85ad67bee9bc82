"""Checks before a retry: whether the cause of failures is still there."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from quilt_packager_runtime.errors import AccessDenied, EmptySource, NoSuchBucket
from quilt_packager_runtime.formats.objects import S3Uri

from quilt_packager.operations.checks.behaviours import Behaviour
from quilt_packager.operations.checks.buckets import check_bucket
from quilt_packager.operations.checks.finding import Finding, Status
from quilt_packager.operations.checks.inspection import Inspection
from quilt_packager.operations.checks.keys import KeyUse, check_key, find_bucket_key
from quilt_packager.operations.checks.roles import find_denied
from quilt_packager.operations.dead_letters.dead_letter import Failure

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

MAX_PLACES = 5
"""Maximum number of buckets and folders that are checked."""

NAMED_BUCKET = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/|\W|$)")

ON_ANY_KEY = "/folder/file"


class Obstacle(NamedTuple):
    """A cause of failures that is still there.

    Attributes:
        text: Fact, as a sentence.
        ids: Ids of the messages that would fail again.
    """

    text: str
    ids: frozenset[str]


def find_obstacles(deployment: "Deployment", failures: Iterable[Failure]) -> list[Obstacle]:
    """Find the causes of failures that are still there; of other codes, none is known.

    Raises:
        ClientError: AWS failed, or your own permissions are insufficient to find out.
    """
    places: dict[tuple[str, str], set[str]] = {}
    for each in failures:
        place = _find_place(each)
        if place is not None:
            places.setdefault((each.code, place), set()).add(each.id)
    engine = Inspection(deployment)
    found: dict[str, set[str]] = {}
    for (code, place), ids in list(places.items())[:MAX_PLACES]:
        for text in CHECKS[code](engine, place):
            found.setdefault(text, set()).update(ids)
    return [Obstacle(text, frozenset(ids)) for text, ids in found.items()]


def is_checked(failure: Failure) -> bool:
    """Return True if `find_obstacles` knows how to check the cause of a failure."""
    return _find_place(failure) is not None


def _find_place(failure: Failure) -> str | None:
    """Return the folder or the bucket to check; None if nothing is known to check."""
    if failure.code not in CHECKS or failure.source is None:
        return None
    if failure.code == EmptySource.__name__:
        return failure.source
    named = NAMED_BUCKET.search(failure.happened) or NAMED_BUCKET.match(failure.source)
    return named[1] if named else None


def _check_access(engine: Inspection, bucket: str) -> Iterator[str]:
    yield from islice(_wrong(check_bucket(engine, bucket)), 1)
    key = find_bucket_key(engine, bucket)
    if key is not None:
        use = KeyUse(key, (), (bucket,), is_written=bucket in engine.registries)
        # The functions have the same rights: one that is refused stands for all.
        yield from islice(_wrong(check_key(engine, use)), 1)
    if engine.on_aws:
        yield from _check_packager(engine, bucket)


def _wrong(findings: Iterable[Finding]) -> Iterator[str]:
    for each in findings:
        if each.status is Status.WRONG and Behaviour.S3_EVENTS not in each.behaviours:
            yield each.text


def _check_packager(engine: Inspection, bucket: str) -> Iterator[str]:
    arn = f"arn:{engine.deployment.partition}:s3:::{bucket}"
    for function in engine.functions:
        if function.handler == "packager":
            denied = find_denied(engine, function.role, ("s3:ListBucket",), (arn,))
            denied += find_denied(engine, function.role, ("s3:GetObject",), (arn + ON_ANY_KEY,))
            for action, _ in denied:
                yield f"The role of {function.handler} does not allow {action} on {bucket}."


def _check_bucket_exists(engine: Inspection, bucket: str) -> Iterator[str]:
    from botocore.exceptions import ClientError

    try:
        engine.deployment.s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"404", "NoSuchBucket"}:
            raise
        yield f"The bucket {bucket} does not exist."


def _check_contents(engine: Inspection, source: str) -> Iterator[str]:
    uri = S3Uri.parse(source)
    answer = engine.deployment.s3.list_objects_v2(Bucket=uri.bucket, Prefix=uri.key, MaxKeys=1)
    if not answer["KeyCount"]:
        yield f"{source} is empty."


CHECKS: Mapping[str, Callable[[Inspection, str], Iterator[str]]] = {
    AccessDenied.__name__: _check_access,
    NoSuchBucket.__name__: _check_bucket_exists,
    EmptySource.__name__: _check_contents,
}
