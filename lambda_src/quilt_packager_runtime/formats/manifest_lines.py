"""The lines of any Quilt manifest, including those that other programs wrote."""

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from json.encoder import encode_basestring_ascii
from typing import Any

import msgspec

from quilt_packager_runtime.formats.objects import Checksum, sort_key

NO_METADATA = frozenset({b"", b"null", b"{}"})
"""Metadata of an entry that has none, as different programs write it."""

# As quilt3, which also writes NaN.
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
    size: int | None = None
    hash: Checksum | None = None
    meta: msgspec.Raw = msgspec.Raw()


decode_header = msgspec.json.Decoder(ManifestHeader).decode
_decode_line = msgspec.json.Decoder(ManifestLine).decode


def decode_entries(lines: Iterable[bytes]) -> Iterator[tuple[bytes, ManifestLine, bytes]]:
    """Yield the sort key of each entry, the entry and its line, without folders."""
    for line in lines:
        if line.strip():
            entry = _decode_line(line)
            if entry.physical_keys:
                yield sort_key(entry.logical_key), entry, line


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
