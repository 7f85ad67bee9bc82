"""Recognises folders in one pass over sorted keys, with the memory of the open folders."""

import re
from collections.abc import Iterable, Sequence
from fnmatch import translate
from typing import NamedTuple

from quilt_packager_runtime.aws.s3_responses import malformed_response
from quilt_packager_runtime.formats.objects import (
    REGISTRY_PREFIX,
    ChecksumAlgorithm,
    S3Uri,
    SourceFolder,
    SourceObject,
)
from quilt_packager_runtime.formats.recognisers import LEFT_OUT, RECOGNISERS, PathGlob

from quilt_packager.operations.discovery.roots import Root, Roots
from quilt_packager.operations.plans.estimates import Load

NO_KIND = len(RECOGNISERS)


class _Marker(NamedTuple):
    """A glob of a recogniser, or of intermediate files.

    Attributes:
        glob: The glob.
        text: Its text.
        number: Number of the recogniser that it marks; `NO_KIND` if it marks none.
        completes: Kind of the folder that it completes; empty if it completes none.
    """

    glob: PathGlob
    text: str
    number: int = NO_KIND
    completes: str = ""


def _any_name(markers: Iterable[_Marker]) -> re.Pattern[str]:
    """Match the names that at least one marker may match: few keys need more."""
    names = {marker.text.rpartition("/")[2] for marker in markers}
    return re.compile("|".join(map(translate, sorted(names))))


_MARKERS = [
    (marker, _Marker(PathGlob(marker.rstrip("/")), marker.rstrip("/"), number))
    for number, each in enumerate(RECOGNISERS)
    for marker in each.markers
]
_COMPLETIONS = [
    _Marker(PathGlob(glob), glob, completes=each.kind)
    for each in RECOGNISERS
    for glob in each.completion
]
_FILES = [*(each for text, each in _MARKERS if not text.endswith("/")), *_COMPLETIONS]
_FOLDERS = [each for text, each in _MARKERS if text.endswith("/")]
_LEFT_OUT = [
    _Marker(PathGlob(path), path)
    for path in (glob.removeprefix("**/").removesuffix("/**") for glob in LEFT_OUT)
]
_GLOBS_LEFT_OUT = dict(zip((each.text for each in _LEFT_OUT), LEFT_OUT, strict=True))
_NAMED = [
    (re.compile(each.folder), number) for number, each in enumerate(RECOGNISERS) if not each.markers
]
_may_mark_file = _any_name(_FILES).match
_may_mark_folder = _any_name([*_FOLDERS, *_LEFT_OUT]).match


class _Folder:
    """A folder that the walk has entered, and not left."""

    __slots__ = (
        "archived",
        "completions",
        "first_root",
        "has_strong_root",
        "heads",
        "is_left_out",
        "kind",
        "left_out",
        "load",
        "name",
        "objects",
        "prefix",
        "size_bytes",
    )

    def __init__(self, prefix: str, name: str, first_root: int) -> None:
        self.prefix = prefix
        self.name = name
        self.first_root = first_root
        self.kind = NO_KIND
        self.completions: dict[str, str] = {}
        self.left_out: set[str] = set()
        self.is_left_out = False
        self.has_strong_root = False
        self.objects = self.size_bytes = self.archived = self.heads = 0
        self.load = Load()

    @property
    def is_strong(self) -> bool:
        return self.kind < NO_KIND and not RECOGNISERS[self.kind].yields

    def absorb(self, other: "_Folder") -> None:
        """Add the contents of a subfolder."""
        self.objects += other.objects
        self.size_bytes += other.size_bytes
        self.archived += other.archived
        self.heads += other.heads
        self.load.add_load(other.load)
        self.left_out |= other.left_out
        self.has_strong_root |= other.has_strong_root

    def to_root(self) -> Root:
        kind = RECOGNISERS[self.kind].kind
        return Root(
            prefix=self.prefix,
            kind=kind,
            objects=self.objects,
            size_bytes=self.size_bytes,
            archived=self.archived,
            heads=self.heads,
            load=self.load,
            completion=self.completions.get(kind),
            left_out=tuple(sorted(self.left_out)),
        )


class Walk:
    """Finds the roots among the objects of a folder, given in the order of their keys.

    Of nested roots, the outermost remains. The whole bucket is never a root.

    Args:
        folder: The folder.
        roots: Receives the roots.
        algorithms: Usable algorithms of stored checksums.
        can_copy: S3 hashes large objects, in a scratch bucket.

    Attributes:
        objects: Number of objects so far.
    """

    def __init__(
        self,
        folder: SourceFolder,
        roots: Roots,
        *,
        algorithms: Sequence[ChecksumAlgorithm] = (),
        can_copy: bool = True,
    ) -> None:
        self._bucket = folder.bucket
        self._roots = roots
        self._algorithms = frozenset(algorithms)
        self._can_copy = can_copy
        self._strong = 0
        self._last_key = ""
        self._stack: list[_Folder] = []
        self.objects = 0
        self._open(folder.prefix, folder.prefix.rstrip("/").rpartition("/")[2])

    def take(self, page: Iterable[SourceObject]) -> None:
        """Take the next objects.

        Raises:
            MalformedResponse: Their keys are not in order.
        """
        for found in page:
            key = found.key
            if key < self._last_key:
                raise malformed_response(S3Uri(self._bucket, ""), "its keys are not in order")
            self._last_key = key
            self.objects += 1
            folder = self._stack[-1]
            while not key.startswith(folder.prefix):
                folder = self._close()
            if folder.is_left_out:
                continue
            *below, name = key[len(folder.prefix) :].split("/")
            for component in below:
                folder = self._open(f"{folder.prefix}{component}/", component)
                if folder.is_left_out:
                    break
            else:
                if name:
                    self._add(folder, name, found)

    def end(self) -> None:
        """Leave all folders."""
        while self._stack:
            self._close()

    def _add(self, folder: _Folder, name: str, found: SourceObject) -> None:
        folder.objects += 1
        folder.size_bytes += found.size_bytes
        folder.archived += found.archived
        if found.stored in self._algorithms:
            folder.heads += 1
        elif found.size_bytes:
            folder.load.add(found, can_copy=self._can_copy)
        if _may_mark_file(name):
            self._mark(_FILES, name)

    def _open(self, prefix: str, name: str) -> _Folder:
        opened = _Folder(prefix, name, self._roots.next_id)
        if prefix == REGISTRY_PREFIX:
            opened.is_left_out = True
        elif _may_mark_folder(name):
            names = [each.name for each in self._stack]
            for marker in _LEFT_OUT:
                if marker.glob.last(name) and marker.glob.find_root(names) is not None:
                    opened.is_left_out = True
                    opened.left_out.add(_GLOBS_LEFT_OUT[marker.text])
            self._mark(_FOLDERS, name)
        self._stack.append(opened)
        for pattern, number in _NAMED:
            if pattern.fullmatch(name):
                self._set_kind(opened, number)
        return opened

    def _mark(self, markers: Iterable[_Marker], name: str) -> None:
        """Mark the open folders for which a file or folder of the last one is a marker."""
        names: list[str] | None = None
        for marker in markers:
            if marker.glob.last(name):
                names = names or [each.name for each in self._stack]
                root = marker.glob.find_root(names)
                if root:
                    folder = self._stack[root - 1]
                    if marker.completes:
                        folder.completions.setdefault(marker.completes, marker.text)
                    elif marker.number < folder.kind:
                        pattern = RECOGNISERS[marker.number].folder
                        if not pattern or re.fullmatch(pattern, folder.name):
                            self._set_kind(folder, marker.number)

    def _set_kind(self, folder: _Folder, number: int) -> None:
        if folder.prefix and number < folder.kind:
            was_strong = folder.is_strong
            folder.kind = number
            self._strong += folder.is_strong and not was_strong

    def _close(self) -> _Folder:
        """Leave the last folder, and return the one above."""
        closed = self._stack.pop()
        self._strong -= closed.is_strong
        if closed.kind < NO_KIND and not self._strong:
            if closed.is_strong or not closed.has_strong_root:
                self._roots.discard_since(closed.first_root)
                self._roots.add(closed.to_root())
            closed.has_strong_root |= closed.is_strong
        if not self._stack:
            return closed
        self._stack[-1].absorb(closed)
        return self._stack[-1]
