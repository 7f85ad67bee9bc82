"""The causes of failures that are still there before a retry."""

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from quilt_packager.operations.checks.inspection import Inspection
from quilt_packager.operations.checks.retry_check import Obstacle, find_obstacles, is_checked
from quilt_packager.operations.deployment.deployments import Deployment
from tests.admin.letters import make_letter


def test_a_key_that_still_refuses_the_role_is_an_obstacle(engine: Deployment) -> None:
    inspection = Inspection(engine)
    bucket = inspection.source_buckets[0]
    letters = [
        make_letter(name, source=f"s3://{bucket}/{name}/", happened="Access denied.")
        for name in ("1", "2")
    ]
    assert find_obstacles(engine, letters) == []
    role = next(each.role for each in inspection.functions if each.handler == "packager")
    refusal = {"Effect": "Deny", "Principal": {"AWS": role}, "Action": "kms:*", "Resource": "*"}
    key = engine.kms.create_key(Policy=json.dumps({"Statement": [refusal]}))["KeyMetadata"]["Arn"]
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}
    engine.s3.put_bucket_encryption(
        Bucket=bucket, ServerSideEncryptionConfiguration=cast("Any", rules)
    )
    [found] = find_obstacles(engine, letters)
    assert found.text.startswith(f"The key of {bucket} refuses kms:Decrypt")
    assert found.ids == {"1", "2"}


class Bucket:
    """A client of S3 with one bucket."""

    def __init__(self, *keys: str, error: str | None = None) -> None:
        self._keys = keys
        self._error = error

    def list_objects_v2(self, **asked: Any) -> dict[str, Any]:
        self._fail()
        found = [key for key in self._keys if key.startswith(asked["Prefix"])]
        return {"KeyCount": len(found[: asked["MaxKeys"]])}

    def head_bucket(self, **_: Any) -> None:
        self._fail()

    def _fail(self) -> None:
        if self._error:
            raise ClientError({"Error": {"Code": self._error}}, "S3")


def find(code: str, client: Bucket) -> list[Obstacle]:
    letter = make_letter("1", code, source="s3://raw/a%20b/", happened="It failed.")
    deployment = cast("Deployment", SimpleNamespace(s3=client))
    return find_obstacles(deployment, [letter])


@pytest.mark.parametrize(
    ("code", "client", "expected"),
    [
        ("EmptySource", Bucket("other/x"), ["s3://raw/a%20b/ is empty."]),
        ("EmptySource", Bucket("a b/x"), []),
        ("NoSuchBucket", Bucket(error="404"), ["The bucket raw does not exist."]),
        ("NoSuchBucket", Bucket(), []),
        ("WriteConflict", Bucket(), []),
    ],
)
def test_causes_are_checked_by_code(code: str, client: Bucket, expected: list[str]) -> None:
    assert [each.text for each in find(code, client)] == expected


@pytest.mark.parametrize("code", ["EmptySource", "NoSuchBucket"])
def test_without_permission_nothing_is_found_out(code: str) -> None:
    with pytest.raises(ClientError):
        find(code, Bucket(error="AccessDenied"))


def test_the_bucket_that_the_error_names_is_checked() -> None:
    named = make_letter("1", happened='Access denied: PutObject on "s3://quilt-prod/.quilt/a".')
    assert is_checked(named)
    assert not is_checked(make_letter("1", source=None))
