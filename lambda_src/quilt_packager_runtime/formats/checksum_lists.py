"""Checksum lists that senders put beside their files, such as `md5sum.txt`.

Formats: GNU coreutils and BSD, the manifests of BagIt, and a lone digest in a list for one file.
"""

import posixpath
import re
from collections.abc import Iterator
from io import BytesIO
from typing import Literal, TypeAlias

import msgspec

from quilt_packager_runtime.formats.globs import check_globs
from quilt_packager_runtime.formats.objects import MAX_KEY_BYTES

VerifyChecksums: TypeAlias = Literal["auto"] | tuple[str, ...] | bool
"""Lists to check a folder against: those with usual names, those that match globs, or False."""

MAX_LINE_BYTES = 2 * MAX_KEY_BYTES + 256
"""Maximum size of a line: a key with each character escaped, a digest, and the name of its
algorithm."""

ALGORITHM_BY_LENGTH = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}
"""Names in `hashlib`, by the number of hexadecimal digits."""

_BSD_NAMES = {
    "MD5": "md5",
    "SHA1": "sha1",
    "SHA256": "sha256",
    "SHA2-256": "sha256",
    "SHA512": "sha512",
    "SHA2-512": "sha512",
}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_GNU = re.compile(r"(?P<escaped>\\?)(?P<digest>[0-9A-Fa-f]+)(?: [ *]|\s+)(?P<path>.+)", re.DOTALL)
_BAGIT = re.compile(r"(?P<escaped>)(?P<digest>[0-9A-Fa-f]+)\s+\*?(?P<path>.+)", re.DOTALL)
_BSD = re.compile(
    r"(?P<escaped>\\?)(?P<algorithm>[0-9A-Z-]+) ?\((?P<path>.+)\) ?= ?(?P<digest>[0-9A-Fa-f]+)",
    re.DOTALL,
)
_LONE = re.compile(r"(?P<digest>[0-9A-Fa-f]+)\s*")
_ESCAPE = re.compile(r"\\(.?)", re.DOTALL)
_ESCAPED = {"\\": "\\", "n": "\n", "r": "\r"}
_BAGIT_ESCAPE = re.compile("%(0A|0D|25)", re.IGNORECASE)
_BAGIT_NAME = re.compile(r"(?:tag)?manifest-(?:md5|sha1|sha256|sha512)\.txt", re.IGNORECASE)
_NAME = re.compile(
    r"(?:md5|sha256)sums?(?:\.txt)?|checksums\.txt|.+\.(?:md5|sha256)|" + _BAGIT_NAME.pattern,
    re.IGNORECASE,
)
_SIDECAR = re.compile(r"(.+)\.(?:md5|sha1|sha256|sha512)", re.IGNORECASE)
_ENDINGS = ("md5", "sums", "sum", ".txt", "sha256")


class ListedChecksum(msgspec.Struct, frozen=True, gc=False):
    """A line of a checksum list.

    Attributes:
        path: Path of the file, as the list has it; empty for a lone digest.
        algorithm: Name of the algorithm in `hashlib`.
        digest: Digest of the file's bytes.
    """

    path: str
    algorithm: str
    digest: bytes


def check_verify_checksums(value: VerifyChecksums | list[str]) -> VerifyChecksums:
    """Return the value of the option `verify_checksums`.

    Raises:
        ValueError: It is not "auto", globs or False.

    Example:
        >>> check_verify_checksums("auto"), check_verify_checksums(["*.md5"])
        ('auto', ('*.md5',))
    """
    if value is False or value == "auto":
        return value
    if not isinstance(value, list | tuple) or not value:
        raise ValueError('it is "auto", a list of globs, or false')
    return check_globs(value)


def is_checksum_list(key: str) -> bool:
    """Return whether the name of an object is one that checksum lists have.

    Example:
        >>> [is_checksum_list(key) for key in ("a/MD5SUMS", "b.bam.md5", "manifest-sha256.txt")]
        [True, True, True]
        >>> is_checksum_list("a/readme.txt")
        False
    """
    name = key.rpartition("/")[2]
    # Few of a million names pass the first test, which costs a fifth of the second.
    return name[-6:].lower().endswith(_ENDINGS) and _NAME.fullmatch(name) is not None


def read_checksum_list(data: bytes, key: str) -> Iterator[ListedChecksum | None]:
    r"""Yield the checksums of a list; None for a line that is none.

    Empty lines and comments are left out.

    Args:
        data: Content of the list.
        key: Key of the list, whose name shows a manifest of BagIt.

    Example:
        >>> data = b"d41d8cd98f00b204e9800998ecf8427e  a.txt\r\nMD5 (b) = d41d\n"
        >>> [line and line.path for line in read_checksum_list(data, "md5sum.txt")]
        ['a.txt', None]
    """
    is_bagit = _BAGIT_NAME.fullmatch(key.rpartition("/")[2]) is not None
    for line in BytesIO(data.removeprefix(_BYTE_ORDER_MARK)):
        line = line.removesuffix(b"\n").removesuffix(b"\r")  # noqa: PLW2901 - the same line
        if line.strip() and not line.startswith((b"#", b";")):
            yield _parse(line, is_bagit=is_bagit) if len(line) <= MAX_LINE_BYTES else None


def path_in_package(listed: str, key: str) -> str | None:
    """Return the logical key of a listed path, which is relative to the folder of its list.

    Args:
        listed: Path in the list.
        key: Logical key of the list.

    Returns:
        None for a path outside of the package.

    Example:
        >>> path_in_package("./data/../a.txt", "run/md5sum.txt")
        'run/a.txt'
        >>> path_in_package("../../a.txt", "run/md5sum.txt") is None
        True
    """
    path = posixpath.normpath(posixpath.join(posixpath.dirname(key), listed))
    return None if path.startswith(("/", "../")) or path in {".", ".."} else path


def described_file(key: str, paths: list[str]) -> str | None:
    """Return the logical key of the file that a list is about by its name: `a.bam` for `a.bam.md5`.

    Args:
        key: Logical key of the list.
        paths: Paths in the list.

    Returns:
        None if the list has several lines, or one about a file of another name.

    Example:
        >>> described_file("run/a.bam.md5", ["/scratch/a.bam"]), described_file("a.md5", [""])
        ('run/a.bam', 'a')
    """
    match = _SIDECAR.fullmatch(key)
    if match is None or len(paths) != 1:
        return None
    return match[1] if posixpath.basename(paths[0]) in {"", posixpath.basename(match[1])} else None


def _parse(line: bytes, *, is_bagit: bool) -> ListedChecksum | None:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return None
    if (lone := _LONE.fullmatch(text)) is not None:
        return _listed("", lone["digest"])
    match = (_BAGIT if is_bagit else _GNU).fullmatch(text) or _BSD.fullmatch(text)
    if match is None:
        return None
    path: str = match["path"]
    if is_bagit:
        path = _BAGIT_ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), path)
    elif match["escaped"]:
        if any(character not in _ESCAPED for character in _ESCAPE.findall(path)):
            return None
        path = _ESCAPE.sub(lambda escape: _ESCAPED[escape[1]], path)
    listed = _listed(path, match["digest"])
    if match.re is _BSD and listed and listed.algorithm != _BSD_NAMES.get(match["algorithm"]):
        return None
    return listed


def _listed(path: str, digits: str) -> ListedChecksum | None:
    algorithm = ALGORITHM_BY_LENGTH.get(len(digits))
    return ListedChecksum(path, algorithm, bytes.fromhex(digits)) if algorithm else None
