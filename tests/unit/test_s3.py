from quilt_packager_runtime.objects import S3Uri
from quilt_packager_runtime.s3 import S3

from tests.s3_stub import S3Stub


async def test_head_tells_size_and_identity(s3: S3, s3_stub: S3Stub) -> None:
    version = s3_stub.create_bucket("b").put("k", b"hello")
    head = await s3.head_object(S3Uri("b", "k"))
    assert head.size_bytes == 5
    assert head.version_id == version.version_id
    assert head.etag == f'"{version.etag}"'
