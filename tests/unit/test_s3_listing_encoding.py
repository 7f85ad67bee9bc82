"""Not every S3 encodes a listing's keys when it is asked to; the answer says whether it did."""

from typing import cast

import pytest
from quilt_packager_runtime.s3 import S3
from quilt_packager_runtime.s3_transport import Request, Response, S3Transport

VERSION = """<Version><Key>{key}</Key><VersionId>v</VersionId><IsLatest>true</IsLatest>
<ETag>e</ETag><Size>1</Size></Version>"""


class OnePage:
    def __init__(self, inner: str) -> None:
        page = f"<ListVersionsResult><IsTruncated>false</IsTruncated>{inner}</ListVersionsResult>"
        self.body = page.encode()

    async def send(self, request: Request) -> Response:
        return Response(200, {}, self.body)


@pytest.mark.parametrize(
    ("encoding", "key"), [("<EncodingType>url</EncodingType>", "a b%"), ("", "a+b%25")]
)
async def test_keys_are_decoded_only_if_the_answer_says_that_they_are_encoded(
    encoding: str, key: str
) -> None:
    s3 = S3(cast("S3Transport", OnePage(encoding + VERSION.format(key="a+b%25"))))
    pages = [page async for page in s3.list_latest_versions("raw", "")]
    assert [found.key for page in pages for found in page] == [key]
