"""Not every S3 writes a listing alike; what cannot be understood fails it."""

from typing import cast

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.aws.s3_transport import Request, Response, S3Transport
from quilt_packager_runtime.errors import MalformedResponse
from quilt_packager_runtime.formats.objects import S3Uri, SourceObject

VERSION = """<Version><Key>{key}</Key><VersionId>v</VersionId><IsLatest>true</IsLatest>
<ETag>e</ETag><Size>1</Size></Version>"""


class OnePage:
    def __init__(self, inner: str) -> None:
        page = f"<ListVersionsResult><IsTruncated>false</IsTruncated>{inner}</ListVersionsResult>"
        self.body = page.encode()

    async def send(self, request: Request) -> Response:
        return Response(200, {}, self.body)

    def host_of(self, _uri: S3Uri) -> str:
        return "host"


@pytest.mark.parametrize(
    ("encoding", "key"), [("<EncodingType>url</EncodingType>", "a b%"), ("", "a+b%25")]
)
async def test_keys_are_decoded_only_if_the_answer_says_that_they_are_encoded(
    encoding: str, key: str
) -> None:
    s3 = S3(cast("S3Transport", OnePage(encoding + VERSION.format(key="a+b%25"))))
    pages = [page async for page in s3.list_latest_versions("raw", "")]
    assert [found.key for page in pages for found in page] == [key]


async def list_objects(inner: str) -> list[SourceObject]:
    s3 = S3(cast("S3Transport", OnePage(inner)))
    return [found async for page in s3.list_latest_versions("raw", "") for found in page]


async def test_entities_are_read_as_what_they_stand_for() -> None:
    row = VERSION.format(key="a&amp;b &#228;&lt;&quot;").replace("<ETag>e<", "<ETag>&quot;e&quot;<")
    [found] = await list_objects(row)
    assert (found.key, found.etag) == ('a&b ä<"', '"e"')


async def test_white_space_between_elements_is_nothing() -> None:
    row = VERSION.format(key=" a ").replace("><", ">\n  <")
    [found] = await list_objects(row)
    assert (found.key, found.size_bytes) == (" a ", 1)


@pytest.mark.parametrize("version", ["", "<VersionId></VersionId>", "<VersionId/>"])
async def test_a_version_without_an_id_has_none(version: str) -> None:
    row = VERSION.format(key="a").replace("<VersionId>v</VersionId>", version)
    [found] = await list_objects(row)
    assert found.version_id is None


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(VERSION.format(key="a").replace("Size>", "Length>"), id="no-size"),
        pytest.param(VERSION.format(key="a").replace(">1<", ">one<"), id="no-number"),
        pytest.param(VERSION.format(key="a").replace("ETag>", "Tag>"), id="no-etag"),
        pytest.param(VERSION.format(key="a").replace("Key>", "Name>"), id="no-key"),
        pytest.param(
            VERSION.format(key="a").replace("Version>", 'Version x="y">', 1), id="with-attribute"
        ),
        pytest.param(VERSION.format(key="a").replace("IsLatest>", "IsNew>"), id="no-age"),
        pytest.param("<Version/>", id="no-fields"),
        pytest.param(VERSION.format(key="a").removesuffix("</Version>"), id="cut"),
    ],
)
async def test_a_row_that_is_not_as_s3_writes_it_fails_the_listing(row: str) -> None:
    with pytest.raises(MalformedResponse):
        await list_objects(VERSION.format(key="good") + row)


async def test_a_page_that_is_not_utf_8_fails_the_listing() -> None:
    page = OnePage(VERSION.format(key="a"))
    page.body = page.body.replace(b"<Key>a", b"<Key>\xff")
    with pytest.raises(MalformedResponse, match="UTF-8"):
        await anext(S3(cast("S3Transport", page)).list_latest_versions("raw", ""))


async def test_a_marker_is_read_as_xml_once() -> None:
    asked: list[str] = []

    class TwoPages(OnePage):
        async def send(self, request: Request) -> Response:
            asked.append(request.query.get("key-marker", ""))
            more, last = b"<IsTruncated>true<", b"<IsTruncated>false<"
            return Response(
                200, {}, self.body.replace(last, more) if len(asked) == 1 else self.body
            )

    s3 = S3(cast("S3Transport", TwoPages("<NextKeyMarker>a&amp;amp;b</NextKeyMarker>")))
    assert [page async for page in s3.list_latest_versions("raw", "")] == [[], []]
    assert asked == ["", "a&amp;b"]
