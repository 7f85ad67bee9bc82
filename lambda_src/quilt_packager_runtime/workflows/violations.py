"""Errors of jsonschema in words that a log may hold: names and rules, no values of metadata."""

import json
from collections.abc import Callable, Iterable
from typing import TypeVar

from jsonschema import ValidationError

from quilt_packager_runtime.errors import MAX_NAMED, printable, quote

MAX_SHOWN = 300
"""Maximum number of characters of one description."""

# Keywords whose messages contain names only; the messages of others quote the value.
DISCREET_KEYWORDS = frozenset({"additionalProperties", "dependencies", "required"})

Error = TypeVar("Error")


class Violations:
    """Counts violations, and describes the first `MAX_NAMED` of them."""

    def __init__(self) -> None:
        self.count = 0
        self._described: list[str] = []

    def add(self, errors: Iterable[Error], describe: Callable[[Error], str]) -> None:
        """Add violations, without keeping the errors."""
        for error in errors:
            self.count += 1
            if self.count <= MAX_NAMED:
                text = printable(describe(error).rstrip("."))
                self._described.append(text[:MAX_SHOWN] + "…" if len(text) > MAX_SHOWN else text)

    def __str__(self) -> str:
        """Return the descriptions, and the number of other violations.

        Example:
            >>> violations = Violations()
            >>> violations.add(range(22), str)
            >>> str(violations)[-22:]
            '17; 18; 19; and 2 more'
        """
        rest = self.count - MAX_NAMED
        return "; ".join(self._described) + (f"; and {rest} more" if rest > 0 else "")


def describe_entry_error(error: ValidationError, logical_key: str) -> str:
    """Describe an error in the entry with a logical key."""
    where = "".join(f"{each} of " for each in reversed(error.absolute_path))
    return f"{where}{quote(logical_key)} {_describe(error)}"


def describe_rule(keyword: str | None, value: object) -> str:
    """Describe a rule by its keyword in JSON Schema; without one, the schema allows nothing.

    Example:
        >>> describe_rule("minimum", 1)
        'breaks a rule (minimum: 1)'
    """
    return f"breaks a rule ({keyword}: {json.dumps(value)})" if keyword else "is not allowed"


def describe_config_error(error: ValidationError) -> str:
    """Describe an error in a configuration, which contains no secrets."""
    return f"{error.json_path}: {error.message}"


def describe_metadata_error(error: ValidationError) -> str:
    """Describe an error in the metadata."""
    return f"metadata{error.json_path[1:]} {_describe(error)}"


def _describe(error: ValidationError) -> str:
    if error.validator in DISCREET_KEYWORDS:
        return f"breaks a rule ({error.message})"
    return describe_rule(error.validator, error.validator_value)
