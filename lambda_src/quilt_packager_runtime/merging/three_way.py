"""The rules of the three-way merge. Pure: no I/O.

The base is the folder as this engine last packaged it, *theirs* is the newest revision, and *ours*
the folder now. A change of another writer stays until its source changes: then the source wins, and
the change is named as a conflict.
"""

import json
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from typing import Any

import msgspec

from quilt_packager_runtime.formats.objects import SEPARATOR, Entry

Metadata = dict[str, Any]


class Choice(Enum):
    """The result of a merge at one key."""

    OURS = auto()
    THEIRS = auto()
    CONFLICT = auto()
    """Both have changed it, differently: ours wins, and theirs is named."""


class MergedMetadata(msgspec.Struct, frozen=True):
    """The metadata of a merged package.

    Attributes:
        metadata: The metadata.
        carried: Names of the fields that another writer has added, changed or removed.
        conflicts: Names of the fields whose change by another writer was lost.
    """

    metadata: Metadata | None
    carried: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


def is_same_entry(one: Entry | None, other: Entry | None) -> bool:
    """Return whether two entries have the same content and metadata.

    The same version of an object is the same content, even if its hashes have different types. The
    same content may have different physical keys: quilt3 copies objects into the registry.
    """
    if one is None or other is None:
        return one is other
    is_same_object = one.physical_key == other.physical_key and "?versionId=" in one.physical_key
    hashes = [(each.size_bytes, each.checksum.type, each.checksum.value) for each in (one, other)]
    return (is_same_object or hashes[0] == hashes[1]) and _is_same_json(one.meta, other.meta)


def choose(base: Entry | None, theirs: Entry | None, ours: Entry | None) -> Choice:
    """Merge one key whose entry another writer has added, changed or removed."""
    return _choose(
        is_agreed=is_same_entry(theirs, ours), is_source_unchanged=is_same_entry(base, ours)
    )


def merge_metadata(
    base: Metadata | None, theirs: Metadata | None, ours: Metadata | None
) -> MergedMetadata:
    """Merge the metadata of a package field by field.

    The fields of the source keep their order, and those of the other writer follow in theirs.

    Example:
        >>> merge_metadata({"run": 1}, {"run": 1, "approved_by": "A"}, {"run": 2}).metadata
        {'run': 2, 'approved_by': 'A'}
    """
    before, changed, now = base or {}, theirs or {}, ours or {}
    merged = dict(now)
    carried, conflicts = [], []
    for name in {**now, **changed, **before}:
        their_value = _field(changed, name)
        if their_value == _field(before, name):
            continue
        our_value = _field(now, name)
        choice = _choose(
            is_agreed=their_value == our_value,
            is_source_unchanged=our_value == _field(before, name),
        )
        if choice is Choice.CONFLICT:
            conflicts.append(name)
        elif choice is Choice.THEIRS:
            carried.append(name)
            if name in changed:
                merged[name] = changed[name]
            else:
                del merged[name]
    if not carried:
        return MergedMetadata(ours, (), tuple(conflicts))
    return MergedMetadata(merged, tuple(carried), tuple(conflicts))


def find_collisions(entries: Iterable[tuple[bytes, bool]]) -> Iterator[bytes]:
    """Yield the sort keys of carried entries that make a file of the source a folder, or reverse.

    Args:
        entries: Sort keys of the merged package in their order, and whether each was carried.
    """
    parents: list[tuple[bytes, bool]] = []
    for path, is_carried in entries:
        while parents and not path.startswith(parents[-1][0] + SEPARATOR):
            parents.pop()
        if parents and is_carried:
            yield path
            continue
        yield from (parent for parent, was_carried in parents if was_carried)
        parents = [each for each in parents if not each[1]]
        parents.append((path, is_carried))


def _choose(*, is_agreed: bool, is_source_unchanged: bool) -> Choice:
    if is_agreed:
        return Choice.OURS
    return Choice.THEIRS if is_source_unchanged else Choice.CONFLICT


def _is_same_json(one: Metadata, other: Metadata) -> bool:
    return one == other and _encode(one) == _encode(other)


def _field(metadata: Metadata, name: str) -> str | None:
    """Return a field as JSON, because 1, 1.0 and True are equal in Python; None without it."""
    return _encode(metadata[name]) if name in metadata else None


def _encode(value: object) -> str:
    return json.dumps(value, sort_keys=True)
