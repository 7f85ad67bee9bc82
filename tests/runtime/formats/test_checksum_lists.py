"""Checksum lists of senders: what GNU, BSD and BagIt write is read as it was meant."""

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quilt_packager_runtime.formats.checksum_lists import (
    MAX_LINE_BYTES,
    ListedChecksum,
    described_file,
    is_checksum_list,
    path_in_package,
    read_checksum_list,
)
from quilt_packager_runtime.formats.objects import MAX_KEY_BYTES

EMPTY_MD5 = hashlib.md5(b"", usedforsecurity=False).hexdigest()
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
ALGORITHMS = ["md5", "sha1", "sha256", "sha512"]

Case: TypeAlias = Callable[[str], str]

names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=50
).filter(str.strip)  # a name of spaces only cannot be distinguished from none
listed = st.builds(
    lambda name, algorithm, data: ListedChecksum(
        name, algorithm, hashlib.new(algorithm, data).digest()
    ),
    names,
    st.sampled_from(ALGORITHMS),
    st.binary(max_size=4),
)


ends = st.sampled_from(["\n", "\r\n"])
cases = st.sampled_from([str.lower, str.upper])


def read(text: str | bytes, key: str = "md5sum.txt") -> list[ListedChecksum | None]:
    return list(read_checksum_list(text.encode() if isinstance(text, str) else text, key))


def paths(text: str | bytes, key: str = "md5sum.txt") -> list[str | None]:
    return [line.path if line else None for line in read(text, key)]


def escaped(name: str) -> tuple[str, str]:
    """A name as coreutils writes it, and the mark at the start of its line."""
    text = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return text, "\\" if text != name else ""


def gnu(line: ListedChecksum, mode: str, case: Case) -> str:
    name, mark = escaped(line.path)
    return f"{mark}{case(line.digest.hex())} {mode}{name}"


def bsd(line: ListedChecksum, case: Case) -> str:
    name, mark = escaped(line.path)
    return f"{mark}{line.algorithm.upper()} ({name}) = {case(line.digest.hex())}"


def bagit(line: ListedChecksum) -> str:
    name = line.path.replace("%", "%25").replace("\n", "%0A").replace("\r", "%0D")
    return f"{line.digest.hex()}  {name}"


@given(lines=st.lists(listed, max_size=5), mode=st.sampled_from(" *"), end=ends, case=cases)
def test_gnu_lines_are_read_as_written(
    lines: list[ListedChecksum], mode: str, end: str, case: Case
) -> None:
    assert read("".join(gnu(line, mode, case) + end for line in lines)) == lines


@given(lines=st.lists(listed, max_size=5), end=ends, case=cases)
def test_bsd_lines_are_read_as_written(lines: list[ListedChecksum], end: str, case: Case) -> None:
    assert read(end.join(bsd(line, case) for line in lines), "checksums.txt") == lines


@given(listed.filter(lambda line: line.path.lstrip() == line.path and line.path[0] != "*"))
def test_manifests_of_bagit_are_read_as_written(line: ListedChecksum) -> None:
    assert read(bagit(line), f"manifest-{line.algorithm}.txt") == [line]


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_an_error(data: bytes) -> None:
    assert len(read(data)) <= data.count(b"\n") + 1


@pytest.mark.parametrize("options", [(), ("--tag",), ("--binary",)])
def test_lists_of_coreutils_are_read(tmp_path: Path, options: tuple[str, ...]) -> None:
    program = shutil.which("sha256sum")
    if program is None or "GNU" not in subprocess.check_output([program, "--version"], text=True):
        pytest.skip("sha256sum of GNU coreutils is not installed")
    files = ["a b.txt", "back\\slash", "new\nline", "-dash", "(x) = y", "ä.txt"]
    for file in files:
        (tmp_path / file).write_text(file, encoding="utf-8")
    data = subprocess.check_output([program, *options, "--", *files], cwd=tmp_path)
    expected = [
        ListedChecksum(file, "sha256", hashlib.sha256(file.encode()).digest()) for file in files
    ]
    assert read(data) == expected


def test_a_byte_order_mark_comments_and_empty_lines_are_left_out() -> None:
    assert paths(f"\ufeff{EMPTY_MD5}  a\n\n# by hand\n; by cfv\n{EMPTY_MD5} *b\n") == ["a", "b"]


def test_one_space_or_a_tab_may_separate_the_name() -> None:
    assert paths(f"{EMPTY_MD5} a\n{EMPTY_MD5}\tb\n") == ["a", "b"]


@pytest.mark.parametrize("end", ["", "\n", " \r\n"])
def test_a_lone_digest_has_no_path(end: str) -> None:
    assert paths(EMPTY_MD5 + end, "a.bam.md5") == [""]


@pytest.mark.parametrize("line", ["MD5(a)= {}", "MD5 (a) = {}"])
def test_lines_of_openssl_and_bsd_are_read(line: str) -> None:
    assert paths(line.format(EMPTY_MD5)) == ["a"]


@pytest.mark.parametrize(
    "line",
    [
        "hello world",
        "123456 42 a.txt",
        f"{EMPTY_MD5[:-1]}  a",
        f"SHA256 (a) = {EMPTY_MD5}",
        f"WHIRLPOOL (a) = {EMPTY_MD5}",
        f"\\{EMPTY_MD5}  a\\t",
        f"\\{EMPTY_MD5}  a\\",
    ],
)
def test_other_lines_are_counted(line: str) -> None:
    assert read(line) == [None]


def test_lines_that_are_not_utf_8_are_counted() -> None:
    assert read(EMPTY_MD5.encode() + b"  \xff") == [None]


def test_the_longest_key_with_all_characters_escaped_is_read() -> None:
    assert paths(f"\\SHA2-256 ({2 * MAX_KEY_BYTES * chr(92)}) = {EMPTY_SHA256}") == [
        MAX_KEY_BYTES * "\\"
    ]


def test_longer_lines_are_counted() -> None:
    assert read(f"{EMPTY_MD5}  {MAX_LINE_BYTES * 'a'}") == [None]


@pytest.mark.parametrize(
    "key",
    [
        "md5sum.txt",
        "a/MD5SUMS",
        "x.bam.md5",
        "x.MD5",
        "checksums.txt",
        "SHA256SUMS",
        "x.sha256",
        "manifest-sha512.txt",
        "tagmanifest-md5.txt",
    ],
)
def test_lists_are_recognised_by_their_names(key: str) -> None:
    assert is_checksum_list(key)


@pytest.mark.parametrize("key", ["manifest-v2.txt", "readme.txt", ".md5", "md5/a", "md5sum.txt/a"])
def test_other_names_are_not_recognised(key: str) -> None:
    assert not is_checksum_list(key)


@pytest.mark.parametrize(
    ("path", "key", "expected"),
    [
        ("a", "md5sum.txt", "a"),
        ("./a/./b", "md5sum.txt", "a/b"),
        ("a", "x/md5sum.txt", "x/a"),
        ("../a", "x/md5sum.txt", "a"),
        ("../a", "md5sum.txt", None),
        ("..", "md5sum.txt", None),
        ("/data/a", "md5sum.txt", None),
        (".", "md5sum.txt", None),
        ("..a", "md5sum.txt", "..a"),
    ],
)
def test_paths_are_relative_to_their_list(path: str, key: str, expected: str | None) -> None:
    assert path_in_package(path, key) == expected


@pytest.mark.parametrize(
    ("key", "listed_paths", "expected"),
    [
        ("x/a.bam.md5", [""], "x/a.bam"),
        ("x/a.bam.sha256", ["/scratch/1/a.bam"], "x/a.bam"),
        ("x/a.bam.md5", ["b.bam"], None),
        ("x/a.bam.md5", ["a.bam", "b.bam"], None),
        ("md5sum.txt", [""], None),
    ],
)
def test_a_list_for_one_file_is_about_the_file_beside_it(
    key: str, listed_paths: list[str], expected: str | None
) -> None:
    assert described_file(key, listed_paths) == expected
