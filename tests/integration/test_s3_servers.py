"""The same jobs on three S3 servers: docs/reference/s3-servers.md has what each of them lacks."""

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from quilt_packager_runtime.errors import PreconditionFailed, UnsupportedEndpoint
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.formats.outcome import Outcome, Result
from quilt_packager_runtime.hashing.server_side_copy import PartCopier
from quilt_packager_runtime.settings import Settings

from quilt_packager.local.reading import read_packages
from tests.conftest import CREDENTIALS
from tests.hashes import MIB, SHA256, quilt3_checksum
from tests.package_requests import package_request, request_of
from tests.runtime_s3 import connect_to
from tests.s3_stub import Versioning

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

    from quilt_packager.local.ministack import MiniStack
    from tests.s3_stub import S3Stub
    from tests.seaweedfs import SeaweedFS

SERVERS = ["stub", "ministack", "seaweedfs"]
FOLDER = "runs/42/"
SMALL = {
    "a.txt": b"hello",
    "empty": b"",
    "b/c d+e#f?g%2F.txt": b"x",
    "b-c/\N{LATIN SMALL LETTER A WITH DIAERESIS}.txt": b"y",
    "quotes/\"'.txt": b"z",
}
LARGE = bytes(range(256)) * (9 * MIB // 256)
PARTS = [LARGE[: 8 * MIB], LARGE[8 * MIB :]]


class Server:
    """An S3 server with a bucket of data and a registry, under new names."""

    def __init__(self, name: str, url: str, stub: "S3Stub | None" = None) -> None:
        self.name = name
        self._stub = stub
        self.s3 = connect_to(url, CREDENTIALS, retry_base_ms=1)
        self.client: S3Client = boto3.client("s3", endpoint_url=url)
        self.registry = self.create_bucket(versioned=True)
        self.scratch = self.create_bucket(versioned=False)

    @property
    def agrees_on_large_objects(self) -> bool:
        """LIST and HEAD return the same ETag of a large object in an unversioned bucket."""
        return self.name != "seaweedfs"

    def create_bucket(self, *, versioned: bool) -> str:
        name = f"bucket-{uuid.uuid4()}"
        if self._stub is not None:
            versioning = Versioning.ENABLED if versioned else Versioning.OFF
            self._stub.create_bucket(name, versioning=versioning)
            return name
        self.client.create_bucket(Bucket=name)
        if versioned:
            configuration: Any = {"Status": "Enabled"}
            self.client.put_bucket_versioning(Bucket=name, VersioningConfiguration=configuration)
        return name

    def put(self, bucket: str, key: str, data: bytes, **options: Any) -> None:
        self.client.put_object(Bucket=bucket, Key=key, Body=data, **options)

    def upload_in_parts(self, bucket: str, key: str) -> None:
        """Upload `LARGE` in Quilt's chunks, with a SHA-256 of each."""
        target: Any = {"Bucket": bucket, "Key": key}
        made = self.client.create_multipart_upload(**target, ChecksumAlgorithm="SHA256")
        target["UploadId"] = made["UploadId"]
        parts: list[Any] = []
        for number, data in enumerate(PARTS, start=1):
            part = self.client.upload_part(
                **target, PartNumber=number, Body=data, ChecksumAlgorithm="SHA256"
            )
            checksum = part.get("ChecksumSHA256")
            named = {"ChecksumSHA256": checksum} if checksum else {}
            parts.append({"PartNumber": number, "ETag": part["ETag"], **named})
        self.client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})

    async def package(self, bucket: str) -> Outcome:
        message = {"source_prefix": f"s3://{bucket}/{FOLDER}", "registry": self.registry}
        settings = Settings(scratch_bucket=self.scratch)
        return await package_request(self.s3, request_of(message), settings)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Server:
    # Only the server of the test is started.
    stub: S3Stub | None = None
    if request.param == "stub":
        stub = request.getfixturevalue("s3_stub")
        url = stub.url
    elif request.param == "ministack":
        ministack: MiniStack = request.getfixturevalue("ministack")
        url = ministack.endpoint_url
    else:
        seaweedfs: SeaweedFS = request.getfixturevalue("seaweedfs")
        url = seaweedfs.url
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    return Server(request.param, url, stub)


@pytest.mark.parametrize("versioned", [True, False], ids=["versioned", "unversioned"])
async def test_quilt3_verifies_every_byte_of_a_package(
    server: Server, tmp_path: Path, *, versioned: bool
) -> None:
    bucket = server.create_bucket(versioned=versioned)
    for key, data in SMALL.items():
        server.put(bucket, FOLDER + key, data)
    server.put(bucket, FOLDER + "stored", b"stored", ChecksumAlgorithm="SHA256")
    keys = {*SMALL, "stored"}
    if versioned or server.agrees_on_large_objects:
        server.put(bucket, FOLDER + "large", LARGE)
        server.upload_in_parts(bucket, FOLDER + "parts")
        keys |= {"large", "parts"}
    made = await server.package(bucket)
    (found,) = read_packages(server.registry, ["runs/42"], tmp_path)
    assert found.verified
    assert found.top_hash == made.top_hash
    assert {key for key, _, _ in found.entries} == keys
    assert (await server.package(bucket)).outcome is Result.UNCHANGED


@pytest.mark.parametrize("in_parts", [True, False], ids=["multipart", "one-put"])
async def test_large_objects_of_unversioned_buckets_are_rejected_where_etags_disagree(
    server: Server, *, in_parts: bool
) -> None:
    bucket = server.create_bucket(versioned=False)
    if in_parts:
        server.upload_in_parts(bucket, FOLDER + "large")
    else:
        server.put(bucket, FOLDER + "large", LARGE)
    if server.agrees_on_large_objects:
        assert (await server.package(bucket)).outcome is Result.CREATED
        return
    with pytest.raises(UnsupportedEndpoint, match="LIST and HEAD disagree"):
        await server.package(bucket)


async def test_the_conditions_of_writes_hold(server: Server) -> None:
    uri = S3Uri(server.registry, "k")
    first = await server.s3.put_object(uri, b"1", if_none_match=True)
    with pytest.raises(PreconditionFailed):
        await server.s3.put_object(uri, b"2", if_none_match=True)
    second = await server.s3.put_object(uri, b"3", if_match=first)
    with pytest.raises(PreconditionFailed):
        await server.s3.put_object(uri, b"4", if_match=first)
    body = await server.s3.get_object(uri, if_match=second)
    assert body.data == b"3"
    with pytest.raises(PreconditionFailed):
        await server.s3.get_object(uri, if_match=first)


async def test_part_copies_return_checksums_or_nothing(server: Server) -> None:
    bucket = server.create_bucket(versioned=True)
    server.put(bucket, "large", LARGE)
    pages = server.s3.list_latest_versions(bucket, "")
    [listed] = [found async for page in pages for found in page]
    copier = PartCopier(server.s3, Settings(scratch_bucket=server.scratch))
    uri = S3Uri(bucket, "large", listed.version_id)
    copied = await copier.checksum_of(uri, listed, SHA256)
    assert copied == (None if server.name == "ministack" else quilt3_checksum(LARGE))


async def test_only_servers_that_name_checksums_save_requests(server: Server) -> None:
    bucket = server.create_bucket(versioned=True)
    server.put(bucket, "k", b"hello", ChecksumAlgorithm="CRC32")
    pages = server.s3.list_version_pages(bucket, "")
    named = [page.names_checksums async for page in pages]
    assert named == [server.name == "stub"]
