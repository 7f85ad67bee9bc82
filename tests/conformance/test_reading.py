"""quilt3 opens, downloads and verifies the packages that the packager writes."""

from pathlib import Path

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.formats.objects import ChecksumAlgorithm, SourceFolder
from quilt_packager_runtime.formats.outcome import Outcome
from quilt_packager_runtime.promotion.promote import promote
from quilt_packager_runtime.promotion.promotion_request import PromotionRequest
from quilt_packager_runtime.registry.publish import Package
from quilt_packager_runtime.settings import Settings

from quilt_packager.local.errors import LocalError
from quilt_packager.local.reading import ReadPackage, read_packages
from tests.package_requests import package_request, request_of
from tests.s3_stub import Bucket, Pattern, S3Stub, Versioning

FOLDER = "runs/42/"
METADATA = {"run": 42, "temperature": 1e-07, "author": "\N{SNOWMAN}"}
CONTENTS: dict[str, bytes | Pattern] = {
    "a.txt": b"hello",
    "empty": b"",
    "b/c d+e#f?g%2F.txt": b"x",
    "b-c/\N{LATIN SMALL LETTER A WITH DIAERESIS}.txt": b"y",
    "quotes/\"'\\.txt": b"z",
    "large": Pattern(9 * 1024 * 1024),
}


@pytest.fixture
def packages(s3_stub: S3Stub, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_stub.url)
    return s3_stub.create_bucket("packages")


async def publish(
    s3: S3,
    algorithm: ChecksumAlgorithm = ChecksumAlgorithm.SHA256_CHUNKED,
    **fields: str,
) -> Outcome:
    message = {
        "source_prefix": f"s3://raw/{FOLDER}",
        "registry": "packages",
        "metadata": METADATA,
        **fields,
    }
    settings = Settings(checksum_algorithms=(algorithm,))
    return await package_request(s3, request_of(message), settings)


def read(home: Path) -> ReadPackage:
    (found,) = read_packages("packages", ["runs/42"], home)
    return found


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("algorithm", ChecksumAlgorithm)
async def test_quilt3_verifies_every_byte_of_a_package(
    s3: S3, s3_stub: S3Stub, tmp_path: Path, algorithm: ChecksumAlgorithm
) -> None:
    raw = s3_stub.create_bucket("raw")
    for key, content in CONTENTS.items():
        raw.put(FOLDER + key, content)
    outcome = await publish(s3, algorithm)
    found = read(tmp_path)
    assert found.verified
    assert found.top_hash == outcome.top_hash
    assert found.metadata == METADATA
    assert {key for key, _, _ in found.entries} == set(CONTENTS)


@pytest.mark.parametrize("algorithm", ChecksumAlgorithm)
async def test_quilt3_verifies_the_copies_of_a_promoted_package(
    s3: S3, s3_stub: S3Stub, packages: Bucket, tmp_path: Path, algorithm: ChecksumAlgorithm
) -> None:
    raw = s3_stub.create_bucket("raw")
    s3_stub.create_bucket("lab")
    for key, content in CONTENTS.items():
        raw.put(FOLDER + key, content)
    outcome = await publish(s3, algorithm, registry="lab")
    request = PromotionRequest(
        source=Package("lab", "runs/42"),
        target=Package("packages", "runs/42"),
        copy_to=SourceFolder("packages", "copies/"),
        promoted_by="a test",
    )
    await promote(request, s3=s3)
    for key in CONTENTS:  # only the copies are left
        raw.delete(FOLDER + key, raw.versions(FOLDER + key)[0].version_id)
    found = read(tmp_path)
    assert found.verified
    assert found.top_hash == outcome.top_hash
    assert {key for key, _, _ in found.entries} == set(CONTENTS)


@pytest.mark.usefixtures("packages")
async def test_quilt3_detects_a_changed_byte(s3: S3, s3_stub: S3Stub, tmp_path: Path) -> None:
    raw = s3_stub.create_bucket("raw", versioning=Versioning.OFF)
    raw.put(FOLDER + "a.txt", b"hello")
    await publish(s3, ChecksumAlgorithm.SHA256_CHUNKED)
    raw.put(FOLDER + "a.txt", b"hallo")
    assert not read(tmp_path).verified


@pytest.mark.usefixtures("packages")
async def test_quilt3_accepts_the_source_in_the_header(
    s3: S3, s3_stub: S3Stub, tmp_path: Path
) -> None:
    s3_stub.create_bucket("raw").put(FOLDER + "a.txt", b"hello")
    outcome = await publish(s3, commit_message="Nightly")
    found = read(tmp_path)
    assert (found.top_hash, found.metadata) == (outcome.top_hash, METADATA)
    assert found.verified


async def rewrite_and_expire(s3: S3, raw: Bucket) -> None:
    """Write equal bytes as a new version, package them, and delete the old version."""
    old = raw.get(FOLDER + "a.txt")
    assert old
    raw.put(FOLDER + "a.txt", b"hello")
    assert (await publish(s3)).manifest_refreshed
    raw.delete(FOLDER + "a.txt", old.version_id)


@pytest.mark.usefixtures("packages")
async def test_quilt3_reads_a_refreshed_package_after_old_versions_are_deleted(
    s3: S3, s3_stub: S3Stub, tmp_path: Path
) -> None:
    raw = s3_stub.create_bucket("raw")
    raw.put(FOLDER + "a.txt", b"hello")
    outcome = await publish(s3)
    await rewrite_and_expire(s3, raw)
    found = read(tmp_path)
    assert found.verified
    assert found.top_hash == outcome.top_hash


@pytest.mark.usefixtures("packages")
async def test_quilt3_needs_its_cache_off_to_read_a_package_that_was_refreshed_since(
    s3: S3, s3_stub: S3Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = s3_stub.create_bucket("raw")
    raw.put(FOLDER + "a.txt", b"hello")
    await publish(s3)
    read(tmp_path)  # quilt3 keeps the manifest by its key, whatever the pointers say
    await rewrite_and_expire(s3, raw)
    with pytest.raises(LocalError):
        read(tmp_path)
    monkeypatch.setenv("QUILT_DISABLE_CACHE", "true")
    assert read(tmp_path).verified
