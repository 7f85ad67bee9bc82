"""The parts of a crate: the objects that it lists as the contents of its package."""

import re
from enum import Enum
from typing import Any
from urllib.parse import unquote

import msgspec

from quilt_packager_runtime.errors import quote
from quilt_packager_runtime.formats.json_documents import check_depth, check_metadata
from quilt_packager_runtime.formats.names import check_key
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.requests.ro_crates import Entity, Graph, Number, id_of, read_number

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_FILE_TYPES = frozenset({"File", "MediaObject"})
_OWN_FIELDS = frozenset({"@id", "@type", "name"})
"""Properties that are no metadata of a file: the package has its name already."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a crate, by their paths below its folder.

    Attributes:
        files: Paths of files.
        folders: Paths of folders, without the trailing slash.
        metadata: Metadata of files, by their paths.
        elsewhere: Ids of parts outside of the folder, each with the reason.
        violations: Parts that break a rule, each with the rule.
    """

    files: frozenset[str]
    folders: frozenset[str]
    metadata: dict[str, dict[str, Any]]
    elsewhere: dict[str, str]
    violations: tuple[str, ...]


class _Place(Enum):
    WEB = "a part on the web, which no package holds"
    GROUP = "a data set without a folder: its parts count"
    ROOT = "the crate's folder itself"


class _Elsewhere(ValueError):
    """The part is outside of the crate's folder."""


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
        for part in self._graph.entities():
            self._describe_below(part)
        for path in sorted(self._files & self._folders):
            self._violate(path, "it is both a file and a folder")
        if not (self._files | self._folders or self._elsewhere or self._violations):
            self._violations["the root has no part that a package can hold"] = None
        return Parts(
            files=frozenset(self._files),
            folders=frozenset(self._folders),
            metadata=self._metadata,
            elsewhere=self._elsewhere,
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
        if is_data_set or name.endswith("/"):
            self._folders.add(place)
            return True
        if place != self._name:
            self._files.add(place)
            self._describe(part, place)
        return False

    def _describe_below(self, entity: Entity) -> None:
        """Take the metadata of a file that is in a folder among the parts."""
        name = id_of(entity)
        if not self._folders or entity.types.isdisjoint(_FILE_TYPES) or name.endswith("/"):
            return
        try:
            place = _locate(name, self._crate, is_data_set=False)
        except ValueError:
            return  # it is no part
        if isinstance(place, str) and place not in self._files and self._is_below(place):
            if name in self._graph.conflicting:
                self._violate(name, "different entities have this id")
            self._describe(entity, place)

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


def _locate(name: str, crate: S3Uri, *, is_data_set: bool) -> str | _Place:
    """Find the path of a part in the folder of its crate.

    Raises:
        _Elsewhere: It is outside of the folder.
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


def _locate_in_s3(name: str, crate: S3Uri) -> str:
    try:
        uri = S3Uri.parse(name)
        uri.key.encode()
    except UnicodeError:
        raise ValueError("its id is not UTF-8") from None
    folder, slash, base = uri.key.rpartition("/")
    if not uri.key:
        raise ValueError("it is a whole bucket")
    is_here = S3Uri(uri.bucket, folder + slash) == S3Uri(
        crate.bucket, crate.key.removesuffix(crate.key.rpartition("/")[2])
    )
    if not is_here or not base or uri.version_id is not None:
        raise _Elsewhere("it is outside of the crate's folder, or names a version")
    return base


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
