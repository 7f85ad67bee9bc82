"""quilt3 opens, downloads and verifies the packages that the packager writes."""

from pathlib import Path

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.formats.objects import ChecksumAlgorithm
from quilt_packager_runtime.formats.outcome import Outcome
from quilt_packager_runtime.settings import Settings

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


async def publish(s3: S3, algorithm: ChecksumAlgorithm) -> Outcome:
    message = {"source_prefix": f"s3://raw/{FOLDER}", "registry": "packages", "metadata": METADATA}
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


@pytest.mark.usefixtures("packages")
async def test_quilt3_detects_a_changed_byte(s3: S3, s3_stub: S3Stub, tmp_path: Path) -> None:
    raw = s3_stub.create_bucket("raw", versioning=Versioning.OFF)
    raw.put(FOLDER + "a.txt", b"hello")
    await publish(s3, ChecksumAlgorithm.SHA256_CHUNKED)
    raw.put(FOLDER + "a.txt", b"hallo")
    assert not read(tmp_path).verified
