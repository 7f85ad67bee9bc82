"""The places of a crate's parts, by their ids, and the logical keys of parts elsewhere."""

import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from enum import Enum
from urllib.parse import unquote

from quilt_packager_runtime.formats.names import check_bucket, check_key
from quilt_packager_runtime.formats.objects import REGISTRY_PREFIX, S3Uri

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class Place(Enum):
    """The place of a part that is no object and no folder below the crate's."""

    WEB = "a part on the web, which no package holds"
    GROUP = "a data set without a folder: its parts count"
    ROOT = "the crate's folder itself"


class Elsewhere(ValueError):
    """The part is neither in the crate's folder nor in S3."""


def name_apart(parts: Iterable[S3Uri], taken: AbstractSet[str]) -> dict[S3Uri, str]:
    """Name objects by their basenames, or by the shortest ends of their paths that differ.

    Example:
        >>> first, second = S3Uri("b", "s1/R1.fq"), S3Uri("b", "s2/R1.fq")
        >>> sorted(name_apart([first, second], set()).values())
        ['s1/R1.fq', 's2/R1.fq']
    """
    by_basename: dict[str, dict[S3Uri, list[str]]] = {}
    for each in parts:
        path = [each.bucket, *each.key.split("/")]
        by_basename.setdefault(path[-1], {})[each] = path
    found: dict[S3Uri, str] = {}
    for paths in by_basename.values():
        for length in range(1, max(map(len, paths.values())) + 1):
            names = {each: "/".join(path[-length:]) for each, path in paths.items()}
            if len(set(names.values())) == len(names) and taken.isdisjoint(names.values()):
                break
        found |= names
    return found


def parents(uri: S3Uri) -> Iterator[S3Uri]:
    """Return the folders of an object, without their trailing slashes."""
    return (S3Uri(uri.bucket, uri.key[: slash.start()]) for slash in re.finditer("/", uri.key))


def locate(name: str, crate: S3Uri, *, is_data_set: bool) -> str | S3Uri | Place:
    """Find a part: its path in the folder of its crate, or its place in S3.

    Raises:
        Elsewhere: It is neither.
        ValueError: The id breaks a rule.
    """
    if not name:
        raise ValueError("it has no id")
    if name.startswith(("http:", "https:")):
        return Place.WEB
    if is_data_set and name.startswith(("#", "_:")):
        return Place.GROUP
    if "#" in name:
        raise ValueError("it has a #, which is %23 in the name of a file")
    if name.startswith("s3:"):
        return _locate_in_s3(name, crate)
    return _locate_below(name)


def _locate_below(name: str) -> str | Place:
    if _SCHEME.match(name) or name.startswith("/"):
        raise Elsewhere("its id is not relative to the crate's folder")
    if "?" in name:
        raise ValueError("it has a ?, which is %3F in the name of a file")
    try:
        path = unquote(name, errors="strict")
        path.encode()
    except ValueError:
        raise ValueError("its id is not UTF-8") from None
    path = check_key(path.removeprefix("./").removesuffix("/"))
    if not path or path == ".":
        return Place.ROOT
    components = path.split("/")
    if components[0] == "..":
        raise Elsewhere("it is outside of the crate's folder")
    if not {"", ".", ".."}.isdisjoint(components):
        raise ValueError("it has an empty component, or one of dots")
    return path


def _locate_in_s3(name: str, crate: S3Uri) -> str | S3Uri | Place:
    try:
        uri = S3Uri.parse(name)
        uri.key.encode()
    except UnicodeError:
        raise ValueError("its id is not UTF-8") from None
    key = check_key(uri.key).removesuffix("/")
    if not key:
        raise ValueError("it is a whole bucket")
    check_bucket(uri.bucket)
    folder, _, base = key.rpartition("/")
    crate_folder, _, _ = crate.key.rpartition("/")
    if base in {"", ".", ".."}:
        raise ValueError("it has an empty component, or one of dots")
    if uri.version_id is None and (uri.bucket, folder) == (crate.bucket, crate_folder):
        return base
    if (uri.bucket, key) == (crate.bucket, crate_folder):
        return Place.ROOT
    if key.startswith(REGISTRY_PREFIX):
        raise ValueError(f"{REGISTRY_PREFIX} holds the registry itself, which is never packaged")
    if not {"", ".", ".."}.isdisjoint(key.split("/")):
        raise ValueError("it has an empty component, or one of dots")
    return S3Uri(uri.bucket, key, uri.version_id)
