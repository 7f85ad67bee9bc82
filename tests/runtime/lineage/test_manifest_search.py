"""Entries of a manifest, found by reading small ranges of it."""

import io

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.formats.manifest import WRITTEN_BY_US, Header, write_manifest
from quilt_packager_runtime.formats.objects import Checksum, Entry, S3Uri, sort_key
from quilt_packager_runtime.lineage.manifest_search import STEP_BYTES, ManifestSearch

from tests.s3_stub import Bucket, S3Stub

URI = S3Uri("packages", ".quilt/packages/hash")
KEYS = sorted((f"{n % 7}/{n:05}-{'x' * (n % 50)}" for n in range(5000)), key=sort_key)


@pytest.fixture
def packages(s3_stub: S3Stub) -> Bucket:
    return s3_stub.create_bucket("packages")


def put_manifest(packages: Bucket, metadata: dict[str, str] | None = None) -> None:
    entries = [
        Entry(
            key,
            f"s3://raw/{key}",
            1,
            Checksum("CRC64NVME", "AAAAAAAAAAA="),
            {"note": "y" * 3 * STEP_BYTES} if number == 2500 else None,
        )
        for number, key in enumerate(KEYS)
    ]
    manifest = io.BytesIO()
    write_manifest(Header({"name": "z" * 500}, "Large"), entries, manifest.write)
    packages.put(URI.key, manifest.getvalue(), metadata=metadata or {**WRITTEN_BY_US})


async def test_every_entry_is_found_by_few_requests(
    s3: S3, s3_stub: S3Stub, packages: Bucket
) -> None:
    put_manifest(packages)
    search = ManifestSearch(s3, URI)
    for key in [*KEYS[::500], KEYS[2499], KEYS[2501], KEYS[-1]]:
        s3_stub.requests.clear()
        found = await search.find(key)
        assert found is not None
        assert found.physical_keys == [f"s3://raw/{key}"]
        assert len(s3_stub.requests) < 12
    for missing in ("", "0/", KEYS[2500] + "x", "zzz"):
        assert await search.find(missing) is None


async def test_manifests_of_other_programs_are_not_searched(s3: S3, packages: Bucket) -> None:
    put_manifest(packages, {"other": "1"})
    assert await ManifestSearch(s3, URI).find(KEYS[0]) is None
    assert await ManifestSearch(s3, S3Uri("packages", "missing")).find(KEYS[0]) is None
