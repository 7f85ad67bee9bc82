import io
from typing import Any

import pytest
import quilt3
from hypothesis import example, given
from hypothesis import strategies as st
from quilt3.packages import PackageEntry
from quilt3.util import PhysicalKey, QuiltException
from quilt_packager_runtime.errors import ManifestLineTooLong
from quilt_packager_runtime.formats.manifest import Header, write_manifest
from quilt_packager_runtime.formats.manifest_lines import TopHasher, decode_entries
from quilt_packager_runtime.formats.objects import Checksum, Entry, S3Uri, sort_key

# Every character that UTF-8 can carry, and more often those that encoders disagree about.
characters = st.sampled_from("\x01\n\"\\/ #?%+\x7f\x80ä\u0301\u2028\ufeff\U0001f9ec'<&") | (
    st.characters(exclude_categories=["Cs"])
)
components = (
    st.text(characters, min_size=1, max_size=8)
    .map(lambda text: text.replace("/", "_"))
    .filter(lambda text: text not in {".", ".."})
)
logical_keys = st.lists(components, min_size=1, max_size=4).map("/".join)
texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda children: st.lists(children) | st.dictionaries(texts, children),
    max_leaves=8,
)
metadata = st.none() | st.dictionaries(texts, values, max_size=5)
workflows = st.none() | st.fixed_dictionaries(
    {"id": st.none() | texts, "config": texts}, optional={"schemas": st.dictionaries(texts, texts)}
)
headers = st.builds(Header, metadata, texts, workflows)
checksums = st.builds(
    Checksum,
    st.sampled_from(["sha2-256-chunked", "CRC64NVME", "SHA256"]),
    st.text("ABCxyz019+/=", max_size=44),
)
entries = st.builds(
    lambda key, bucket, version, size, checksum, metadata: Entry(
        key, str(S3Uri(bucket, "d/" + key, version)), size, checksum, metadata
    ),
    logical_keys,
    st.sampled_from(["b", "my-bucket.1"]),
    st.none() | st.text("aZ09._-", min_size=1),
    st.integers(min_value=0, max_value=2**60),
    checksums,
    st.none() | st.dictionaries(texts, values, min_size=1, max_size=3),
)


def keeps_out_of_others_way(entries: list[Entry]) -> bool:
    folders = {
        key[:index]
        for key in (entry.logical_key for entry in entries)
        for index, character in enumerate(key)
        if character == "/"
    }
    return folders.isdisjoint(entry.logical_key for entry in entries)


packages = st.lists(entries, max_size=8, unique_by=lambda entry: entry.logical_key).filter(
    keeps_out_of_others_way
)


def quilt3_package(header: Header, entries: list[Entry]) -> Any:
    package = quilt3.Package()
    for entry in entries:
        checksum = {"type": entry.checksum.type, "value": entry.checksum.value}
        uri = PhysicalKey.from_url(entry.physical_key)
        meta = {"user_meta": entry.metadata} if entry.metadata else None
        package.set(entry.logical_key, PackageEntry(uri, entry.size_bytes, checksum, meta))
    package.set_meta(header.user_meta)
    # What push does after its checks.
    package._workflow = header.workflow
    package._set_commit_message(header.message)
    return package


def ours(header: Header, entries: list[Entry]) -> tuple[str, bytes]:
    manifest = io.BytesIO()
    ordered = sorted(entries, key=lambda entry: sort_key(entry.logical_key))
    top_hash = write_manifest(header, ordered, manifest.write)
    return top_hash, manifest.getvalue()


def quilt3s(package: Any) -> tuple[str, bytes]:
    manifest = io.BytesIO()
    package.dump(manifest)
    return package.top_hash, manifest.getvalue()


def reread(manifest: bytes) -> str:
    """The top hash of a manifest's lines."""
    first, *lines = manifest.split(b"\n")
    hasher = TopHasher(first)
    for _, entry, _ in decode_entries(lines):
        hasher.add(entry)
    return hasher.top_hash()


@given(headers, packages)
@example(Header({"x": 1e-07, "y": 10**30, "\x7f": "\u2028"}, "\x7f"), [])
def test_bytes_and_top_hash_are_quilt3s(header: Header, package: list[Entry]) -> None:
    top_hash, manifest = ours(header, package)
    assert (top_hash, manifest) == quilt3s(quilt3_package(header, package))
    assert reread(manifest) == top_hash


@given(headers, packages)
def test_quilt3_reads_what_we_wrote(header: Header, package: list[Entry]) -> None:
    top_hash, manifest = ours(header, package)

    loaded = quilt3.Package.load(io.StringIO(manifest.decode(), newline="\n"))

    assert loaded.top_hash == top_hash
    assert loaded.meta == header.user_meta
    assert {
        key: (str(entry.physical_key), entry.size, entry.hash, entry.meta)
        for key, entry in loaded.walk()
    } == {
        entry.logical_key: (
            entry.physical_key,
            entry.size_bytes,
            {"type": entry.checksum.type, "value": entry.checksum.value},
            entry.metadata or {},
        )
        for entry in package
    }


def test_more_entries_than_one_batch_are_quilt3s() -> None:
    package = [
        Entry(f"{n % 7}/é{n}", f"s3://b/{n}", n, Checksum("CRC64NVME", "AAAAAAAAAAA="))
        for n in range(2500)
    ]

    assert ours(Header(None, "m"), package) == quilt3s(quilt3_package(Header(None, "m"), package))


@pytest.mark.parametrize("size_bytes", [1_000_000, 1_000_001])
def test_quilt3_draws_the_same_line_for_long_lines(size_bytes: int) -> None:
    bare = len(ours(Header({"k": ""}, "m"), [])[1]) - 1
    header = Header({"k": "ä" + "x" * (size_bytes - bare - 2)}, "m")

    if size_bytes == 1_000_000:
        assert ours(header, []) == quilt3s(quilt3_package(header, []))
        return
    with pytest.raises(QuiltException, match="1000001 bytes"):
        quilt3s(quilt3_package(header, []))
    with pytest.raises(ManifestLineTooLong):
        ours(header, [])
