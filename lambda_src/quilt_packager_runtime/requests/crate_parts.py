"""The parts of a crate: the objects that it lists as the contents of its package."""

import re
from collections import Counter
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from quilt_packager_runtime.errors import quote
from quilt_packager_runtime.formats.json_documents import check_depth, check_metadata
from quilt_packager_runtime.formats.objects import S3Uri, Source
from quilt_packager_runtime.requests.part_places import (
    Elsewhere,
    Place,
    locate,
    name_apart,
    parents,
)
from quilt_packager_runtime.requests.ro_crates import Entity, Graph, Number, id_of, read_number

_FILE_TYPES = frozenset({"File", "MediaObject"})
_OWN_FIELDS = frozenset({"@id", "@type", "name"})
"""Properties that are no metadata of a file: the package has its name already."""

MAX_PARTS_ELSEWHERE = 20_000
"""Maximum number of parts outside of the crate's folder. Each takes a request in each pass."""

MAX_VIOLATIONS = 10_000
"""Maximum number of parts with a broken rule that are counted. The error names a few."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a crate.

    Attributes:
        files: Paths of files below the crate's folder.
        folders: Paths of folders below the crate's folder, without the trailing slash.
        sources: Files and folders elsewhere in S3.
        metadata: Metadata of files, by their logical keys.
        elsewhere: Ids of parts that no package can hold, each with the reason.
        crate_versions: Versions of the crate itself that it lists.
        violations: Parts that break a rule, each with the rule.
    """

    files: AbstractSet[str]
    folders: AbstractSet[str]
    sources: tuple[Source, ...]
    metadata: dict[str, dict[str, Any]]
    elsewhere: dict[str, str]
    crate_versions: frozenset[str]
    violations: tuple[str, ...]


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
        self._far_files: dict[S3Uri, dict[str, Entity]] = {}
        self._far_folders: set[S3Uri] = set()
        self._names: dict[S3Uri, str] = {}
        self._crate_versions: set[str] = set()
        self._violations: dict[str, None] = {}

    def collect(self) -> Parts:
        waiting = [self._graph.root]
        seen: set[str] = set()
        while waiting:
            for part in self._graph.parts(waiting.pop()):
                name = id_of(part)
                if name in seen:
                    continue
                if part.keys() != {"@id"}:  # the crate may have 800,000 others
                    seen.add(name)
                if self._take(part, name) and "hasPart" in part:
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
            files=self._files,
            folders=self._folders,
            sources=tuple(self._source(uri, name) for uri, name in self._names.items()),
            metadata=self._metadata,
            elsewhere=self._elsewhere,
            crate_versions=frozenset(self._crate_versions),
            violations=tuple(self._violations),
        )

    def _take(self, part: Entity, name: str) -> bool:
        """Take a part, and return whether its own parts are parts too."""
        is_data_set = "Dataset" in part.types
        try:
            place = locate(name, self._crate, is_data_set=is_data_set)
        except Elsewhere as error:
            self._elsewhere.setdefault(name, str(error))
            return is_data_set
        except ValueError as error:
            self._violate(name, str(error))
            return False
        if name in self._graph.conflicting:
            self._violate(name, "different entities have this id")
        if isinstance(place, Place):
            return place is Place.GROUP
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
        elif self._exceeds_limit(uri):
            rule = f"it lists more than {MAX_PARTS_ELSEWHERE:,} parts elsewhere in S3"
            self._violations[rule] = None
        elif is_folder:
            self._far_folders.add(uri)
        elif (uri.bucket, uri.key) == (self._crate.bucket, self._crate.key):
            self._crate_versions.add(str(uri.version_id))
        elif uri.key.rpartition("/")[2] == self._name:
            self._violate(name, "it has the name of the crate, and is another object")
        else:
            self._far_files.setdefault(uri, {})[name] = part

    def _exceeds_limit(self, uri: S3Uri) -> bool:
        count = len(self._far_files) + len(self._far_folders)
        is_known = uri in self._far_files or uri in self._far_folders
        return count >= MAX_PARTS_ELSEWHERE and not is_known

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
        taken = [self._name, *self._files, *self._folders] if plain else []
        names = name_apart(set(plain), taken)
        self._names = {each: names[S3Uri(each.bucket, each.key)] for each in (*folders, *files)}
        for uri, entities in self._far_files.items():
            key = self._names.get(uri) or self._path_in_folder(uri)
            if key is not None:
                for part in entities.values():
                    self._describe(part, key)

    def _source(self, uri: S3Uri, name: str) -> Source:
        if uri in self._far_folders:
            return Source(uri.bucket, f"{uri.key}/", f"{name}/")
        return Source(uri.bucket, uri.key, name, is_object=True, version_id=uri.version_id)

    def _is_covered(self, uri: S3Uri) -> bool:
        path = self._path_in_crate(uri)
        is_here = path is not None and (
            self._is_below(path)
            or path in self._folders
            or (uri.version_id is None and path in self._files)
        )
        return is_here or any(each in self._far_folders for each in parents(uri))

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
        for parent in parents(uri):
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
            place = locate(name, self._crate, is_data_set=False)
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
        if len(self._violations) < MAX_VIOLATIONS:
            self._violations[f"part {quote(name)}: {rule}"] = None


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
