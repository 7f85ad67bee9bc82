"""The tree of errors: complete in the module's docstring, and each code described."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from quilt_packager_runtime import errors
from quilt_packager_runtime.errors import Failed, PackagerError, Rejected


def branches(error: type[PackagerError], depth: int = 0) -> Iterator[tuple[int, str]]:
    yield depth, error.__name__
    for each in error.__subclasses__():
        if each.__module__ == errors.__name__:
            yield from branches(each, depth + 1)


def test_docstring_draws_the_tree() -> None:
    drawn = re.findall(r"^    ([ │├└─]*)(\w+)", errors.__doc__ or "", re.MULTILINE)
    assert [(len(indent) // 4, name) for indent, name in drawn] == list(branches(PackagerError))


def test_each_code_has_a_title_a_cause_and_a_remedy() -> None:
    classes = {getattr(errors, name) for _, name in branches(PackagerError)}
    for each in classes - {PackagerError, Rejected, Failed}:
        assert each.title, each
        assert each.usual_cause.endswith("."), each
        assert each.usual_remedy.endswith("."), each


def remedies() -> Iterator[str]:
    """The source of every remedy of the runtime."""
    for path in Path(errors.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "remedy":
                yield ast.unparse(node.value)


def test_no_remedy_promises_a_retry() -> None:
    # The command runs the same code, and has one attempt.
    promises = re.compile("automatic|by itself|(?<!not )retried|redelivered|tried again")
    assert [each for each in remedies() if promises.search(each)] == []
    assert len(list(remedies())) > 50
