import io
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quilt_packager_runtime.errors import InvalidMetadata, ManifestLineTooLong
from quilt_packager_runtime.formats.manifest import Header, write_manifest
from quilt_packager_runtime.formats.objects import Checksum, Entry, sort_key

HEADER = Header(None, "First")


def entry(logical_key: str) -> Entry:
    return Entry(logical_key, "s3://b/k", 5, Checksum("CRC64NVME", "AAAAAAAAAAA="))


def written(header: Header, *keys: str) -> tuple[str, list[bytes]]:
    manifest = io.BytesIO()
    top_hash = write_manifest(header, map(entry, keys), manifest.write)
    return top_hash, manifest.getvalue().split(b"\n")


# A small alphabet around the separator makes keys that differ in the place that matters.
keys = st.text(st.sampled_from("\0\1a./-0") | st.characters(exclude_categories=["Cs"]))


@given(st.lists(keys))
def test_the_sort_key_orders_as_the_components_do(logical_keys: list[str]) -> None:
    expected = sorted(logical_keys, key=lambda key: key.split("/"))

    assert sorted(logical_keys, key=sort_key) == expected


@given(keys, keys)
def test_different_keys_have_different_sort_keys(one: str, other: str) -> None:
    assert (sort_key(one) == sort_key(other)) == (one == other)


def test_the_header_comes_first_in_quilt3s_order() -> None:
    _, lines = written(Header({"ä": 1}, "First", {"id": None, "config": "s3://r/c"}))

    assert lines == [
        '{"version": "v0", "user_meta": {"ä": 1}, '
        '"workflow": {"id": null, "config": "s3://r/c"}, "message": "First"}'.encode(),
        b"",
    ]


def test_an_entry_is_a_line_in_quilt3s_order() -> None:
    _, lines = written(HEADER, 'ä"\n\x7f.txt')

    assert lines[1:] == [
        '{"logical_key": "ä\\"\\n\x7f.txt", "physical_keys": ["s3://b/k"], "size": 5, "hash": '
        '{"type": "CRC64NVME", "value": "AAAAAAAAAAA="}, "meta": {}}'.encode(),
        b"",
    ]


def test_the_top_hash_is_not_of_physical_keys() -> None:
    one, other = (
        write_manifest(HEADER, [Entry("a", uri, 5, Checksum("SHA256", "ff"))], len)
        for uri in ("s3://b/a", "s3://c/d?versionId=e")
    )

    assert one == other


def test_the_top_hash_is_of_the_message() -> None:
    assert written(HEADER)[0] != written(Header(None, "Second"))[0]


def test_entries_out_of_order_are_rejected() -> None:
    for logical_keys in [["b", "a"], ["a", "a"], ["a-b", "a/b"], ["", ""]]:
        with pytest.raises(ValueError, match=r"entries are not in order: .* comes after "):
            written(HEADER, *logical_keys)


def test_order_is_checked_across_batches() -> None:
    logical_keys = [f"{number:04}" for number in range(1000)]

    with pytest.raises(ValueError, match='"0000" comes after "0999"'):
        written(HEADER, *logical_keys, "0000")


def test_entries_are_written_in_batches() -> None:
    asked = 0
    ahead: list[int] = []

    def entries() -> Iterator[Entry]:
        nonlocal asked
        for number in range(100_000):
            asked += 1
            yield entry(f"{number:06}")

    written_entries = 0

    def write(data: bytes) -> None:
        nonlocal written_entries
        written_entries += data.count(b"logical_key")
        ahead.append(asked - written_entries)

    write_manifest(HEADER, entries(), write)

    assert written_entries == 100_000
    assert max(ahead) <= 1000
    assert len(ahead) < 1000


def header_of(line_bytes: int, filler: str) -> Header:
    bare = len('{"version": "v0", "user_meta": {"k": ""}, "message": "First"}')
    room = line_bytes - bare
    width = len(filler.encode())
    return Header({"k": filler * (room // width) + "x" * (room % width)}, "First")


def test_a_header_of_a_million_bytes_is_written() -> None:
    for filler in ["x", "ä", "\U0001f9ec"]:
        _, lines = written(header_of(1_000_000, filler))
        assert len(lines[0]) == 1_000_000


def test_a_header_of_one_byte_more_is_rejected() -> None:
    for filler in ["x", "ä", "\U0001f9ec"]:
        with pytest.raises(ManifestLineTooLong, match=r"metadata and message has 1,000,001 bytes"):
            written(header_of(1_000_001, filler))


def key_of(line_bytes: int, filler: str) -> str:
    bare = len(written(HEADER, "")[1][1])
    room = line_bytes - bare
    width = len(json.dumps(filler, ensure_ascii=False).encode()) - 2
    return filler * (room // width) + "x" * (room % width)


def test_an_entry_of_a_million_bytes_is_written() -> None:
    for filler in ["x", '"', "\1", "ä", "\U0001f9ec"]:
        _, lines = written(HEADER, key_of(1_000_000, filler))
        assert len(lines[1]) == 1_000_000


def test_an_entry_of_one_byte_more_is_rejected() -> None:
    for filler in ["x", '"', "\1", "ä", "\U0001f9ec"]:
        with pytest.raises(ManifestLineTooLong, match=r"has 1,000,001 bytes"):
            written(HEADER, key_of(1_000_001, filler))


def test_the_longest_keys_of_s3_fit() -> None:
    for key in ['"' * 1024, "\1" * 1024, "\U0001f9ec" * 256]:
        _, lines = written(HEADER, key)
        assert json.loads(lines[1])["logical_key"] == key


nested: dict[str, object] = {}
for _ in range(100_000):
    nested = {"n": nested}


def test_a_header_that_json_cannot_represent_is_rejected() -> None:
    for header in [
        Header({"k": float("nan")}, "m"),
        Header({"k": float("inf")}, "m"),
        Header({"k": "\ud800"}, "m"),
        Header(None, "\ud800"),
        Header({"k": 10**5000}, "m"),
        Header({"k": nested}, "m"),
    ]:
        with pytest.raises(InvalidMetadata, match="cannot be written as JSON"):
            written(header)
