"""Pointers of a package that contradict each other, and the finding for each."""

import pytest
from quilt_packager_runtime.auditing.findings import Code
from quilt_packager_runtime.auditing.packages import find_newest, list_packages
from quilt_packager_runtime.auditing.pointers import check_pointers
from quilt_packager_runtime.aws.s3 import S3

from tests.audits import PACKAGE, SECOND, entry_of, publish, put
from tests.s3_stub import Bucket, S3Stub

LATEST, POINTER = PACKAGE.pointer("latest").key, PACKAGE.pointer(str(SECOND)).key


@pytest.fixture
def packages(s3_stub: S3Stub) -> Bucket:
    """A registry with a package of one revision."""
    raw, packages = s3_stub.create_bucket("raw"), s3_stub.create_bucket("packages")
    publish(packages, [entry_of(raw, "f/a", put(raw, "f/a"))])
    return packages


async def codes(s3: S3) -> list[Code]:
    return [each.code for each in await check_pointers(s3, PACKAGE)]


async def test_a_package_in_order_has_no_findings(s3: S3, packages: Bucket) -> None:
    assert await codes(s3) == []


async def test_a_pointer_to_nothing_is_damage(s3: S3, packages: Bucket) -> None:
    packages.put(PACKAGE.pointer(str(SECOND - 1)).key, "a" * 64)
    assert await codes(s3) == [Code.MANIFEST_MISSING]


async def test_a_manifest_that_was_deleted_is_one_finding(s3: S3, packages: Bucket) -> None:
    for key in packages.keys(".quilt/packages/"):
        packages.delete(key)
    [finding] = await check_pointers(s3, PACKAGE)
    assert finding.code is Code.MANIFEST_MISSING
    assert f"({SECOND}, latest)" in finding.happened


@pytest.mark.parametrize("key", [LATEST, POINTER])
async def test_a_pointer_without_a_top_hash_is_damage(s3: S3, packages: Bucket, key: str) -> None:
    packages.put(key, "not a hash")
    assert Code.INVALID_POINTER in await codes(s3)


async def test_a_missing_latest_is_damage_and_the_newest_pointer_is_audited(
    s3: S3, packages: Bucket
) -> None:
    packages.delete(LATEST)
    assert await codes(s3) == [Code.LATEST_MISSING]
    newest = await find_newest(s3, PACKAGE)
    assert newest is not None
    assert newest.published is not None


async def test_latest_without_its_pointer_is_damage(s3: S3, packages: Bucket) -> None:
    packages.delete(POINTER)
    assert await codes(s3) == [Code.LATEST_WITHOUT_POINTER]


async def test_latest_of_an_older_revision_is_a_warning(s3: S3, packages: Bucket) -> None:
    manifest = packages.keys(".quilt/packages/")[0]
    packages.put(PACKAGE.manifest("b" * 64).key, packages.get(manifest).data)  # type: ignore[union-attr]
    packages.put(PACKAGE.pointer(str(SECOND + 1)).key, "b" * 64)
    assert await codes(s3) == [Code.LATEST_IS_OLDER]


async def test_packages_are_listed_after_a_name(s3: S3, packages: Bucket) -> None:
    for name in ("a/b", "a-b/c", "runs/41", "z/1"):
        packages.put(f".quilt/named_packages/{name}/latest")
    names = [each.name async for each in list_packages(s3, "packages")]
    assert names == sorted(["a/b", "a-b/c", "runs/41", "runs/42", "z/1"])
    rest = [each.name async for each in list_packages(s3, "packages", after="runs/41")]
    assert rest == ["runs/42", "z/1"]
