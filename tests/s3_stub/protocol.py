"""A request and its response, apart from HTTP's framing; and the errors of S3."""

import re
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from functools import lru_cache
from urllib.parse import parse_qsl, quote_plus
from xml.sax.saxutils import escape

from tests.s3_stub.bodies import Body

NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_PROLOGUE = '<?xml version="1.0" encoding="UTF-8"?>\n'
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
SYSTEM_METADATA = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-website-redirect-location",
)
_MESSAGES = {
    "AccessDenied": "Access Denied",
    "ConditionalRequestConflict": "The conditional request cannot succeed due to a conflict.",
    "InternalError": "We encountered an internal error. Please try again.",
    "InvalidObjectState": "The operation is not valid for the object's storage class",
    "NoSuchBucket": "The specified bucket does not exist",
    "NoSuchKey": "The specified key does not exist.",
    "PreconditionFailed": "At least one of the pre-conditions you specified did not hold",
    "SlowDown": "Please reduce your request rate.",
}


class Request:
    """One request, as the log keeps it.

    Attributes:
        method: HTTP's.
        bucket: Empty for the service itself.
        key: Decoded; empty for the bucket itself.
        query: Decoded parameters; a parameter without a value has an empty one.
        headers: By lower-case name.
        operation: S3's name for it, such as `PutObject`.
        body_bytes: The size of its body.
        status: Of the response as decided; None while there is none (a lost reply has one).
    """

    __slots__ = (
        "body_bytes",
        "bucket",
        "headers",
        "key",
        "method",
        "operation",
        "query",
        "status",
    )

    def __init__(
        self,
        method: str,
        bucket: str,
        key: str,
        query: dict[str, str],
        headers: dict[str, str],
    ) -> None:
        self.method = method
        self.bucket = bucket
        self.key = key
        self.query = query
        self.headers = headers
        self.operation = ""
        self.body_bytes = 0
        self.status: int | None = None

    def __repr__(self) -> str:
        """Operation, place and status, for the messages of failing tests."""
        return f"<{self.operation} {self.bucket}/{self.key} {self.status}>"

    @property
    def access_key(self) -> str | None:
        """The access key that signed the request; None if it is unsigned."""
        scope = self._credential_scope()
        return scope[0] if scope else None

    @property
    def signing_region(self) -> str | None:
        """The region that the request was signed for; None if it is unsigned."""
        scope = self._credential_scope()
        return scope[2] if scope else None

    @property
    def session_token(self) -> str | None:
        """The session token that came along."""
        return self.headers.get("x-amz-security-token")

    @property
    def metadata(self) -> dict[str, str]:
        """User metadata, by names without their prefix."""
        prefix = "x-amz-meta-"
        return {k.removeprefix(prefix): v for k, v in self.headers.items() if k.startswith(prefix)}

    @property
    def system_metadata(self) -> dict[str, str]:
        """Headers that S3 keeps with an object."""
        return {name: self.headers[name] for name in SYSTEM_METADATA if name in self.headers}

    @property
    def tags(self) -> dict[str, str]:
        """The tags that come with an object."""
        return dict(parse_qsl(self.headers.get("x-amz-tagging", ""), keep_blank_values=True))

    def _credential_scope(self) -> list[str] | None:
        _, found, rest = self.headers.get("authorization", "").partition("Credential=")
        return rest.partition(",")[0].split("/") if found else None


class Response:
    """What to answer.

    Attributes:
        status: HTTP's.
        headers: In order, without the ones that every response has.
        body: The bytes, or a computed body.
        body_range: First byte and size, where a part of `body` is sent.
    """

    __slots__ = ("body", "body_range", "headers", "status")

    def __init__(
        self,
        status: int = 200,
        headers: dict[str, str] | None = None,
        body: bytes | Body = b"",
        body_range: tuple[int, int] | None = None,
    ) -> None:
        self.status = status
        self.headers = {} if headers is None else headers
        self.body = body
        self.body_range = body_range

    @property
    def size_bytes(self) -> int:
        """The `Content-Length`."""
        if self.body_range:
            return self.body_range[1]
        return len(self.body) if isinstance(self.body, bytes) else self.body.size_bytes


class Refusal(Exception):
    """S3 refuses a request.

    Args:
        status: HTTP's.
        code: S3's error code, such as `NoSuchKey`.
        message: In words; without it S3's own for the common codes.
        headers: To send along.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message or _MESSAGES.get(code, code)
        self.headers = dict(headers or {})

    def to_response(self) -> Response:
        """The error as S3 sends it."""
        body = to_document(
            "Error",
            f"<Code>{self.code}</Code><Message>{to_text(self.message)}</Message>"
            "<RequestId>0A1B2C3D4E5F6789</RequestId>",
            namespace="",
        )
        return Response(self.status, {"Content-Type": "application/xml", **self.headers}, body)


def to_document(root: str, content: str, namespace: str = " " + NAMESPACE) -> bytes:
    """An XML document of S3's."""
    return f"{_PROLOGUE}<{root}{namespace}>{content}</{root}>".encode()


def to_text(value: str) -> str:
    """A text as XML holds it. S3 writes control characters as references, legal or not."""
    escaped = escape(value)
    if escaped.isprintable():
        return escaped
    return _CONTROL.sub(lambda match: f"&#x{ord(match[0]):x};", escaped)


def to_url_text(value: str) -> str:
    """A key as S3 writes it with `encoding-type=url`: as in a form, but with its slashes."""
    return quote_plus(value, safe="/*")


def text_encoder(request: Request) -> Callable[[str], str]:
    """How the listing that was asked for writes keys.

    Raises:
        Refusal: An unknown encoding.
    """
    encoding = request.query.get("encoding-type")
    if encoding is None:
        return to_text
    if encoding != "url":
        raise Refusal(400, "InvalidArgument", "Invalid Encoding Method specified in Request")
    return to_url_text


@lru_cache(maxsize=64)
def http_date(unix_seconds: int) -> str:
    """A time as HTTP writes it."""
    return formatdate(unix_seconds, usegmt=True)


@lru_cache(maxsize=1024)
def iso_date(unix_seconds: int) -> str:
    """A time as S3 writes it in XML."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(unix_seconds))
