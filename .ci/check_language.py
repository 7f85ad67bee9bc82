"""Check the wording of docstrings, messages, comments, templates and documents.

The rules are those of the AWS and Python documentation: a description is a noun phrase, a function
is an imperative, and each thing has one term. Exits with 1 and a line for each offence.

Example:
    python .ci/check_language.py quilt_packager lambda_src docs README.md
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

OPENINGS = re.compile(r"(What|How|Where|Whether|Who|Whoever|When|Which|Why)\b")
"""No description begins so: it is a noun phrase, or an imperative with its object."""

PHRASES = {
    r"tell|tells|told|telling": "report, say, return, describe",
    r"nobody|no one": "no process, no user, or the passive voice",
    r"somebody|someone|whoever|anybody|anyone|everybody": "the user, the caller, a person",
    r"hears? of|heard of|hear about": "receives, is notified",
    r"puts? aside|putting aside|put off|puts off": "move to the dead-letter queue, defer",
    r"comes? to rest|came to rest": "is quiet, has stopped",
    r"be it": "even if",
    r"of (?:its|their|one's|his) own accord": "automatically",
    r"mends?|mended|mending": "fix, repair, correct",
    r"is (?:that|so|there) already": "already exists",
    r"so far as|be of use|of no use": "usable, unusable",
    r"in vain": "without success",
    r"as (?:it|they) may be": "as allowed",
    r"without a word": "without a reason",
    r"once and for all": "permanently",
}
"""Phrases that are not used, and what is written instead."""

BANNED = re.compile(rf"\b(?:{'|'.join(PHRASES)})\b", re.IGNORECASE)
ALLOW = "language: ignore"
"""A line with this comment is not checked: it quotes another's words."""

SECTION = re.compile(r"^\s*[\w*]+(?: \([^)]*\))?: (.*)$")
SUFFIXES = {".py", ".md", ".html"}


def main(arguments: list[str]) -> int:
    """Check the files and folders that are named, and print the offences."""
    offences = [
        f"{path}:{line}: {problem}"
        for path in sorted(files(arguments))
        for line, problem in check(path)
    ]
    sys.stdout.writelines(f"{each}\n" for each in offences)
    return 1 if offences else 0


def files(arguments: list[str]) -> Iterator[Path]:
    """Find the files to check."""
    for argument in map(Path, arguments):
        found = argument.rglob("*") if argument.is_dir() else [argument]
        yield from (each for each in found if each.suffix in SUFFIXES)


def check(path: Path) -> Iterator[tuple[int, str]]:
    """Check one file.

    Yields:
        The number of a line, and its problem.
    """
    text = path.read_text("utf-8")
    allowed = {n for n, line in enumerate(text.splitlines(), start=1) if ALLOW in line}
    found = check_python(text) if path.suffix == ".py" else check_prose(text)
    yield from (each for each in found if each[0] not in allowed)


def check_python(text: str) -> Iterator[tuple[int, str]]:
    """Check the docstrings, the other strings and the comments of a module."""
    tree = ast.parse(text)
    docstrings = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for statement in node.body:
            match statement:
                case ast.Expr(value=ast.Constant(value=str(value)) as constant):
                    docstrings.add(constant)
                    yield from check_docstring(value, constant.lineno)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node not in docstrings
        ):
            yield from phrases(node.value, node.lineno)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield from phrases(token.string, token.start[0])


def check_docstring(text: str, line: int) -> Iterator[tuple[int, str]]:
    """Check the openings of a docstring and of the descriptions in it, and its phrases."""
    if OPENINGS.match(text):
        yield line, f"begins with {text.split(maxsplit=1)[0]}: write a noun phrase or an imperative"
    for number, each in enumerate(text.splitlines(), start=line):
        described = SECTION.match(each)
        if described and OPENINGS.match(described[1]):
            yield number, f"begins with {described[1].split(maxsplit=1)[0]}: write a noun phrase"
    yield from phrases(text, line)


def check_prose(text: str) -> Iterator[tuple[int, str]]:
    """Check a document or a template. Code in backticks or blocks is not prose."""
    fenced = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("```"):
            fenced = not fenced
        if not fenced:
            yield from phrases(re.sub(r"`[^`]*`", "", line), number)


def phrases(text: str, line: int) -> Iterator[tuple[int, str]]:
    """Find the phrases of a text that are not used."""
    for number, each in enumerate(text.splitlines(), start=line):
        for found in BANNED.finditer(each):
            yield number, f"{found[0]!r}: write {replacement(found[0])}"


def replacement(phrase: str) -> str:
    """Return what is written instead of a phrase."""
    return next(
        instead
        for pattern, instead in PHRASES.items()
        if re.fullmatch(pattern, phrase, re.IGNORECASE)
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
