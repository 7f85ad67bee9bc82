"""The S3 operations that packaging needs, each with one request, or one a page, range or part.

Where an error has no reason, another request finds it. A HEAD by awscrt's client costs a tenth of
boto3's CPU; docs/adr/0021-s3-over-awscrt.md has the measurement.
"""

import re
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from email.utils import parsedate_to_datetime
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

import msgspec

from quilt_packager_runtime.aws.s3_responses import (
    ALL_VERSIONS,
    ARCHIVED_CLASSES,
    KEYS,
    VERSIONS,
    ListedVersion,
    ListingKind,
    ListingPage,
    Position,
    VersionPage,
    folder_page,
    key_page,
    listed_versions,
    malformed_response,
    next_position,
    parse_listing,
    parse_xml,
    version_id,
    version_page,
)
from quilt_packager_runtime.aws.s3_transport import (
    MAX_CONNECTIONS,
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
    ServiceUnavailable,
    UnsupportedEndpoint,
    quote,
)
from quilt_packager_runtime.formats.objects import (
    S3Uri,
    SourceObject,
    StoredChecksums,
)

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

    import boto3

CHECKSUM_MODE = ("x-amz-checksum-mode", "ENABLED")
RESTORE_STATUS = ("x-amz-optional-object-attributes", "RestoreStatus")
METADATA_PREFIX = "x-amz-meta-"
RESTORED = 'ongoing-request="false"'
PARTS_OF_ETAG = re.compile(r'(-[0-9]+)"?\Z')
PAGE_ATTEMPTS = 3
NO_METADATA: Mapping[str, str] = MappingProxyType({})


class ObjectHead(msgspec.Struct, frozen=True, gc=False):
    """The response of HEAD.

    Attributes:
        size_bytes: Size of the object.
        etag: ETag with its quotes.
        stored: Checksums that S3 stores.
        restored: The object is archived, and a restored copy is readable.
        content_type: Content type; empty if there is none.
        encryption: Server-side encryption, such as `aws:kms`; empty if the response names none.
        version_id: Version id; None in an unversioned bucket.
        archived: The storage class requires a restore before the bytes can be read.
        headers: All headers, by lower-case names.
    """

    size_bytes: int
    etag: str
    stored: StoredChecksums
    restored: bool
    content_type: str
    encryption: str = ""
    version_id: str | None = None
    archived: bool = False
    headers: Mapping[str, str] = NO_METADATA


class ObjectBody(msgspec.Struct, frozen=True, gc=False):
    """The response of GET.

    Attributes:
        data: The requested bytes.
        size_bytes: Size of the whole object.
        etag: ETag with its quotes.
        version_id: Version id; None in an unversioned bucket.
        metadata: User metadata, by lower-case names.
        stored: Checksums that S3 stores, if they were requested.
    """

    data: bytes
    size_bytes: int
    etag: str
    version_id: str | None
    metadata: dict[str, str] = {}
    stored: StoredChecksums = StoredChecksums()


class S3:
    """S3's operations with the types of `formats` and the errors of `errors.py`.

    Args:
        transport: The transport of requests.
        on_request: Called with each request before it is sent, not with retries.
    """

    def __init__(
        self,
        transport: S3Transport,
        *,
        on_request: Callable[[Request], object] = lambda _request: None,
    ) -> None:
        self._transport = transport
        self._without_versions: set[str] = set()
        self._on_request = on_request

    @classmethod
    def from_environment(cls, *, max_connections: int = MAX_CONNECTIONS) -> Self:
        """Create a client from the environment; see `S3Transport.from_environment`."""
        return cls(S3Transport.from_environment(max_connections=max_connections))

    @classmethod
    def from_session(
        cls, session: "boto3.Session", *, max_connections: int = MAX_CONNECTIONS
    ) -> Self:
        """Create a client from a session; see `S3Transport.from_session`."""
        return cls(S3Transport.from_session(session, max_connections=max_connections))

    def watched(self, on_request: Callable[[Request], object]) -> Self:
        """Return the same client with another `on_request`."""
        return type(self)(self._transport, on_request=on_request)

    def region_of(self, bucket: str) -> str:
        """Return a bucket's region, if a response has named it; otherwise the default."""
        return self._transport.region_of(bucket)

    def remember_region(self, bucket: str, region: str) -> None:
        """Set the region of a bucket that another client has found."""
        self._transport.remember_region(bucket, region)

    @property
    def is_aws(self) -> bool:
        """The endpoint is AWS, not another S3 server."""
        return self._transport.is_aws

    def server_time_seconds(self) -> int:
        """Return the time of S3's last response, in seconds since 1970.

        The host's clock may be wrong.

        Raises:
            UnsupportedEndpoint: No response had a `Date` header, or the last one is not valid.
        """
        date = self._transport.last_date
        try:
            return int(parsedate_to_datetime(date).timestamp())
        except (ValueError, OverflowError):
            uri = self._transport.last_uri
            host = self._transport.host_of(uri) if uri else "S3"
            header = f"the Date header {quote(date)}" if date else "no Date"
            raise UnsupportedEndpoint(
                f"{host} sent a response with {header}.",
                why="Revisions are numbered by the clock of S3, which this header shows.",
                remedy="Use an endpoint that sends a valid Date header, which HTTP requires, or "
                "correct the proxy in front of it.",
            ) from None

    async def head_object(self, uri: S3Uri, *, if_match: str | None = None) -> ObjectHead:
        """Return an object's size, ETag and stored checksums."""
        headers = [CHECKSUM_MODE, *_condition(if_match)]
        request = Request(operation="HeadObject", method="HEAD", uri=uri, headers=headers)
        try:
            head = (await self.send(request)).headers
        except AccessDenied:
            await self._probe_with_get(uri)
            raise
        except BadRequest as refusal:
            if await self._probe_with_get(uri):
                raise ServiceUnavailable(
                    f"HeadObject on {uri} failed: status 400, but it is readable.",
                    why="KMS may have throttled its key, which a HEAD response does not state.",
                    remedy="Retry; investigate if this recurs.",
                ) from refusal
            raise
        return ObjectHead(
            size_bytes=_size_bytes(head, uri),
            etag=_etag(head, uri),
            stored=_stored_checksums(head),
            restored=RESTORED in head.get("x-amz-restore", ""),
            content_type=head.get("content-type", ""),
            encryption=head.get("x-amz-server-side-encryption", ""),
            version_id=version_id(head.get("x-amz-version-id")),
            archived=head.get("x-amz-storage-class") in ARCHIVED_CLASSES,
            headers=head,
        )

    async def get_object(
        self,
        uri: S3Uri,
        *,
        first_byte: int = 0,
        last_byte: int | None = None,
        if_match: str | None = None,
        with_checksums: bool = False,
    ) -> ObjectBody:
        """Read an object, or a range of it, into memory.

        Args:
            uri: The object or version.
            first_byte: First byte of the range.
            last_byte: Last byte of the range, inclusive; None for the whole object.
            if_match: The required ETag.
            with_checksums: Request the stored checksums, which S3 returns with a whole object.
        """
        headers = _condition(if_match)
        if with_checksums:
            headers.append(CHECKSUM_MODE)
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
            stored=_stored_checksums(response.headers),
        )

    async def stream_object(
        self, uri: S3Uri, *, step_bytes: int, first: ObjectBody | None = None
    ) -> AsyncIterator[ObjectBody]:
        """Read an object of any size in ranges, all of the same version.

        Args:
            uri: The object or version.
            step_bytes: Size of a range.
            first: The first range, if it was read before.
        """
        body = first or await self.get_object(uri, last_byte=step_bytes - 1)
        yield body
        for first_byte in range(step_bytes, body.size_bytes, step_bytes):
            last_byte = min(first_byte + step_bytes, body.size_bytes) - 1
            yield await self.get_object(
                uri, first_byte=first_byte, last_byte=last_byte, if_match=body.etag
            )

    async def read_if_exists(self, uri: S3Uri, *, max_bytes: int) -> ObjectBody | None:
        """Read a small object, or find that it does not exist.

        Args:
            uri: The object or version.
            max_bytes: Maximum number of bytes to read; `size_bytes` is greater if there are more.

        Returns:
            None if the object does not exist. A principal that may not list the bucket gets a 403
            for a missing object, so a denied object that no listing shows does not exist.
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
                why=f"{denied.why} Or it does not exist, which only a role that may list the key "
                f"can find out. {unlisted.happened}",
                remedy=denied.remedy,
            ) from denied
        return False

    async def get_part_sizes_bytes(self, uri: S3Uri, *, if_match: str | None = None) -> list[int]:
        """Return the sizes of the parts of a multipart upload, in order.

        Returns:
            Empty if S3 does not know them.
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
            # S3 accepts no condition here, and returns the ETag without quotes.
            if if_match not in {None, f'"{attributes.findtext("{*}ETag")}"'}:
                raise PreconditionFailed(
                    f"{uri} was overwritten.",
                    why="Its ETag has changed.",
                    remedy="Retry.",
                )
            parts = attributes.find("{*}ObjectParts")
            if parts is None:
                return sizes
            sizes += [int(part.findtext("{*}Size", "-1")) for part in parts.findall("{*}Part")]
            next_marker = parts.findtext("{*}NextPartNumberMarker", "")
            if parts.findtext("{*}IsTruncated") != "true" or next_marker in {"", marker}:
                return sizes
            marker = next_marker

    async def put_object(  # noqa: PLR0913 - options of PutObject
        self,
        uri: S3Uri,
        body: bytes,
        *,
        if_match: str | None = None,
        if_none_match: bool = False,
        metadata: Mapping[str, str] = NO_METADATA,
        encryption: str | None = None,
    ) -> str:
        """Write a small object with a checksum, which S3 verifies.

        `encryption`, such as `AES256`, replaces the default of the bucket.

        Returns:
            The new object's ETag.
        """
        digest = b64encode(sha256(body).digest()).decode()
        headers = [
            ("x-amz-checksum-sha256", digest),
            *_write_headers(if_match, if_none_match=if_none_match, metadata=metadata),
        ]
        if encryption is not None:
            headers.append(("x-amz-server-side-encryption", encryption))
        response = await self.send(
            Request(operation="PutObject", method="PUT", uri=uri, headers=headers, body=body)
        )
        return _etag(response.headers, uri)

    async def put_file(
        self,
        uri: S3Uri,
        path: Path,
        *,
        if_none_match: bool = False,
        metadata: Mapping[str, str] = NO_METADATA,
    ) -> None:
        """Write a file of any size as an object, in parallel parts if it is large.

        `aws.replacement` has the write with `If-Match`.
        """
        headers = _write_headers(None, if_none_match=if_none_match, metadata=metadata)
        await self.send(
            Request(operation="PutObject", method="PUT", uri=uri, file=path, headers=headers)
        )

    async def list_latest_versions(
        self, bucket: str, prefix: str
    ) -> AsyncIterator[list[SourceObject]]:
        """List the newest versions under a prefix in pages, in S3's order.

        Delete markers and noncurrent versions are skipped.
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
        """List the newest versions under a prefix in pages, each with its end, in S3's order.

        Where a server has no ListObjectVersions, an unversioned bucket is listed by its keys.

        Args:
            bucket: The bucket.
            prefix: Prefix of the keys.
            after: Key after which the listing starts; it need not exist.
            until: Called with each page for the last key of interest; later keys may be skipped.
            delimiter: Group keys into common prefixes up to this text.

        Raises:
            UnsupportedEndpoint: The server cannot list the versions of a versioned bucket.
        """
        query = {"encoding-type": "url", "prefix": prefix}
        if delimiter:
            query["delimiter"] = delimiter
        async for page, following in self._version_pages(VERSIONS, bucket, query, after):
            yield version_page(page, following, until())

    async def list_all_versions(
        self, bucket: str, prefix: str, *, after: str = ""
    ) -> AsyncGenerator[list[ListedVersion], None]:
        """List all versions and delete markers in pages: by key, the newest first.

        The arguments, errors and the way without ListObjectVersions are those of
        `list_version_pages`.
        """
        query = {"encoding-type": "url", "prefix": prefix}
        async for page, _ in self._version_pages(ALL_VERSIONS, bucket, query, after):
            yield listed_versions(page)

    async def _version_pages(
        self, kind: ListingKind, bucket: str, query: dict[str, str], after: str
    ) -> AsyncIterator[tuple[ListingPage, Position | None]]:
        """Yield the pages of versions, or those of keys of an unversioned bucket without them."""
        if bucket not in self._without_versions:
            try:
                async for each in self._pages(kind, bucket, query | {"versions": ""}, after):
                    yield each
            except UnsupportedEndpoint:
                if await self.versioning_of(bucket):
                    raise
                self._without_versions.add(bucket)
            else:
                return
        async for each in self._pages(KEYS, bucket, query | {"list-type": "2"}, after):
            yield each

    async def versioning_of(self, bucket: str) -> str:
        """Return a bucket's versioning: `Enabled`, `Suspended`, or empty if it never had any."""
        uri = S3Uri(bucket, "")
        request = Request(
            operation="GetBucketVersioning", method="GET", uri=uri, query={"versioning": ""}
        )
        try:
            response = await self.send(request)
        except UnsupportedEndpoint:
            return ""  # the server has no versions at all
        return parse_xml(response.body, uri).findtext("{*}Status", "")

    async def list_objects(self, bucket: str, prefix: str) -> AsyncIterator[list[SourceObject]]:
        """List the objects under a prefix in pages, in S3's order, without their versions."""
        query = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
        async for page, following in self._pages(KEYS, bucket, query):
            yield version_page(page, following).objects

    async def list_keys(self, bucket: str, prefix: str) -> AsyncIterator[list[str]]:
        """List the keys under a prefix in pages, in S3's order."""
        query = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
        async for page, _ in self._pages(KEYS, bucket, query):
            yield key_page(page)

    async def list_folders(self, bucket: str, prefix: str) -> AsyncIterator[str]:
        """List the folders directly below a prefix, each with its last `/`."""
        query = {"list-type": "2", "encoding-type": "url", "prefix": prefix, "delimiter": "/"}
        async for page, _ in self._pages(KEYS, bucket, query):
            for folder in folder_page(page):
                yield folder

    async def get_lifecycle_rules(self, bucket: str) -> "list[ET.Element]":
        """Return the rules of a bucket's lifecycle configuration; none without one."""
        uri = S3Uri(bucket, "")
        request = Request(
            operation="GetBucketLifecycleConfiguration",
            method="GET",
            uri=uri,
            query={"lifecycle": ""},
        )
        try:
            body = (await self.send(request)).body
        except (NoSuchKey, UnsupportedEndpoint):
            return []
        return parse_xml(body, uri).findall("{*}Rule")

    async def send(self, request: Request) -> Response:
        """Send a request."""
        self._on_request(request)
        return await self._transport.send(request)

    async def _probe_with_get(self, uri: S3Uri) -> bool:
        """Find the reason of a refused HEAD by a GET, whose response has a body with the reason.

        Returns:
            True if GET succeeds.
        """
        try:
            await self.get_object(uri, last_byte=0)
        except (AccessDenied, CredentialsRefused, ServiceUnavailable):
            raise
        except PackagerError:
            return False
        return True

    async def _pages(
        self, kind: ListingKind, bucket: str, query: dict[str, str], after: str = ""
    ) -> AsyncIterator[tuple[ListingPage, Position | None]]:
        """Yield the pages of a listing, each with the start of the next.

        A page that names no next page is requested again.
        """
        uri = S3Uri(bucket, "")
        position: Position | None = ((kind.start_after, after),) if after else ()
        seen: set[Position] = set()
        while position is not None:
            request = Request(
                operation=kind.operation,
                method="GET",
                uri=uri,
                query=query | dict(position),
                headers=[RESTORE_STATUS] if kind.has_markers else [],
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
        raise malformed_response(uri, "it has no ETag")
    return etag


def _size_bytes(headers: Mapping[str, str], uri: S3Uri) -> int:
    """Return the size of the whole object, even for a range of it."""
    text = headers.get("content-range", headers.get("content-length", ""))
    try:
        return int(text.rpartition("/")[2])
    except ValueError as error:
        raise malformed_response(uri, "it has no valid size") from error


def _stored_checksums(headers: Mapping[str, str]) -> StoredChecksums:
    sha256 = headers.get("x-amz-checksum-sha256")
    parts = PARTS_OF_ETAG.search(headers.get("etag", ""))
    # Some servers leave out the suffix of a hash of parts. S3 has no other SHA-256 of an upload.
    if sha256 is not None and parts is not None and not sha256.endswith(parts[1]):
        sha256 = None
    return StoredChecksums(
        sha256=sha256,
        crc64nvme=headers.get("x-amz-checksum-crc64nvme"),
        type=headers.get("x-amz-checksum-type"),
    )


def _write_headers(
    if_match: str | None, *, if_none_match: bool, metadata: Mapping[str, str]
) -> list[tuple[str, str]]:
    headers = [*_condition(if_match), *metadata_headers(metadata)]
    if if_none_match:
        headers.append(("If-None-Match", "*"))
    return headers


def metadata_headers(metadata: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the headers of user metadata."""
    return [(METADATA_PREFIX + name, value) for name, value in metadata.items()]


def _condition(if_match: str | None) -> list[tuple[str, str]]:
    return [] if if_match is None else [("If-Match", if_match)]
