"""The lines of any Quilt manifest, including those that other programs wrote."""

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from json.encoder import encode_basestring_ascii
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from quilt_packager_runtime.formats.objects import Checksum, Entry, sort_key

MAX_SIZE_BYTES = 2**63 - 1
"""Maximum size that databases of entries can hold, far above that of objects."""

NO_METADATA = frozenset({b"", b"null", b"{}"})
"""Metadata of an entry that has none, as different programs write it."""

# As quilt3, which also writes NaN.
_encode_line = json.JSONEncoder(ensure_ascii=False).encode
_encode_hashed = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


class ManifestHeader(msgspec.Struct):
    """The first line of a manifest."""

    user_meta: dict[str, Any] | None = None
    message: str | None = None
    workflow: dict[str, Any] | None = None


class ManifestLine(msgspec.Struct, gc=False):
    """An entry of a manifest, or the metadata of a folder, which has no physical keys."""

    logical_key: str
    physical_keys: list[Any] | None = None
    size: Annotated[int, Meta(ge=0, le=MAX_SIZE_BYTES)] | None = None
    hash: Checksum | None = None
    meta: msgspec.Raw = msgspec.Raw()


decode_header = msgspec.json.Decoder(ManifestHeader).decode
decode_line = msgspec.json.Decoder(ManifestLine).decode


def decode_entries(lines: Iterable[bytes]) -> Iterator[tuple[bytes, ManifestLine, bytes]]:
    """Yield the sort key of each entry, the entry and its line, without folders."""
    for line in lines:
        if line.strip():
            entry = decode_line(line)
            if entry.physical_keys:
                yield sort_key(entry.logical_key), entry, line


def to_entry(line: ManifestLine) -> Entry:
    """Return an entry without its metadata.

    Raises:
        ValueError: It does not have one physical key, a size and a checksum.
    """
    keys = line.physical_keys or []
    if len(keys) != 1 or not isinstance(keys[0], str) or line.size is None or line.hash is None:
        raise ValueError("an entry does not have one physical key, a size and a hash")
    return Entry(line.logical_key, keys[0], line.size, line.hash)


def with_physical_key(line: bytes, physical_key: str) -> bytes:
    """Return the line of an entry with another physical key, and all other fields as they are."""
    return _encode_line({**json.loads(line), "physical_keys": [physical_key]}).encode()


def encode_header(fields: dict[str, Any]) -> bytes:
    """Return the first line of a manifest."""
    return _encode_line(fields).encode()


class TopHasher:
    """Computes the top hash of a manifest of any program as quilt3 does.

    Example:
        >>> [(_, entry, _)] = decode_entries([
        ...     b'{"logical_key": "a.txt", "physical_keys": ["s3://b/a.txt"], "size": 0, '
        ...     b'"hash": {"type": "CRC64NVME", "value": "AAAAAAAAAAA="}, "meta": {}}'
        ... ])
        >>> hasher = TopHasher(b'{"version": "v0", "user_meta": null, "message": "First"}')
        >>> hasher.add(entry)
        >>> hasher.top_hash()[:8]
        '98bd4048'
    """

    def __init__(self, header: bytes) -> None:
        """Begin with the first line of the manifest."""
        fields = json.loads(header)
        fields.pop("top_hash", None)  # of manifests from before 2019
        self._hash = sha256(_encode_hashed(fields).encode())

    def add(self, entry: ManifestLine) -> None:
        """Add the next entry, in the order of `sort_key`.

        Raises:
            ValueError: The entry has no size or no hash, with which quilt3 computes no top hash.
        """
        if entry.hash is None or entry.size is None:
            raise ValueError("an entry has no size or no hash")
        raw = bytes(entry.meta)
        meta = "{}" if raw in NO_METADATA else _encode_hashed(json.loads(raw))
        kind, value = map(encode_basestring_ascii, (entry.hash.type, entry.hash.value))
        key = encode_basestring_ascii(entry.logical_key)
        part = (
            f'{{"hash":{{"type":{kind},"value":{value}}},"logical_key":{key},'
            f'"meta":{meta},"size":{entry.size}}}'
        )
        self._hash.update(part.encode())

    def top_hash(self) -> str:
        """Return the top hash, after the last entry."""
        return self._hash.hexdigest()
