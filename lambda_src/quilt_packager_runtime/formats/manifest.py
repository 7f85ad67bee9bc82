"""Quilt's manifest: JSON Lines of a header and an entry each, and the top hash over them.

Both are made in one pass, byte for byte as in quilt3. The manifest's JSON is UTF-8, that of the
top hash is escaped to ASCII; for most keys the two are the same text.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from json.encoder import encode_basestring, encode_basestring_ascii
from types import MappingProxyType
from typing import Any

import msgspec

from quilt_packager_runtime.errors import InvalidMetadata, ManifestLineTooLong, quote
from quilt_packager_runtime.formats.objects import Checksum, Entry, sort_key

MAX_LINE_BYTES = 1_000_000
"""Maximum size of a line for the catalog's indexers and Athena, without its newline."""

WRITTEN_BY_US: Mapping[str, str] = MappingProxyType({"quilt-packager": "1"})
"""S3 user metadata of the manifests of this engine, whose checksums a later revision may reuse."""

MAX_CHARACTER_BYTES = 4
ENTRIES_AT_ONCE = 1000
"""Number of entries that are encoded before they are written and hashed: at most 6 MB."""

_encode_line = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_encode_hashed = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def is_ours(metadata: Mapping[str, str]) -> bool:
    """Return whether this engine wrote a manifest, by its S3 user metadata."""
    return metadata.items() >= WRITTEN_BY_US.items()


class Carried(msgspec.Struct, frozen=True):
    """The origin of what a revision has beside its folder.

    Attributes:
        base: Top hash of the manifest of the folder alone, the base of the next merge.
        revision: Top hash of the revision of another writer whose changes were carried last.
    """

    base: str
    revision: str


class Header(msgspec.Struct, frozen=True):
    """The first line of a manifest.

    Attributes:
        user_meta: Metadata of the package.
        message: Commit message.
        workflow: Record of the workflow that the package passed; None without workflows.
        source: The folder, if the message does not name it. The top hash covers it, so that equal
            packages of two folders do not share a manifest. quilt3 keeps it and ignores it.
        sources: All folders with their places, if there are several, for the same reason.
        carried: Set if the package has changes of another writer. quilt3 keeps and ignores it too.
    """

    user_meta: dict[str, Any] | None
    message: str
    workflow: dict[str, Any] | None = None
    source: str | None = None
    sources: Sequence[msgspec.Struct] | None = None
    carried: Carried | None = None


def write_manifest(
    header: Header, entries: Iterable[Entry], write: Callable[[bytes], object]
) -> str:
    """Write a manifest in one pass, without keeping it, and return its top hash in hex.

    A million entries take about 3 s of CPU time.

    Args:
        header: First line.
        entries: Entries in the order of `sort_key`, without duplicates.
        write: Writes the next bytes of the manifest, a few hundred KB at a time.

    Raises:
        InvalidMetadata: JSON in UTF-8 cannot represent the header.
        ManifestLineTooLong: The header or an entry does not fit into a line.
        ValueError: The entries are not in order.

    Example:
        >>> import io
        >>> from quilt_packager_runtime.formats.objects import Checksum
        >>> entry = Entry("a.txt", "s3://b/a.txt", 0, Checksum("CRC64NVME", "AAAAAAAAAAA="))
        >>> manifest = io.BytesIO()
        >>> write_manifest(Header(None, "First"), [entry], manifest.write)[:8]
        '98bd4048'
        >>> manifest.getvalue().splitlines()[0]
        b'{"version": "v0", "user_meta": null, "message": "First"}'
    """
    manifest = ManifestWriter(header, write)
    rest = iter(entries)
    while batch := list(islice(rest, ENTRIES_AT_ONCE)):
        manifest.add(batch)
    return manifest.top_hash()


class ManifestWriter:
    """Writes a manifest incrementally, at most `ENTRIES_AT_ONCE` entries at a time.

    The arguments and errors are those of `write_manifest`.
    """

    def __init__(self, header: Header, write: Callable[[bytes], object]) -> None:
        line, hashed = _header_lines(header)
        self._write_bytes = write
        self._file_hash = sha256()
        self._write(line)
        self._hash = sha256(hashed)
        self._last_key = ""
        self._last_sort_key: bytes | None = None

    def add(self, entries: list[Entry]) -> None:
        """Write the next entries."""
        self._check_order(entries)
        lines, parts = _entry_lines(entries)
        self._write(lines)
        self._hash.update(parts)

    def top_hash(self) -> str:
        """Return the top hash, after the last entry."""
        return self._hash.hexdigest()

    def file_sha256(self) -> str:
        """Return the SHA-256 of the written bytes in hex."""
        return self._file_hash.hexdigest()

    def _write(self, data: bytes) -> None:
        self._write_bytes(data)
        self._file_hash.update(data)

    def _check_order(self, entries: list[Entry]) -> None:
        for entry in entries:
            key = sort_key(entry.logical_key)
            if self._last_sort_key is not None and key <= self._last_sort_key:
                keys = f"{quote(entry.logical_key)} comes after {quote(self._last_key)}"
                raise ValueError(f"entries are not in order: {keys}")
            self._last_key, self._last_sort_key = entry.logical_key, key


def read_entries(lines: Iterable[bytes]) -> Iterator[Entry]:
    """Parse the entries of a manifest that `write_manifest` wrote.

    Args:
        lines: Lines behind the header, with or without their newlines.

    The metadata of entries is not read.

    Raises:
        ValueError: A line is not an entry with one physical key and a checksum.

    Example:
        >>> line = b'{"logical_key": "a", "physical_keys": ["s3://b/a"], "size": 0, '
        >>> [entry] = read_entries([line + b'"hash": {"type": "SHA256", "value": ""}, "meta": {}}'])
        >>> entry.physical_key
        's3://b/a'
    """
    decode = msgspec.json.Decoder(_EntryLine).decode
    for line in lines:
        read = decode(line)
        [physical_key] = read.physical_keys
        yield Entry(read.logical_key, physical_key, read.size, read.hash)


class _EntryLine(msgspec.Struct, gc=False):
    logical_key: str
    physical_keys: list[str]
    size: int
    hash: Checksum


def check_header(header: Header) -> None:
    """Check that `write_manifest` can write a header, before other work is done."""
    _header_lines(header)


def _header_lines(header: Header) -> tuple[bytes, bytes]:
    record: dict[str, Any] = {"version": "v0", "user_meta": header.user_meta}
    if header.workflow is not None:
        record["workflow"] = header.workflow
    record["message"] = header.message
    if header.source is not None:
        record["source"] = header.source
    if header.sources is not None:
        record["sources"] = msgspec.to_builtins(header.sources)
    if header.carried is not None:
        record["carried"] = msgspec.to_builtins(header.carried)
    try:
        line = _encode_line(record).encode()
        hashed = _encode_hashed(record).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidMetadata(
            f"The package's metadata or message cannot be written as JSON: {error}.",
            why="A manifest cannot contain NaN, half a surrogate pair, or very deep nesting.",
            remedy="Correct the metadata or the message, and send it again.",
        ) from error
    _check_length(line, "the package's metadata and message")
    return line + b"\n", hashed


def _entry_lines(entries: list[Entry]) -> tuple[bytes, bytes]:
    lines, parts = [], []
    for entry in entries:
        logical_key = entry.logical_key
        checksum = entry.checksum
        size = entry.size_bytes
        kind = encode_basestring_ascii(checksum.type)
        value = encode_basestring_ascii(checksum.value)
        ascii_key = encode_basestring_ascii(logical_key)
        is_plain = len(ascii_key) == len(logical_key) + 2
        key = ascii_key if is_plain else encode_basestring(logical_key)
        meta = hashed_meta = "{}"
        if entry.metadata or entry.other_meta:
            meta = _encode_line(entry.meta)
            hashed_meta = _encode_hashed(entry.meta)
        line = (
            f'{{"logical_key": {key}, "physical_keys": [{encode_basestring(entry.physical_key)}], '
            f'"size": {size}, "hash": {{"type": {kind}, "value": {value}}}, "meta": {meta}}}\n'
        )
        if len(line) * MAX_CHARACTER_BYTES > MAX_LINE_BYTES:
            _check_length(line[:-1].encode(), f"the entry {quote(logical_key)}")
        lines.append(line)
        parts.append(
            f'{{"hash":{{"type":{kind},"value":{value}}},"logical_key":{ascii_key},'
            f'"meta":{hashed_meta},"size":{size}}}'
        )
    return "".join(lines).encode(), "".join(parts).encode()


def _check_length(line: bytes, what: str) -> None:
    if len(line) > MAX_LINE_BYTES:
        raise ManifestLineTooLong(
            f"The manifest's line for {what} has {len(line):,} bytes.",
            why=f"Quilt's readers accept at most {MAX_LINE_BYTES:,} bytes in a line.",
            remedy="Shorten the metadata or the key.",
        )
