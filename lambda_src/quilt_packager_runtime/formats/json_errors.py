"""Errors of parsers in words: those of their libraries name types of Python."""

import json
import re
from difflib import get_close_matches
from enum import EnumMeta
from typing import Any, Literal, get_args, get_origin

import msgspec

from quilt_packager_runtime.errors import MAX_QUOTED, printable

EXPECTED = re.compile(r"Expected `(?P<wanted>[^`]+)`, got `(?P<got>\w+)`")
FIELD = re.compile(r"Object (?P<how>missing required|contains unknown) field `(?P<name>[^`]*)`")
PLACE = re.compile(r" - at `(?:key in )?\$\.?(?P<place>[^`]*)`$")
NAMES = {
    "array": "a list",
    "bool": "true or false",
    "datetime": "a time",
    "float": "a number",
    "int": "a whole number",
    "null": "null",
    "object": "an object",
    "str": "a string",
}


def describe_syntax_error(error: json.JSONDecodeError) -> str:
    """Return the place of an error.

    Example:
        >>> try:
        ...     json.loads('{"a": }')
        ... except json.JSONDecodeError as error:
        ...     print(describe_syntax_error(error))
        it is not JSON (line 1, column 7)
    """
    if error.doc.startswith("\ufeff"):
        return "it is not JSON (it begins with a byte order mark, or BOM)"
    return f"it is not JSON (line {error.lineno}, column {error.colno})"


def describe_type_error(error: msgspec.ValidationError, type_: object = None) -> str:
    """Describe a value of another type, or none of some values, without quoting all of it.

    Args:
        error: The error.
        type_: Type of the value, whose values are named.

    Example:
        >>> try:
        ...     msgspec.convert([1], list[str])
        ... except msgspec.ValidationError as error:
        ...     print(describe_type_error(error))
        [0]: it is a whole number instead of a string
        >>> try:
        ...     msgspec.convert("hole", Literal["hold", "carry"] | None)
        ... except msgspec.ValidationError as error:
        ...     print(describe_type_error(error, Literal["hold", "carry"] | None))
        Invalid value 'hole': the values are hold, carry; did you mean hold?
    """
    text = str(error)
    place = PLACE.search(text)
    text = PLACE.sub("", text)
    if expected := EXPECTED.fullmatch(text):
        wanted = [each for each in expected["wanted"].split(" | ") if each != "null"] or ["null"]
        named = " or ".join(NAMES.get(each, each) for each in wanted)
        text = f"it is {NAMES.get(expected['got'], expected['got'])} instead of {named}"
    elif field := FIELD.fullmatch(text):
        kind = "lacks the" if field["how"].startswith("missing") else "has an unknown"
        text = f"it {kind} field {field['name']}"
    elif text.startswith("Invalid enum value"):
        text = text.replace("enum value", "value", 1) + _describe_values(text, values_of(type_))
    at = f"{place['place']}: " if place and place["place"] else ""
    # Of an unknown value, the whole text is quoted.
    return printable(f"{at}{text}"[:MAX_QUOTED])


def describe_decode_error(error: msgspec.DecodeError) -> str:
    """Describe a document that cannot be decoded to a type.

    Example:
        >>> try:
        ...     msgspec.json.decode("{", type=dict)
        ... except msgspec.DecodeError as error:
        ...     print(describe_decode_error(error))
        it is not JSON
    """
    if isinstance(error, msgspec.ValidationError):
        return describe_type_error(error)
    return "it is not JSON"


def values_of(type_: object) -> list[str]:
    """Return the texts that a type accepts; none for types other than enumerations.

    Example:
        >>> values_of(Literal["auto"] | list[str] | None)
        ['auto']
    """
    if isinstance(type_, EnumMeta):
        members: list[Any] = list(type_)
        return [str(each.value) for each in members]
    if get_origin(type_) is Literal:
        return [each for each in get_args(type_) if isinstance(each, str)]
    return [value for each in get_args(type_) for value in values_of(each)]


def _describe_values(text: str, values: list[str]) -> str:
    if not values:
        return ""
    similar = get_close_matches(text.partition("'")[2].rstrip("'"), values, n=1)
    hint = f"; did you mean {similar[0]}?" if similar else ""
    return f": the values are {', '.join(values)}{hint}"
