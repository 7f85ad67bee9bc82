"""JSON from other people, parsed within bounds, so that no later step fails on it.

A document is parsed as the standard library's `json` parses it, because the top hash of a package
is computed from its metadata by that library.
"""

import json
import math
from typing import Any, NoReturn

from quilt_packager_runtime.errors import InvalidMetadata
from quilt_packager_runtime.formats.json_errors import describe_syntax_error
from quilt_packager_runtime.formats.objects import S3Uri

MAX_METADATA_BYTES = 1_000_000
"""Maximum size of metadata, as JSON in UTF-8: it must fit into one line of a manifest."""

MAX_DEPTH = 100
"""Maximum nesting of arrays and objects. Readers recurse, and Python allows about 1,000 frames."""

MAX_INTEGER_DIGITS = 4300
"""Maximum number of digits of an integer: Python's default, for any setting of the interpreter."""


def read_json(document: str | bytes, *, max_bytes: int) -> Any:  # noqa: ANN401 JSON is any value
    r"""Parse a JSON document as `json.loads` does. The last value of a repeated key counts.

    Args:
        document: Text; or bytes in UTF-8, -16 or -32, with or without a byte order mark.
        max_bytes: Maximum size of the bytes, or of the text in UTF-8.

    Raises:
        ValueError: It is too large or too deep, is not JSON, or contains values that JSON cannot
            represent: NaN, infinite numbers, half a surrogate pair.

    Example:
        >>> read_json('{"a": [1e-07, 12345678901234567890]}', max_bytes=100)
        {'a': [1e-07, 12345678901234567890]}
        >>> read_json('"\\ud800"', max_bytes=100)
        Traceback (most recent call last):
        ValueError: it holds half of a surrogate pair, which no UTF-8 text can
    """
    try:
        _check_size(document, max_bytes)
        value = json.loads(
            document,
            parse_constant=_refuse_constant,
            parse_float=read_float,
            parse_int=read_integer,
        )
        check_depth(value)
        _measure(value)  # raises UnicodeEncodeError for half a surrogate pair
    except RecursionError:
        raise _too_deep() from None
    except UnicodeEncodeError:
        raise ValueError("it holds half of a surrogate pair, which no UTF-8 text can") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not JSON (its bytes are not {error.encoding})") from error
    except json.JSONDecodeError as error:
        raise ValueError(describe_syntax_error(error)) from error
    return value


def check_metadata(metadata: object) -> dict[str, Any]:
    """Return metadata from `read_json` if it fits into a manifest.

    Raises:
        ValueError: It is not an object, or too large.

    Example:
        >>> check_metadata({"run": 42})
        {'run': 42}
    """
    if not isinstance(metadata, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 the value is at fault, not us
    size_bytes = _measure(metadata)
    if size_bytes > MAX_METADATA_BYTES:
        raise ValueError(
            f"it has {size_bytes:,} bytes in a manifest, {MAX_METADATA_BYTES:,} at most"
        )
    return metadata


def read_metadata(document: bytes, uri: S3Uri) -> dict[str, Any]:
    """Parse the object that a `metadata_uri` refers to.

    Raises:
        InvalidMetadata: It is not a JSON object, or does not fit into a manifest.

    Example:
        >>> read_metadata(b'{"run": 42}', S3Uri("raw", "entry.json"))
        {'run': 42}
    """
    try:
        return check_metadata(read_json(document, max_bytes=MAX_METADATA_BYTES))
    except ValueError as error:
        raise InvalidMetadata(
            f"Invalid metadata in {uri}: {error}.",
            why=f"Metadata is a JSON object of at most {MAX_METADATA_BYTES:,} bytes.",
            remedy="Correct the object, or send the metadata in the message.",
        ) from error


def _measure(value: object) -> int:
    """Return the size of a value in a manifest: JSON in UTF-8, without ASCII escapes."""
    return len(json.dumps(value, ensure_ascii=False).encode())


def _check_size(document: str | bytes, max_bytes: int) -> None:
    if len(document.encode() if isinstance(document, str) else document) > max_bytes:
        raise ValueError(f"it has more than {max_bytes:,} bytes")


def check_depth(value: object) -> None:
    """Check the nesting of a value of JSON.

    Raises:
        ValueError: It exceeds `MAX_DEPTH`.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
    if any(isinstance(rest, dict | list) for rest in level):
        raise _too_deep()


def _too_deep() -> ValueError:
    return ValueError(f"it nests deeper than {MAX_DEPTH} levels")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which is not JSON")


def read_float(digits: str) -> float:
    """Read a finite number.

    Raises:
        ValueError: It is too large.
    """
    value = float(digits)
    if math.isinf(value):
        raise ValueError("it holds a number that is too large for a float")
    return value


def read_integer(digits: str) -> int:
    """Read an integer.

    Raises:
        ValueError: It has more than `MAX_INTEGER_DIGITS`.
    """
    if len(digits.lstrip("-")) > MAX_INTEGER_DIGITS:
        raise ValueError(f"it holds an integer of more than {MAX_INTEGER_DIGITS:,} digits")
    return int(digits)
