"""Globs over paths: `*` and `?` stay within a component, `**` is any number of components.

A glob that matches a folder matches everything below it. Globs come in messages, so the time to
match one is at most proportional to its length times that of the path.
"""

import fnmatch
import re
from collections.abc import Callable, Sequence
from itertools import groupby

MAX_GLOBS = 100
MAX_GLOB_CHARACTERS = 1024

_ANY = "**"


def check_globs(globs: Sequence[str]) -> tuple[str, ...]:
    """Return the globs if each of them can match a path.

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
    """Compile globs to a predicate: one of them matches the path, or a folder above it.

    Args:
        globs: Globs that `check_globs` accepts.

    Example:
        >>> excluded = match_any(["work/**", "**/*.tmp", ".nextflow*"])
        >>> [excluded(path) for path in ("work/a/b", "a/b.tmp", ".nextflow/log", "a/work/b")]
        [True, True, True, False]
    """
    compiled = [_Glob(glob) for glob in globs]
    return lambda path: any(glob.matches(path) for glob in compiled)


class _Glob:
    """A glob, as the runs of components between its `**`.

    Because nothing has to match behind the last run, each run may take its first match: a later
    one leaves less of the path to the runs that follow. So nothing is tried twice.
    """

    def __init__(self, glob: str) -> None:
        parts = glob.split("/")
        if parts[-1] == _ANY:
            parts.append("*")  # the content of a folder, and not a file of its name
        self._is_anchored = parts[0] != _ANY
        self._runs = [
            [re.compile(fnmatch.translate(part)).match for part in run]
            for is_any, run in groupby(parts, _ANY.__eq__)
            if not is_any
        ]

    def matches(self, path: str) -> bool:
        components = path.split("/")
        at = 0
        for number, run in enumerate(self._runs):
            last = len(components) - len(run)
            if number == 0 and self._is_anchored:
                last = min(last, 0)
            for start in range(at, last + 1):
                if all(match(components[start + n]) for n, match in enumerate(run)):
                    at = start + len(run)
                    break
            else:
                return False
        return True
