from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.formats.manifest import WRITTEN_BY_US, Header, write_manifest
from quilt_packager_runtime.formats.objects import (
    Checksum,
    ChecksumAlgorithm,
    Entry,
    S3Uri,
    SourceFolder,
    SourceObject,
)
from quilt_packager_runtime.hashing import reuse
from quilt_packager_runtime.hashing.reuse import reuse_checksums
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.settings import Settings

from tests.s3_stub import S3Stub

FOLDER = SourceFolder("raw", "runs/")
MANIFEST = S3Uri("packages", ".quilt/packages/hash")
CHUNKED = Checksum("sha2-256-chunked", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
CRC64NVME = Checksum("CRC64NVME", "AAAAAAAAAAA=")


def entry(key: str, *, version_id: str | None = "v1", checksum: Checksum = CHUNKED) -> Entry:
    return Entry(key, str(S3Uri("raw", f"runs/{key}", version_id)), 1, checksum)


async def put_manifest(
    s3: S3, folder: Path, entries: Sequence[Entry], metadata: Mapping[str, str] = WRITTEN_BY_US
) -> None:
    path = folder / "manifest"
    with path.open("wb") as file:
        write_manifest(Header(None, "message"), entries, file.write)
    await s3.put_file(MANIFEST, path, metadata=metadata)


async def reuse_for(
    s3: S3, listed: Sequence[SourceObject], settings: Settings | None = None
) -> list[str]:
    """Return the keys that remain to be hashed."""
    with Inventory(FOLDER) as inventory:
        inventory.add(listed)
        reused = await reuse_checksums(s3, MANIFEST, inventory, settings=settings or Settings())
        left = [found.key async for block in inventory.unhashed(archived=False) for found in block]
        assert reused == len(listed) - len(left)
        return left


def listed(key: str, version_id: str | None = "v1") -> SourceObject:
    return SourceObject(f"runs/{key}", 1, '"e"', version_id)


@pytest.fixture(autouse=True)
def registry(s3_stub: S3Stub) -> None:
    s3_stub.create_bucket("packages")


async def test_the_same_version_keeps_its_checksum(s3: S3, tmp_path: Path) -> None:
    await put_manifest(s3, tmp_path, [entry("a b#1")])
    assert await reuse_for(s3, [listed("a b#1")]) == []


async def test_another_version_is_hashed_again(s3: S3, tmp_path: Path) -> None:
    await put_manifest(s3, tmp_path, [entry("a", version_id="v0")])
    assert await reuse_for(s3, [listed("a")]) == ["runs/a"]


async def test_an_object_without_version_is_hashed_again(s3: S3, tmp_path: Path) -> None:
    await put_manifest(s3, tmp_path, [entry("a", version_id=None)])
    assert await reuse_for(s3, [listed("a", version_id=None)]) == ["runs/a"]


async def test_an_entry_of_another_folder_is_ignored(s3: S3, tmp_path: Path) -> None:
    elsewhere = Entry("a", "s3://raw/other/a?versionId=v1", 1, CHUNKED)
    await put_manifest(s3, tmp_path, [elsewhere])
    assert await reuse_for(s3, [listed("a")]) == ["runs/a"]


async def test_only_acceptable_algorithms_are_reused(s3: S3, tmp_path: Path) -> None:
    await put_manifest(s3, tmp_path, [entry("a"), entry("b", checksum=CRC64NVME)])
    both = [listed("a"), listed("b")]
    crc_only = Settings(checksum_algorithms=(ChecksumAlgorithm.CRC64NVME,))
    assert await reuse_for(s3, both) == ["runs/b"]
    assert await reuse_for(s3, both, crc_only) == ["runs/a"]


async def test_a_manifest_of_another_writer_is_ignored(s3: S3, tmp_path: Path) -> None:
    await put_manifest(s3, tmp_path, [entry("a")], metadata={})
    assert await reuse_for(s3, [listed("a")]) == ["runs/a"]


async def test_a_missing_manifest_is_ignored(s3: S3) -> None:
    assert await reuse_for(s3, [listed("a")]) == ["runs/a"]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "AccessDenied"),  # also for a missing object without permission to list the bucket
        (403, "InvalidObjectState"),
        (416, "InvalidRange"),
        (400, "InvalidRequest"),
    ],
)
async def test_an_unreadable_manifest_is_ignored(
    s3: S3, s3_stub: S3Stub, status: int, code: str
) -> None:
    s3_stub.on("GetObject").answer(status, code)
    assert await reuse_for(s3, [listed("a")]) == ["runs/a"]


async def test_an_invalid_manifest_is_ignored(s3: S3, tmp_path: Path) -> None:
    path = tmp_path / "garbage"
    path.write_bytes(b"{}\n[1, 2]\n")
    await s3.put_file(MANIFEST, path, metadata=WRITTEN_BY_US)
    assert await reuse_for(s3, [listed("a")]) == ["runs/a"]


@pytest.mark.parametrize("step_bytes", [1, 100, 333])
async def test_a_manifest_is_read_in_steps_of_any_size(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_bytes: int
) -> None:
    keys = [f"{n:02}" for n in range(5)]
    await put_manifest(s3, tmp_path, [entry(key) for key in keys])
    monkeypatch.setattr(reuse, "STEP_BYTES", step_bytes)
    assert await reuse_for(s3, [listed(key) for key in keys]) == []


async def test_a_small_manifest_costs_one_request(s3: S3, s3_stub: S3Stub, tmp_path: Path) -> None:
    await put_manifest(s3, tmp_path, [entry("a")])
    s3_stub.forget_requests()
    await reuse_for(s3, [listed("a")])
    assert s3_stub.counts == {"GetObject": 1}
