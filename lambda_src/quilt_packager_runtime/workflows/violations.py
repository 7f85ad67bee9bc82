"""What jsonschema finds, in words that a log may hold: names and rules, no values of metadata."""

import json
from collections.abc import Callable, Iterable
from typing import TypeVar

from jsonschema import ValidationError

from quilt_packager_runtime.errors import MAX_NAMED, printable, quote

MAX_SHOWN = 300
"""How many characters of one finding are shown."""

# Keywords whose messages tell names only; others' quote the value that they are about.
DISCREET_KEYWORDS = frozenset({"additionalProperties", "dependencies", "required"})

Found = TypeVar("Found")


class Findings:
    """Counts what is wrong, and describes the first `MAX_NAMED` of it."""

    def __init__(self) -> None:
        """Begin with nothing wrong."""
        self.count = 0
        self._described: list[str] = []

    def add(self, found: Iterable[Found], describe: Callable[[Found], str]) -> None:
        """Take what was found.

        Args:
            found: All of it; none is kept.
            describe: Puts one of them into words.
        """
        for each in found:
            self.count += 1
            if self.count <= MAX_NAMED:
                text = printable(describe(each).rstrip("."))
                self._described.append(text[:MAX_SHOWN] + "…" if len(text) > MAX_SHOWN else text)

    def __str__(self) -> str:
        """The descriptions, and how many there are beside them.

        Example:
            >>> findings = Findings()
            >>> findings.add(range(22), str)
            >>> str(findings)[-22:]
            '17; 18; 19; and 2 more'
        """
        rest = self.count - MAX_NAMED
        return "; ".join(self._described) + (f"; and {rest} more" if rest > 0 else "")


def describe_entry_error(error: ValidationError, logical_key: str) -> str:
    """Put a violation of the rules for each entry into words.

    Args:
        error: What jsonschema found in the entry.
        logical_key: The entry's.
    """
    where = "".join(f"{each} of " for each in reversed(error.absolute_path))
    return f"{where}{quote(logical_key)} {_describe(error)}"


def describe_rule(keyword: str | None, value: object) -> str:
    """Put what a rule is into words.

    Args:
        keyword: Of JSON Schema; None where a schema allows nothing.
        value: The keyword's.

    Example:
        >>> describe_rule("minimum", 1)
        'breaks a rule (minimum: 1)'
    """
    return f"breaks a rule ({keyword}: {json.dumps(value)})" if keyword else "is not allowed"


def describe_config_error(error: ValidationError) -> str:
    """Put a violation of the schema for configurations into words. No secrets are in those."""
    return f"{error.json_path}: {error.message}"


def describe_metadata_error(error: ValidationError) -> str:
    """Put a violation of the metadata's schema into words."""
    return f"metadata{error.json_path[1:]} {_describe(error)}"


def _describe(error: ValidationError) -> str:
    if error.validator in DISCREET_KEYWORDS:
        return f"breaks a rule ({error.message})"
    return describe_rule(error.validator, error.validator_value)
