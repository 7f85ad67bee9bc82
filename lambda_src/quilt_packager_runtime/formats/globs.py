"""Globs over paths: `*` and `?` stay within a component, `**` is any number of components.

A glob that matches a folder matches all that is below it. Paths are matched whole, from their
beginning, in time proportional to the length of both: globs come in messages.
"""

import fnmatch
import re
from collections.abc import Callable, Sequence

MAX_GLOBS = 100
MAX_GLOB_CHARACTERS = 1024

_ANY = "**"


def check_globs(globs: Sequence[str]) -> tuple[str, ...]:
    """Let globs through that can match something.

    Args:
        globs: The globs.

    Raises:
        ValueError: One is empty, too long or begins or ends with `/`; or there are too many.

    Example:
        >>> check_globs(["work/**", ".nextflow*"])
        ('work/**', '.nextflow*')
    """
    if len(globs) > MAX_GLOBS:
        raise ValueError(f"it has {len(globs)} globs; {MAX_GLOBS} at most")
    for glob in globs:
        if not glob or len(glob) > MAX_GLOB_CHARACTERS or "" in glob.split("/"):
            raise ValueError(
                f"a glob has 1 to {MAX_GLOB_CHARACTERS:,} characters, and no empty component: "
                f"work/** rather than /work/**; given: {glob[:80]!r}"
            )
    return tuple(globs)


def match_any(globs: Sequence[str]) -> Callable[[str], bool]:
    """Compile globs to one question: does any of them match a path, or a folder above it?

    Args:
        globs: What `check_globs` lets through.

    Example:
        >>> excluded = match_any(["work/**", "**/*.tmp", ".nextflow*"])
        >>> [excluded(path) for path in ("work/a/b", "a/b.tmp", ".nextflow/log", "a/work/b")]
        [True, True, True, False]
    """
    compiled = [_Glob(glob) for glob in globs]
    return lambda path: any(glob.matches(path) for glob in compiled)


class _Glob:
    """A glob as an automaton whose states are the places between its components."""

    def __init__(self, glob: str) -> None:
        parts = glob.split("/")
        if parts[-1] == _ANY:
            parts.append("*")  # what is in a folder, and not a file of its name
        self._parts = [None if part == _ANY else _compile(part) for part in parts]
        self._end = len(parts)
        self._start = self._reach({0})

    def matches(self, path: str) -> bool:
        places = self._start
        for component in path.split("/"):
            following = set()
            for place in places:
                part = self._parts[place]
                if part is None:
                    following.add(place)
                elif part.match(component):
                    following.add(place + 1)
            places = self._reach(following)
            if self._end in places:
                return True
            if not places:
                return False
        return False

    def _reach(self, places: set[int]) -> set[int]:
        """Add where no further component is needed to get to."""
        reached = set(places)
        for place in places:
            at = place
            while at < self._end and self._parts[at] is None:
                at += 1
                reached.add(at)
        return reached


def _compile(part: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(part))
