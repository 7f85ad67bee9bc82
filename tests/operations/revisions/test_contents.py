"""The beginning of a manifest in the embedded AWS."""

from collections.abc import Iterator

import boto3
import pytest
from quilt_packager_runtime.formats.manifest import Header, ManifestWriter
from quilt_packager_runtime.formats.objects import Checksum, Entry

from quilt_packager.operations.deployment.deployments import Deployment
from quilt_packager.operations.errors import BrokenManifest
from quilt_packager.operations.revisions.contents import read_contents

REGISTRY = "lab-registry"
TOP_HASH = "ab" * 32


@pytest.fixture
def registry(deployment: Deployment) -> Iterator[str]:
    boto3.client("s3").create_bucket(Bucket=REGISTRY)
    yield REGISTRY
    bucket = boto3.resource("s3").Bucket(REGISTRY)
    bucket.objects.all().delete()
    bucket.delete()


def put_manifest(data: bytes) -> None:
    key = f".quilt/packages/{TOP_HASH}"
    boto3.client("s3").put_object(Bucket=REGISTRY, Key=key, Body=data)


def test_contents_end_at_the_limit(deployment: Deployment, registry: str) -> None:
    lines: list[bytes] = []
    writer = ManifestWriter(Header({"run": 1}, "Packaged.", {"id": "ngs"}), lines.append)
    checksum = Checksum("CRC64NVME", "AAAAAAAAAAA=")
    keys = [f"é/{number}" for number in range(5)]
    writer.add([Entry(key, f"s3://raw/{key}", 7, checksum) for key in keys])
    put_manifest(b"".join(lines))
    contents = read_contents(deployment.s3, registry, TOP_HASH, limit=4)
    assert (contents.metadata, contents.message, contents.workflow) == (
        {"run": 1},
        "Packaged.",
        "ngs",
    )
    assert [(each.logical_key, each.size) for each in contents.entries] == [
        (key, 7) for key in keys[:4]
    ]
    assert contents.has_more
    assert not read_contents(deployment.s3, registry, TOP_HASH, limit=5).has_more


@pytest.mark.parametrize("data", [b"", b"{", b"[]\n", b'{"version": "v0"}\n{"size": "x"}\n'])
def test_invalid_manifest_is_an_error(deployment: Deployment, registry: str, data: bytes) -> None:
    put_manifest(data)
    with pytest.raises(BrokenManifest, match="cannot be read"):
        read_contents(deployment.s3, registry, TOP_HASH, limit=5)


@pytest.mark.parametrize("top_hash", ["", "../latest", "AB" * 32])
def test_invalid_top_hash_is_not_requested(deployment: Deployment, top_hash: str) -> None:
    with pytest.raises(BrokenManifest):
        read_contents(deployment.s3, REGISTRY, top_hash, limit=5)


def test_folders_are_no_entries(deployment: Deployment, registry: str) -> None:
    put_manifest(
        b'{"version": "v0"}\n{"logical_key": "a/", "meta": {"x": 1}}\n'
        b'{"logical_key": "a/b", "physical_keys": ["s3://raw/b"], "size": 1}\n'
    )
    contents = read_contents(deployment.s3, registry, TOP_HASH, limit=5)
    assert [each.logical_key for each in contents.entries] == ["a/b"]
