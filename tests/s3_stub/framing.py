"""What stands around requests: HTTP's heads, and chunks, its own and those of S3."""

from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote

from tests.s3_stub.protocol import Request


def parse_head(text: str) -> Request:
    """Request line and headers, path-style addressed."""
    first, *rest = text.split("\r\n")
    method, target, _ = first.split(" ", 2)
    path, _, query = target.partition("?")
    bucket, _, key = path[1:].partition("/")
    headers = {}
    for line in rest:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Request(
        method,
        bucket,
        unquote(key) if "%" in key else key,
        dict(parse_qsl(query, keep_blank_values=True)) if query else {},
        headers,
    )


def decode_chunks(data: bytes | bytearray) -> tuple[bytes, dict[str, str], int] | None:
    """Undo chunked framing, HTTP's or S3's (with signatures and trailers).

    Returns:
        The content, the trailers by lower-case name, and where the framing ends; None while
        some of it is missing.
    """
    pieces: list[bytes] = []
    position = 0
    while True:
        line_end = data.find(b"\r\n", position)
        if line_end < 0:
            return None
        size_bytes = int(data[position:line_end].partition(b";")[0], 16)
        start = line_end + 2
        if size_bytes == 0:
            end = start if data[start : start + 2] == b"\r\n" else data.find(b"\r\n\r\n", start) + 2
            if end < start or len(data) < end:
                return None
            return b"".join(pieces), dict(_trailers(bytes(data[start:end]))), end + 2
        position = start + size_bytes + 2
        if position > len(data):
            return None
        pieces.append(bytes(data[start : start + size_bytes]))


def _trailers(data: bytes) -> Iterator[tuple[str, str]]:
    for line in data.decode("latin-1").split("\r\n"):
        name, found, value = line.partition(":")
        if found:
            yield name.lower(), value.strip()
