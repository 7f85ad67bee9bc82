"""The S3 operations that packaging needs: a request each, or one a page, a range or a part.

Where an answer does not tell why it is no better, another request asks. awscrt's client does a HEAD
for a tenth of boto3's CPU; docs/adr has the measurement.
"""

from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from email.utils import parsedate_to_datetime
from hashlib import sha256
from pathlib import Path
from typing import Self

import msgspec

from quilt_packager_runtime.aws.s3_responses import (
    KEYS,
    VERSIONS,
    ListingKind,
    ListingPage,
    Position,
    VersionPage,
    broken,
    key_page,
    next_position,
    parse_listing,
    parse_xml,
    version_id,
    version_page,
)
from quilt_packager_runtime.aws.s3_transport import (
    MAX_CONNECTIONS,
    RETRY_BASE_MS,
    Request,
    Response,
    S3Transport,
)
from quilt_packager_runtime.errors import (
    AccessDenied,
    BadRequest,
    CredentialsRefused,
    InvalidRange,
    MalformedResponse,
    NoSuchKey,
    PackagerError,
    PreconditionFailed,
    S3Error,
    ServiceUnavailable,
)
from quilt_packager_runtime.formats.objects import (
    S3Uri,
    SourceObject,
    StoredChecksums,
)

METADATA_PREFIX = "x-amz-meta-"
RESTORED = 'ongoing-request="false"'
PAGE_ATTEMPTS = 3


class ObjectHead(msgspec.Struct, frozen=True, gc=False):
    """What HEAD tells of an object.

    Attributes:
        size_bytes: Its size.
        etag: Its ETag, with the quotes.
        stored: The checksums that S3 keeps of it.
        restored: It is archived, and a restored copy of it can be read for now.
    """

    size_bytes: int
    etag: str
    stored: StoredChecksums
    restored: bool


class ObjectBody(msgspec.Struct, frozen=True, gc=False):
    """What GET gives of an object.

    Attributes:
        data: The bytes asked for.
        size_bytes: The size of the whole object.
        etag: Its ETag, with the quotes.
        version_id: Its version; None in an unversioned bucket.
        metadata: Its user metadata, by lower-case names.
    """

    data: bytes
    size_bytes: int
    etag: str
    version_id: str | None
    metadata: dict[str, str] = {}


class S3:
    """S3's operations in our nouns. Errors are those of `errors.py`.

    Args:
        transport: What sends the requests.
        on_request: Told each request before it is sent; not each retry.
    """

    def __init__(
        self,
        transport: S3Transport,
        *,
        on_request: Callable[[Request], object] = lambda _request: None,
    ) -> None:
        """Keep the transport; no request is made."""
        self._transport = transport
        self._last_date: str | None = None
        self._on_request = on_request

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str],
        *,
        max_connections: int = MAX_CONNECTIONS,
        retry_base_ms: int = RETRY_BASE_MS,
    ) -> Self:
        """An S3 as the environment describes it; see `S3Transport.from_environment`."""
        return cls(
            S3Transport.from_environment(
                environment, max_connections=max_connections, retry_base_ms=retry_base_ms
            )
        )

    def watched(self, on_request: Callable[[Request], object]) -> Self:
        """The same S3, for one who counts its requests.

        Args:
            on_request: Told each before it is sent; not each retry.
        """
        return type(self)(self._transport, on_request=on_request)

    def region_of(self, bucket: str) -> str:
        """A bucket's region, as far as answers have told."""
        return self._transport.region_of(bucket)

    def server_time_seconds(self) -> int:
        """S3's own time at its last answer, in seconds since 1970; the host's may be off.

        Raises:
            S3Error: No answer has carried a date yet.
        """
        if self._last_date is None:
            raise S3Error(
                "S3's answers carry no Date.",
                why="Revisions are numbered by S3's clock.",
                remedy="Use an endpoint that sends the Date header, as HTTP asks for.",
            )
        return int(parsedate_to_datetime(self._last_date).timestamp())

    async def head_object(self, uri: S3Uri, *, if_match: str | None = None) -> ObjectHead:
        """Ask for an object's size, identity and stored checksums.

        Args:
            uri: The object, or its version.
            if_match: The ETag that it must still have.
        """
        headers = [("x-amz-checksum-mode", "ENABLED"), *_condition(if_match)]
        request = Request(operation="HeadObject", method="HEAD", uri=uri, headers=headers)
        try:
            head = (await self.send(request)).headers
        except AccessDenied:
            await self._probe_with_get(uri)
            raise
        except BadRequest as refusal:
            if await self._probe_with_get(uri):
                raise ServiceUnavailable(
                    f"HeadObject of {uri} failed: S3 answered 400, though the object can be read.",
                    why="KMS may have throttled its key, which the answer to HEAD does not say.",
                    remedy="The job is retried by itself; look into it if this returns.",
                ) from refusal
            raise
        return ObjectHead(
            size_bytes=_size_bytes(head, uri),
            etag=_etag(head, uri),
            stored=StoredChecksums(
                sha256=head.get("x-amz-checksum-sha256"),
                crc64nvme=head.get("x-amz-checksum-crc64nvme"),
                type=head.get("x-amz-checksum-type"),
            ),
            restored=RESTORED in head.get("x-amz-restore", ""),
        )

    async def get_object(
        self,
        uri: S3Uri,
        *,
        first_byte: int = 0,
        last_byte: int | None = None,
        if_match: str | None = None,
    ) -> ObjectBody:
        """Get an object, or a range of it, into memory.

        Args:
            uri: The object, or its version.
            first_byte: Where the range begins.
            last_byte: Where it ends, this byte included; None for the whole object.
            if_match: The ETag that it must still have.
        """
        headers = _condition(if_match)
        if last_byte is not None:
            headers.append(("Range", f"bytes={first_byte}-{last_byte}"))
        response = await self.send(
            Request(operation="GetObject", method="GET", uri=uri, headers=headers)
        )
        size_bytes = len(response.body)
        if "content-range" in response.headers:
            size_bytes = _size_bytes(response.headers, uri)
        return ObjectBody(
            data=response.body,
            size_bytes=size_bytes,
            etag=_etag(response.headers, uri),
            version_id=version_id(response.headers.get("x-amz-version-id")),
            metadata={
                name.removeprefix(METADATA_PREFIX): value
                for name, value in response.headers.items()
                if name.startswith(METADATA_PREFIX)
            },
        )

    async def stream_object(self, uri: S3Uri, *, step_bytes: int) -> AsyncIterator[ObjectBody]:
        """Get an object of any size, a range at a time, all of the same version.

        Args:
            uri: The object, or its version; not an empty one.
            step_bytes: How much to hold in memory.
        """
        body = await self.get_object(uri, last_byte=step_bytes - 1)
        yield body
        for first_byte in range(step_bytes, body.size_bytes, step_bytes):
            last_byte = min(first_byte + step_bytes, body.size_bytes) - 1
            yield await self.get_object(
                uri, first_byte=first_byte, last_byte=last_byte, if_match=body.etag
            )

    async def read_if_exists(self, uri: S3Uri, *, max_bytes: int) -> ObjectBody | None:
        """Get a small object, or learn that it is not there.

        Args:
            uri: The object, or its version.
            max_bytes: How much to read at most; a `size_bytes` above it tells that there is more.

        Returns:
            None if there is no such object. S3 answers 403 for a missing one to those who may not
            list the bucket unconditionally, so a refused object that no listing shows is missing.
        """
        try:
            return await self.get_object(uri, last_byte=max_bytes - 1)
        except NoSuchKey:
            return None
        except InvalidRange:
            return await self.get_object(uri)  # no range of an empty object is valid
        except AccessDenied as denied:
            if denied.key_state is not None or await self._is_listed(uri, denied):
                raise
            return None

    async def _is_listed(self, uri: S3Uri, denied: AccessDenied) -> bool:
        try:
            async for keys in self.list_keys(uri.bucket, uri.key):
                if uri.key in keys:
                    return True
        except AccessDenied as unlisted:
            raise AccessDenied(
                denied.happened,
                why=f"{denied.why} Or the object is missing, which only a role that may list the "
                f"key can find out. {unlisted.happened}",
                remedy=denied.remedy,
            ) from denied
        return False

    async def get_part_sizes_bytes(self, uri: S3Uri, *, if_match: str | None = None) -> list[int]:
        """Ask for the sizes of the parts that an object was uploaded in, in order.

        Args:
            uri: The object, or its version.
            if_match: The ETag that it must still have.

        Returns:
            Empty where S3 does not know them (any more).
        """
        sizes: list[int] = []
        marker = "0"
        while True:
            headers = [
                ("x-amz-object-attributes", "ETag,ObjectParts"),
                ("x-amz-max-parts", "1000"),
                ("x-amz-part-number-marker", marker),
            ]
            response = await self.send(
                Request(
                    operation="GetObjectAttributes",
                    method="GET",
                    uri=uri,
                    query={"attributes": ""},
                    headers=headers,
                )
            )
            attributes = parse_xml(response.body, uri)
            # S3 takes no condition here; it leaves the quotes out.
            if if_match not in {None, f'"{attributes.findtext("{*}ETag")}"'}:
                raise PreconditionFailed(
                    f"{uri} is another object by now.",
                    why="Its ETag is not the one that it had.",
                    remedy="The job is retried by itself.",
                )
            parts = attributes.find("{*}ObjectParts")
            if parts is None:
                return sizes
            sizes += [int(part.findtext("{*}Size", "-1")) for part in parts.findall("{*}Part")]
            next_marker = parts.findtext("{*}NextPartNumberMarker", "")
            if parts.findtext("{*}IsTruncated") != "true" or next_marker in {"", marker}:
                return sizes
            marker = next_marker

    async def put_object(
        self,
        uri: S3Uri,
        body: bytes,
        *,
        if_match: str | None = None,
        if_none_match: bool = False,
    ) -> str:
        """Write a small object; S3 checks that it got these very bytes.

        Args:
            uri: Where to.
            body: What.
            if_match: The ETag that the present object must have.
            if_none_match: There must be no object yet.

        Returns:
            The new object's ETag.
        """
        digest = b64encode(sha256(body).digest()).decode()
        headers = [("x-amz-checksum-sha256", digest), *_condition(if_match)]
        if if_none_match:
            headers.append(("If-None-Match", "*"))
        response = await self.send(
            Request(operation="PutObject", method="PUT", uri=uri, headers=headers, body=body)
        )
        return _etag(response.headers, uri)

    async def put_file(
        self, uri: S3Uri, path: Path, *, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Write a file of any size as an object, in parallel parts when it is large.

        Args:
            uri: Where to.
            path: The file.
            metadata: The object's user metadata.
        """
        headers = [(METADATA_PREFIX + name, value) for name, value in (metadata or {}).items()]
        await self.send(
            Request(operation="PutObject", method="PUT", uri=uri, file=path, headers=headers)
        )

    async def list_latest_versions(
        self, bucket: str, prefix: str
    ) -> AsyncIterator[list[SourceObject]]:
        """List the newest versions under a prefix, a page at a time, in S3's order.

        Delete markers and noncurrent versions are passed over.
        """
        async for page in self.list_version_pages(bucket, prefix):
            yield page.objects

    async def list_version_pages(
        self,
        bucket: str,
        prefix: str,
        *,
        after: str = "",
        until: Callable[[], str | None] = lambda: None,
        delimiter: str = "",
    ) -> AsyncGenerator[VersionPage, None]:
        """List the newest versions under a prefix, and where each page ends, in S3's order.

        Args:
            bucket: The bucket.
            prefix: What the keys begin with.
            after: Only keys that sort after this one; it need not exist.
            until: Asked with each page for the last key of interest; others need not be read.
            delimiter: Sum up keys that are the same up to where it follows the prefix.
        """
        query = {"versions": "", "encoding-type": "url", "prefix": prefix}
        if delimiter:
            query["delimiter"] = delimiter
        start: Position = (("key-marker", after),) if after else ()
        async for page, following in self._pages(VERSIONS, bucket, query, start):
            yield version_page(page, following, until())

    async def list_keys(self, bucket: str, prefix: str) -> AsyncIterator[list[str]]:
        """List the keys under a prefix, a page at a time, in S3's order.

        Args:
            bucket: The bucket.
            prefix: What the keys begin with.
        """
        query = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
        async for page, _ in self._pages(KEYS, bucket, query):
            yield key_page(page)

    async def send(self, request: Request) -> Response:
        """Send any other request.

        Args:
            request: The request.
        """
        self._on_request(request)
        response = await self._transport.send(request)
        self._last_date = response.headers.get("date", self._last_date)
        return response

    async def _probe_with_get(self, uri: S3Uri) -> bool:
        """Have GET tell why HEAD was refused: only the answer to GET has a body that says it.

        Returns:
            Whether GET was not refused.
        """
        try:
            await self.get_object(uri, last_byte=0)
        except (AccessDenied, CredentialsRefused, ServiceUnavailable):
            raise
        except PackagerError:
            return False
        return True

    async def _pages(
        self, kind: ListingKind, bucket: str, query: dict[str, str], start: Position = ()
    ) -> AsyncIterator[tuple[ListingPage, Position | None]]:
        """The pages of a listing, each with where the next begins.

        One that does not say how it goes on is asked for again.
        """
        uri = S3Uri(bucket, "")
        position: Position | None = start
        seen: set[Position] = set()
        while position is not None:
            request = Request(
                operation=kind.operation, method="GET", uri=uri, query=query | dict(position)
            )
            seen.add(position)
            for attempt in range(1, PAGE_ATTEMPTS + 1):
                try:
                    page = parse_listing((await self.send(request)).body, kind, uri)
                    position = next_position(page, seen)
                    break
                except MalformedResponse:
                    if attempt == PAGE_ATTEMPTS:
                        raise
            yield page, position


def _etag(headers: Mapping[str, str], uri: S3Uri) -> str:
    etag = headers.get("etag")
    if not etag:
        raise broken(uri, "it has no ETag")
    return etag


def _size_bytes(headers: Mapping[str, str], uri: S3Uri) -> int:
    """The size of the whole object, of which the answer may be a range."""
    text = headers.get("content-range", headers.get("content-length", ""))
    try:
        return int(text.rpartition("/")[2])
    except ValueError as error:
        raise broken(uri, "it does not tell the object's size") from error


def _condition(if_match: str | None) -> list[tuple[str, str]]:
    return [] if if_match is None else [("If-Match", if_match)]
