"""The places of a crate's parts, by their ids, and the logical keys of parts elsewhere."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from enum import Enum
from functools import partial
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


def name_apart(parts: Iterable[S3Uri], taken: Iterable[str]) -> dict[S3Uri, str]:
    """Name objects by their basenames, or by the shortest ends of their paths that differ.

    Args:
        parts: The objects.
        taken: Paths that are neither names nor below them.

    Example:
        >>> first, second = S3Uri("b", "s1/R1.fq"), S3Uri("b", "s2/R1.fq")
        >>> sorted(name_apart([first, second], []).values())
        ['s1/R1.fq', 's2/R1.fq']
        >>> name_apart([first], ["R1.fq/index"]).values()
        dict_values(['s1/R1.fq'])
    """
    by_basename: dict[str, list[S3Uri]] = {}
    for each in parts:
        by_basename.setdefault(each.key.rpartition("/")[2], []).append(each)
    paths = sorted(taken)
    found: dict[S3Uri, str] = {}
    for same in by_basename.values():
        longest = max(each.key.count("/") for each in same) + 2
        shortest = 1 + bisect_left(range(1, longest), x=True, key=partial(_differ, same))
        for length in range(shortest, longest + 1):
            names = [_end(each, length) for each in same]
            if not any(_is_taken(each, paths) for each in names):
                break
        found |= zip(same, names, strict=True)
    return found


def _differ(parts: list[S3Uri], length: int) -> bool:
    return len({_end(each, length) for each in parts}) == len(parts)


def _end(part: S3Uri, length: int) -> str:
    """Return the last components of an object's path, whose first is the bucket."""
    return "/".join(f"{part.bucket}/{part.key}".rsplit("/", length)[-length:])


def _is_taken(name: str, paths: list[str]) -> bool:
    """Return whether one of the sorted paths is a name, or is below it."""
    at = bisect_left(paths, name)
    if paths[at : at + 1] == [name]:
        return True
    at = bisect_left(paths, f"{name}/", lo=at)
    return at < len(paths) and paths[at].startswith(f"{name}/")


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
