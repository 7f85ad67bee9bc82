"""The parts of a crate: the objects that it lists as the contents of its package."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from enum import Enum
from itertools import accumulate
from typing import Any
from urllib.parse import unquote

import msgspec

from quilt_packager_runtime.errors import quote
from quilt_packager_runtime.formats.json_documents import check_depth, check_metadata
from quilt_packager_runtime.formats.names import check_bucket, check_key
from quilt_packager_runtime.formats.objects import REGISTRY_PREFIX, S3Uri, Source
from quilt_packager_runtime.requests.ro_crates import Entity, Graph, Number, id_of, read_number

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_FILE_TYPES = frozenset({"File", "MediaObject"})
_OWN_FIELDS = frozenset({"@id", "@type", "name"})
"""Properties that are no metadata of a file: the package has its name already."""


MAX_PARTS_ELSEWHERE = 20_000
"""Maximum number of parts outside of the crate's folder. Each takes a request in each pass."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a crate.

    Attributes:
        files: Paths of files below the crate's folder.
        folders: Paths of folders below the crate's folder, without the trailing slash.
        sources: Files and folders elsewhere in S3.
        metadata: Metadata of files, by their logical keys.
        elsewhere: Ids of parts that no package can hold, each with the reason.
        crate_version: Version of the crate itself that it lists; None for none.
        violations: Parts that break a rule, each with the rule.
    """

    files: frozenset[str]
    folders: frozenset[str]
    sources: tuple[Source, ...]
    metadata: dict[str, dict[str, Any]]
    elsewhere: dict[str, str]
    crate_version: str | None
    violations: tuple[str, ...]


class _Place(Enum):
    WEB = "a part on the web, which no package holds"
    GROUP = "a data set without a folder: its parts count"
    ROOT = "the crate's folder itself"


class _Elsewhere(ValueError):
    """The part is neither in the crate's folder nor in S3."""


def read_parts(graph: Graph, crate: S3Uri) -> Parts:
    """Collect the parts of the root, and of the data sets among them.

    Args:
        graph: The crate.
        crate: The location of the crate.
    """
    return _Collector(graph, crate).collect()


class _Collector:
    def __init__(self, graph: Graph, crate: S3Uri) -> None:
        self._graph = graph
        self._crate = crate
        self._name = crate.key.rpartition("/")[2]
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._metadata: dict[str, dict[str, Any]] = {}
        self._elsewhere: dict[str, str] = {}
        self._far_files: dict[S3Uri, list[Entity]] = {}
        self._far_folders: set[S3Uri] = set()
        self._names: dict[S3Uri, str] = {}
        self._crate_version: str | None = None
        self._violations: dict[str, None] = {}

    def collect(self) -> Parts:
        waiting = [self._graph.root]
        taken: set[str] = set()
        while waiting:
            for part in self._graph.parts(waiting.pop()):
                name = id_of(part)
                if name not in taken:
                    taken.add(name)
                    if self._take(part, name):
                        waiting.append(part)
        self._name_far_parts()
        for part in self._graph.entities():
            self._describe_below(part)
        for path in sorted(self._files & self._folders):
            self._violate(path, "it is both a file and a folder")
        has_parts = self._files or self._folders or self._names or self._elsewhere
        if not (has_parts or self._violations):
            self._violations["the root has no part that a package can hold"] = None
        return Parts(
            files=frozenset(self._files),
            folders=frozenset(self._folders),
            sources=tuple(self._source(uri, name) for uri, name in self._names.items()),
            metadata=self._metadata,
            elsewhere=self._elsewhere,
            crate_version=self._crate_version,
            violations=tuple(self._violations),
        )

    def _take(self, part: Entity, name: str) -> bool:
        """Take a part, and return whether its own parts are parts too."""
        is_data_set = "Dataset" in part.types
        try:
            place = _locate(name, self._crate, is_data_set=is_data_set)
        except _Elsewhere as error:
            self._elsewhere.setdefault(name, str(error))
            return is_data_set
        except ValueError as error:
            self._violate(name, str(error))
            return False
        if name in self._graph.conflicting:
            self._violate(name, "different entities have this id")
        if isinstance(place, _Place):
            return place is _Place.GROUP
        is_folder = is_data_set or name.endswith("/")
        if isinstance(place, S3Uri):
            self._take_far(part, place, is_folder=is_folder)
            return is_folder
        if is_folder:
            self._folders.add(place)
            return True
        if place != self._name:
            self._files.add(place)
            self._describe(part, place)
        return False

    def _take_far(self, part: Entity, uri: S3Uri, *, is_folder: bool) -> None:
        name = id_of(part)
        if is_folder and uri.version_id is not None:
            self._violate(name, "it is a folder, which has no version")
        elif len(self._far_files) + len(self._far_folders) >= MAX_PARTS_ELSEWHERE:
            rule = f"it lists more than {MAX_PARTS_ELSEWHERE:,} parts elsewhere in S3"
            self._violations[rule] = None
        elif is_folder:
            self._far_folders.add(uri)
        elif (uri.bucket, uri.key) == (self._crate.bucket, self._crate.key):
            self._crate_version = uri.version_id
        elif uri.key.rpartition("/")[2] == self._name:
            self._violate(name, "it has the name of the crate, and is another object")
        else:
            self._far_files.setdefault(uri, []).append(part)

    def _name_far_parts(self) -> None:
        """Give the parts elsewhere their logical keys, and their files the metadata.

        A part in a folder that is a part too is no part of its own.
        """
        folders = [each for each in sorted(self._far_folders) if not self._is_covered(each)]
        files = [each for each in self._far_files if not self._is_covered(each)]
        plain = [S3Uri(each.bucket, each.key) for each in (*folders, *files)]
        for uri, count in Counter(plain).items():
            if count > 1:
                self._violate(str(uri), "it has several versions, or is both a file and a folder")
        taken = {self._name}
        for path in self._files | self._folders if plain else ():
            taken.update(accumulate(path.split("/"), "{}/{}".format))
        names = name_apart(set(plain), taken)
        self._names = {each: names[S3Uri(each.bucket, each.key)] for each in (*folders, *files)}
        for uri, entities in self._far_files.items():
            key = self._names.get(uri) or self._path_in_folder(uri)
            if key is not None:
                for part in entities:
                    self._describe(part, key)

    def _source(self, uri: S3Uri, name: str) -> Source:
        if uri in self._far_folders:
            return Source(uri.bucket, f"{uri.key}/", f"{name}/")
        return Source(uri.bucket, uri.key, name, is_object=True, version_id=uri.version_id)

    def _is_covered(self, uri: S3Uri) -> bool:
        path = self._path_in_crate(uri)
        is_here = path is not None and (
            self._is_below(path) or (uri.version_id is None and path in self._files | self._folders)
        )
        return is_here or any(each in self._far_folders for each in _parents(uri))

    def _path_in_crate(self, uri: S3Uri) -> str | None:
        """Return the path of an object in the crate's folder; None if it is elsewhere."""
        prefix = self._crate.key.removesuffix(self._name)
        is_here = uri.bucket == self._crate.bucket and uri.key.startswith(prefix)
        return uri.key.removeprefix(prefix) if is_here else None

    def _path_in_folder(self, uri: S3Uri) -> str | None:
        """Return the logical key of an object in a folder among the parts; None for others."""
        path = self._path_in_crate(uri)
        if path is not None and (self._is_below(path) or path in self._files):
            return path
        for parent in _parents(uri):
            if parent in self._far_folders and parent in self._names:
                return self._names[parent] + uri.key.removeprefix(parent.key)
        return None

    def _describe_below(self, entity: Entity) -> None:
        """Take the metadata of a file that is in a folder among the parts."""
        name = id_of(entity)
        has_folders = self._folders or self._far_folders
        if not has_folders or entity.types.isdisjoint(_FILE_TYPES) or name.endswith("/"):
            return
        try:
            place = _locate(name, self._crate, is_data_set=False)
        except ValueError:
            return  # it is no part
        if isinstance(place, S3Uri) and place not in self._far_files:
            path = self._path_in_folder(place)
        elif isinstance(place, str) and place not in self._files and self._is_below(place):
            path = place
        else:
            return
        if path is not None:
            if name in self._graph.conflicting:
                self._violate(name, "different entities have this id")
            self._describe(entity, path)

    def _is_below(self, path: str) -> bool:
        ends = [match.start() for match in re.finditer("/", path)]
        return any(path[:end] in self._folders for end in ends)

    def _describe(self, entity: Entity, path: str) -> None:
        try:
            metadata = _metadata(entity)
        except ValueError as error:
            self._violate(id_of(entity), f"its metadata cannot be kept: {error}")
            return
        if not metadata:
            return
        if self._metadata.setdefault(path, metadata) != metadata:
            self._violate(id_of(entity), "different entities describe this file")

    def _violate(self, name: str, rule: str) -> None:
        self._violations[f"part {quote(name)}: {rule}"] = None


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


def _parents(uri: S3Uri) -> Iterator[S3Uri]:
    return (S3Uri(uri.bucket, uri.key[: slash.start()]) for slash in re.finditer("/", uri.key))


def _locate(name: str, crate: S3Uri, *, is_data_set: bool) -> str | S3Uri | _Place:
    """Find a part: its path in the folder of its crate, or its place in S3.

    Raises:
        _Elsewhere: It is neither.
        ValueError: The id breaks a rule.
    """
    if not name:
        raise ValueError("it has no id")
    if name.startswith(("http:", "https:")):
        return _Place.WEB
    if is_data_set and name.startswith(("#", "_:")):
        return _Place.GROUP
    if "#" in name:
        raise ValueError("it has a #, which is %23 in the name of a file")
    if name.startswith("s3:"):
        return _locate_in_s3(name, crate)
    return _locate_below(name)


def _locate_below(name: str) -> str | _Place:
    if _SCHEME.match(name) or name.startswith("/"):
        raise _Elsewhere("its id is not relative to the crate's folder")
    if "?" in name:
        raise ValueError("it has a ?, which is %3F in the name of a file")
    try:
        path = unquote(name, errors="strict")
        path.encode()
    except ValueError:
        raise ValueError("its id is not UTF-8") from None
    path = check_key(path.removeprefix("./").removesuffix("/"))
    if not path or path == ".":
        return _Place.ROOT
    components = path.split("/")
    if components[0] == "..":
        raise _Elsewhere("it is outside of the crate's folder")
    if not {"", ".", ".."}.isdisjoint(components):
        raise ValueError("it has an empty component, or one of dots")
    return path


def _locate_in_s3(name: str, crate: S3Uri) -> str | S3Uri | _Place:
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
        return _Place.ROOT
    if key.startswith(REGISTRY_PREFIX):
        raise ValueError(f"{REGISTRY_PREFIX} holds the registry itself, which is never packaged")
    if not {"", ".", ".."}.isdisjoint(key.split("/")):
        raise ValueError("it has an empty component, or one of dots")
    return S3Uri(uri.bucket, key, uri.version_id)


def _metadata(entity: Entity) -> dict[str, Any]:
    """Return the properties of a file as JSON, with its numbers."""
    found = {name: value for name, value in entity.items() if name not in _OWN_FIELDS}
    check_depth(found)
    try:
        return check_metadata(_with_numbers(found))
    except UnicodeEncodeError:
        raise ValueError("it holds half of a surrogate pair") from None


def _with_numbers(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        return {name: _with_numbers(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_numbers(each) for each in value]
    if isinstance(value, float):
        raise ValueError(f"it holds {value}, which is not JSON")  # noqa: TRY004 - see ro_crates
    return read_number(value) if isinstance(value, Number) else value
