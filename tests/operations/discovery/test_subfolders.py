"""The folders right below one."""

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.formats.objects import SourceFolder

from quilt_packager.operations.discovery import subfolders
from quilt_packager.operations.discovery.packaged import Packaged
from quilt_packager.operations.discovery.subfolders import find_subfolders
from tests.s3_stub import Bucket, S3Stub

FOLDER = SourceFolder("raw", "lab/")


@pytest.fixture
def bucket(s3_stub: S3Stub) -> Bucket:
    return s3_stub.create_bucket("raw")


@pytest.fixture(autouse=True)
def packages(s3_stub: S3Stub) -> Bucket:
    return s3_stub.create_bucket("packages")


async def test_each_folder_has_its_kind_and_its_size(s3: S3, bucket: Bucket) -> None:
    for key in ("a/1.csv", "a/deep/2.csv", "run/RunInfo.xml", "run/Data/1.bcl", "loose.txt"):
        bucket.put(f"{FOLDER.prefix}{key}", b"12")
    found = await find_subfolders(s3, FOLDER, "packages")
    plain, run = found.folders
    assert (str(plain.folder), plain.kind) == ("s3://raw/lab/a/", None)
    assert (plain.objects, plain.size_bytes, plain.is_counted) == (2, 4, True)
    assert (plain.package_name, plain.packaged) == ("lab/a", Packaged())
    assert run.kind is not None
    assert (run.kind.title, run.kind.missing) == ("Illumina run", ("CopyComplete.txt",))


async def test_package_of_a_folder_and_owner_of_a_name_are_found(
    s3: S3, packages: Bucket, bucket: Bucket
) -> None:
    for name, source in (("a", "s3://raw/lab/a/"), ("b", "s3://other/lab/b/")):
        bucket.put(f"{FOLDER.prefix}{name}/1.csv", b"x")
        top_hash = name * 64
        header = f'{{"version": "v0", "source": "{source}"}}\n'
        packages.put(f".quilt/packages/{top_hash}", header.encode())
        packages.put(f".quilt/named_packages/lab/{name}/latest", top_hash.encode())
    found = await find_subfolders(s3, FOLDER, "packages")
    assert [each.packaged for each in found.folders] == [
        Packaged("lab/a"),
        Packaged(name_owner="s3://other/lab/b/"),
    ]


async def test_registry_that_cannot_be_read_hides_no_folder(s3: S3, bucket: Bucket) -> None:
    bucket.put("lab/a/1.csv", b"x")
    (found,) = (await find_subfolders(s3, FOLDER, "no-such-registry")).folders
    assert found.packaged is None


async def test_many_folders_come_in_pages(
    s3: S3, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subfolders, "MAX_FOLDERS", 2)
    for name in "abc":
        bucket.put(f"lab/{name}/1.csv", b"x")
    first = await find_subfolders(s3, FOLDER, "packages")
    assert [each.folder.prefix for each in first.folders] == ["lab/a/", "lab/b/"]
    assert first.following == "lab/b/"
    last = await find_subfolders(s3, FOLDER, "packages", after=first.following)
    assert ([each.folder.prefix for each in last.folders], last.following) == (["lab/c/"], None)


async def test_registry_in_the_bucket_is_no_folder(s3: S3, bucket: Bucket) -> None:
    bucket.put(".quilt/packages/x", b"x")
    assert (await find_subfolders(s3, SourceFolder("raw", ""), "packages")).folders == ()
