"""The three-way merge: a change of another writer is kept, or named."""

import asyncio
from base64 import b64encode
from collections.abc import Iterator, Mapping
from itertools import combinations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from quilt_packager_runtime.errors import Samples, quote
from quilt_packager_runtime.formats.manifest import Header, write_manifest
from quilt_packager_runtime.formats.objects import Checksum, Entry, sort_key
from quilt_packager_runtime.merging.changes import Changes
from quilt_packager_runtime.merging.three_way import is_same_entry, merge_metadata

Package = Mapping[str, Entry]


def entry_of(key: str, content: int, tag: str = "", bucket: str = "raw") -> Entry:
    checksum = Checksum("CRC64NVME", b64encode(content.to_bytes(8)).decode())
    return Entry(key, f"s3://{bucket}/{key}", content, checksum, {"tag": tag} if tag else None)


def is_tree(keys: list[str]) -> bool:
    return not any(
        one.startswith(f"{other}/") or other.startswith(f"{one}/")
        for one, other in combinations(keys, 2)
    )


KEYS = st.lists(
    st.sampled_from(["a", "a/b", "a/b/c", "a-b", "b", "c/d", "ä/é"]), unique=True
).filter(is_tree)


@st.composite
def packages(draw: st.DrawFn, bucket: str = "raw") -> Package:
    contents, tags = st.integers(0, 2), st.sampled_from(["", "", "new"])
    keys = draw(KEYS)
    return {key: entry_of(key, draw(contents), draw(tags), bucket) for key in keys}


def entries_of(package: Package) -> list[Entry]:
    return [package[key] for key in sorted(package, key=sort_key)]


def lines_of(package: Package) -> list[bytes]:
    data: list[bytes] = []
    write_manifest(Header(None, "m"), entries_of(package), data.append)
    return b"".join(data).splitlines()[1:]


def merge(base: Package, theirs: Package, ours: Package) -> tuple[dict[str, Entry], str]:
    """Merge packages, and return the result and the conflicts."""

    async def run(changes: Changes) -> str:
        conflicts = Samples()
        await changes.resolve(entries_of(ours), conflicts=conflicts, removed=Samples())
        await changes.drop_collisions(entries_of(ours), conflicts)
        return str(conflicts)

    with Changes() as changes:
        changes.add_theirs(reversed(lines_of(theirs)))  # other programs may not sort
        changes.subtract_base(lines_of(base))
        conflicts = asyncio.run(run(changes))
        merged = list(changes.merge(entries_of(ours)))
    assert merged == sorted(merged, key=lambda entry: sort_key(entry.logical_key))
    return {entry.logical_key: entry for entry in merged}, conflicts


def keys_of(*packages: Package) -> Iterator[str]:
    return iter({key: None for package in packages for key in package})


THREE = (packages(), packages("elsewhere"), packages())


@given(*THREE)
def test_a_change_of_another_writer_is_kept_or_named(
    base: Package, theirs: Package, ours: Package
) -> None:
    merged, conflicts = merge(base, theirs, ours)
    assert is_tree(list(merged))
    for key in keys_of(base, theirs, ours):
        before, changed, now = base.get(key), theirs.get(key), ours.get(key)
        if is_same_entry(before, changed) or is_same_entry(changed, now):
            assert merged.get(key) == now
        elif is_same_entry(before, now):
            assert merged.get(key) == changed or quote(key) in conflicts
        else:
            assert merged.get(key) == now
            assert quote(key) in conflicts


@given(*THREE)
def test_what_was_carried_is_a_change_again(base: Package, theirs: Package, ours: Package) -> None:
    merged, _ = merge(base, theirs, ours)
    assert merge(ours, merged, ours) == (merged, "")


@given(*THREE, packages())
def test_what_was_carried_stays_while_its_source_does(
    base: Package, theirs: Package, ours: Package, later: Package
) -> None:
    merged, _ = merge(base, theirs, ours)
    again, conflicts = merge(ours, merged, later)
    for key in keys_of(merged, ours, later):
        is_carried = not is_same_entry(merged.get(key), ours.get(key))
        if is_carried and is_same_entry(ours.get(key), later.get(key)):
            assert again.get(key) == merged.get(key) or quote(key) in conflicts


@given(packages(), packages())
def test_without_a_change_of_another_writer_the_package_is_the_folder(
    base: Package, ours: Package
) -> None:
    moved = {
        key: msgspec.structs.replace(entry, physical_key=f"s3://copies/{key}")
        for key, entry in base.items()
    }
    assert merge(base, moved, ours) == (dict(ours), "")


METADATA = st.dictionaries(
    st.sampled_from("abc"), st.sampled_from([None, 1, True, 1.0, "x", [1], {"y": 1}, {"y": True}])
)


@given(METADATA, METADATA, METADATA)
def test_fields_of_metadata_merge_like_entries(
    base: dict[str, object], theirs: dict[str, object], ours: dict[str, object]
) -> None:
    def json_of(metadata: dict[str, object], name: str) -> bytes | None:
        return msgspec.json.encode(metadata[name]) if name in metadata else None

    merged = merge_metadata(base, theirs, ours)
    assert merged.metadata is not None
    for name in "abc":
        before, changed, now = (json_of(each, name) for each in (base, theirs, ours))
        is_theirs = before == now != changed
        assert json_of(merged.metadata, name) == (changed if is_theirs else now)
        assert (name in merged.carried) == is_theirs
        assert (name in merged.conflicts) == (before != changed != now and before != now)
    assert merge_metadata(ours, merged.metadata, ours).metadata == merged.metadata


def test_the_same_version_of_an_object_is_the_same_content_under_any_hash() -> None:
    entry = Entry("a", "s3://raw/a?versionId=v1", 1, Checksum("CRC64NVME", "x"))
    other = msgspec.structs.replace(entry, checksum=Checksum("SHA256", "y"))
    assert is_same_entry(entry, other)
    assert not is_same_entry(entry, msgspec.structs.replace(other, physical_key="s3://raw/a"))
