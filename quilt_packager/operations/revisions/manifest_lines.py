"""The lines of any Quilt manifest, including those that other programs wrote."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from quilt_packager_runtime.formats.objects import Checksum, sort_key


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
