"""The options of a message in the New package form, read from the fields of the message itself."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from msgspec import inspect
from quilt_packager_runtime.requests.messages import Message
from quilt_packager_runtime.settings.requirements import RequiredFiles

NAMES = (
    "contents",
    "missing_parts",
    "require",
    "require_timeout_seconds",
    "verify_checksums",
    "on_foreign_revision",
)
"""Fields of a message below "More options", in their order."""

FALSE = "false"


class Option(NamedTuple):
    """A field of a message that has a default.

    Attributes:
        name: Name of the field.
        help: Description of the field.
        choices: All values; empty if there are others.
        is_number: The value is a whole number.
        whole: Values other than a list, by their text.
        words: Items of a list that are no globs.
        has_files: Globs are the files of an item, not items.
    """

    name: str
    help: str
    choices: tuple[str, ...]
    is_number: bool
    whole: dict[str, Any]
    words: tuple[str, ...]
    has_files: bool

    @property
    def label(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ").capitalize()

    def parse(self, text: str) -> object:
        """Return the value of the field, which the message checks.

        Raises:
            ValueError: It is not a number.
        """
        if self.is_number:
            if not text.isdecimal():
                raise ValueError("it is not a whole number")
            return int(text)
        if self.choices:
            return text
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if len(lines) == 1 and lines[0] in self.whole:
            return self.whole[lines[0]]
        items: list[Any] = [line for line in lines if line in self.words]
        globs = [line for line in lines if line not in self.words]
        if globs and self.has_files:
            return [*items, {"files": globs}]
        return [*items, *globs]


def _read_option(field: inspect.Field) -> Option:
    described = field.type
    assert isinstance(described, inspect.Metadata)  # noqa: S101 - a field of Message
    kinds = list(_alternatives(described.type))
    items = [
        each
        for kind in kinds
        if isinstance(kind, inspect.ListType)
        for each in _alternatives(kind.item_type)
    ]
    words = _words(kinds)
    is_list = bool(items)
    whole: dict[str, Any] = {word: word for word in words if is_list}
    if any(isinstance(kind, inspect.BoolType) for kind in kinds):
        whole[FALSE] = False
    return Option(
        name=field.name,
        help=(described.extra_json_schema or {})["description"],
        choices=() if is_list else words,
        is_number=any(isinstance(kind, inspect.IntType) for kind in kinds),
        whole=whole,
        words=_words(items),
        has_files=any(
            isinstance(each, inspect.StructType) and each.cls is RequiredFiles for each in items
        ),
    )


def _alternatives(kind: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(kind, inspect.UnionType):
        yield from kind.types
    else:
        yield kind


def _words(kinds: list[inspect.Type]) -> tuple[str, ...]:
    return tuple(
        str(word) for kind in kinds if isinstance(kind, inspect.LiteralType) for word in kind.values
    )


def _read_options() -> dict[str, Option]:
    message = inspect.type_info(Message)
    assert isinstance(message, inspect.StructType)  # noqa: S101 - Message is one
    fields = {field.name: field for field in message.fields}
    return {name: _read_option(fields[name]) for name in NAMES}


OPTIONS = _read_options()
