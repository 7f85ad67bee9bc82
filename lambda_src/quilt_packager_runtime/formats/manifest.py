"""Quilt's manifest: a header and one line an entry, JSON Lines, and the top hash over them.

Both are written in one pass, byte for byte as quilt3 writes them. The manifest's JSON is UTF-8,
that of the top hash is escaped to ASCII; for most keys the two are the same text.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from itertools import islice
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

import msgspec

from quilt_packager_runtime.errors import InvalidMetadata, ManifestLineTooLong, quote
from quilt_packager_runtime.formats.objects import Checksum, Entry

MAX_LINE_BYTES = 1_000_000
"""What the catalog's indexers and Athena read of a line, its newline not counted."""

WRITTEN_BY_US = {"quilt-packager": "1"}
"""The user metadata of manifests whose checksums a later revision may trust."""

MAX_CHARACTER_BYTES = 4
ENTRIES_AT_ONCE = 1000
"""How many entries are encoded before they are written and hashed: at most some 6 MB."""

SEPARATOR = b"\0\0"
"""Between the components of a sort key."""

_encode_line = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_encode_hashed = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


class Header(msgspec.Struct, frozen=True):
    """The first line of a manifest.

    Attributes:
        user_meta: The package's metadata.
        message: The commit message.
        workflow: The record of the workflow that the package passed; None without workflows.
    """

    user_meta: dict[str, Any] | None
    message: str
    workflow: dict[str, Any] | None = None


def sort_key(logical_key: str) -> bytes:
    r"""The order of a manifest's entries: that of `logical_key.split("/")`.

    `SEPARATOR` sorts before every character, U+0000 among them, and is nowhere else.

    Args:
        logical_key: The path inside the package.

    Example:
        >>> sorted(["a-b", "a/b", "a"], key=sort_key)
        ['a', 'a/b', 'a-b']
    """
    return logical_key.encode().replace(b"\0", b"\0\1").replace(b"/", SEPARATOR)


def key_of(sort_key: bytes) -> str:
    r"""The logical key that a sort key was made of.

    Args:
        sort_key: What `sort_key` returned.

    Example:
        >>> key_of(sort_key("a/b"))
        'a/b'
    """
    return sort_key.replace(SEPARATOR, b"/").replace(b"\0\1", b"\0").decode()


def write_manifest(
    header: Header, entries: Iterable[Entry], write: Callable[[bytes], object]
) -> str:
    """Write a manifest, and hash it, in one pass and without keeping it.

    A million entries take some 3 s of CPU.

    Args:
        header: The first line.
        entries: In the order of `sort_key`, each once.
        write: Takes the next bytes of the manifest, some hundred KB at a time.

    Returns:
        The top hash, 64 hex characters.

    Raises:
        InvalidMetadata: The header holds what JSON in UTF-8 cannot carry.
        ManifestLineTooLong: The header or an entry would not fit into a line.
        ValueError: The entries are not in order: a fault of the caller's.

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
    """Writes a manifest as its entries come, `ENTRIES_AT_ONCE` or fewer at a time.

    Args:
        header: The first line.
        write: Takes the next bytes of the manifest, some hundred KB at a time.

    Raises:
        InvalidMetadata: The header holds what JSON in UTF-8 cannot carry.
        ManifestLineTooLong: The header would not fit into a line.
    """

    def __init__(self, header: Header, write: Callable[[bytes], object]) -> None:
        """Write the header."""
        line, hashed = _header_lines(header)
        write(line)
        self._write = write
        self._hash = sha256(hashed)
        self._last_key = ""
        self._last_sort_key: bytes | None = None

    def add(self, entries: list[Entry]) -> None:
        """Write the next entries.

        Args:
            entries: In the order of `sort_key`, each once.

        Raises:
            ManifestLineTooLong: An entry would not fit into a line.
            ValueError: The entries are not in order: a fault of the caller's.
        """
        self._check_order(entries)
        lines, parts = _entry_lines(entries)
        self._write(lines)
        self._hash.update(parts)

    def top_hash(self) -> str:
        """The top hash, 64 hex characters, after the last entry."""
        return self._hash.hexdigest()

    def _check_order(self, entries: list[Entry]) -> None:
        for entry in entries:
            key = sort_key(entry.logical_key)
            if self._last_sort_key is not None and key <= self._last_sort_key:
                keys = f"{quote(entry.logical_key)} comes after {quote(self._last_key)}"
                raise ValueError(f"entries are not in order: {keys}")
            self._last_key, self._last_sort_key = entry.logical_key, key


def read_entries(lines: Iterable[bytes]) -> Iterator[Entry]:
    """Read the entries of a manifest that `write_manifest` wrote.

    Args:
        lines: All of it but the header, each with or without its newline.

    Raises:
        ValueError: A line is no entry with one physical key and a checksum.

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
    """Tell, before any work is done, whether a header can be written.

    Args:
        header: The first line.

    Raises:
        InvalidMetadata: It holds what JSON in UTF-8 cannot carry.
        ManifestLineTooLong: It would not fit into a line.
    """
    _header_lines(header)


def _header_lines(header: Header) -> tuple[bytes, bytes]:
    record: dict[str, Any] = {"version": "v0", "user_meta": header.user_meta}
    if header.workflow is not None:
        record["workflow"] = header.workflow
    record["message"] = header.message
    try:
        line = _encode_line(record).encode()
        hashed = _encode_hashed(record).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidMetadata(
            f"The package's metadata or message cannot be written as JSON ({error}).",
            why="NaN, half a surrogate pair, or very deep nesting has no place in a manifest.",
            remedy="Correct the metadata and the message, and send again.",
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
        line = (
            f'{{"logical_key": {key}, "physical_keys": [{encode_basestring(entry.physical_key)}], '
            f'"size": {size}, "hash": {{"type": {kind}, "value": {value}}}, "meta": {{}}}}\n'
        )
        if len(line) * MAX_CHARACTER_BYTES > MAX_LINE_BYTES:
            _check_length(line[:-1].encode(), f"the entry {quote(logical_key)}")
        lines.append(line)
        parts.append(
            f'{{"hash":{{"type":{kind},"value":{value}}},"logical_key":{ascii_key},'
            f'"meta":{{}},"size":{size}}}'
        )
    return "".join(lines).encode(), "".join(parts).encode()


def _check_length(line: bytes, what: str) -> None:
    if len(line) > MAX_LINE_BYTES:
        raise ManifestLineTooLong(
            f"The manifest's line for {what} has {len(line):,} bytes.",
            why=f"Quilt's readers take at most {MAX_LINE_BYTES:,} bytes in a line.",
            remedy="Send less metadata, or shorter keys.",
        )
