"""The rules that a message breaks, collected so that its sender sees all of them at once."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import msgspec

from quilt_packager_runtime.errors import InvalidMessage, quote
from quilt_packager_runtime.formats import names
from quilt_packager_runtime.formats.json_errors import describe_type_error

_Value = TypeVar("_Value")
_Result = TypeVar("_Result")


class Violations:
    """Collects the broken rules of a message, field by field."""

    def __init__(self) -> None:
        self._found: list[str] = []
        self._rules: dict[str, str] = {}

    def add(self, field: str, rule: str, *, shown: str | None = None) -> None:
        """Add a broken rule. It is reported under `shown`, by default the field's name."""
        self._found.append(f"{shown or field}: {rule}")
        self._rules.setdefault(field.partition(" ")[0], rule)

    def check(
        self, field: str, value: _Value | None, rule: Callable[[_Value], _Result]
    ) -> _Result | None:
        """Apply a rule to the value of a field, unless the field is absent.

        Args:
            field: The name of the field.
            value: The value; None if the field is absent.
            rule: Returns the valid value, or raises ValueError.
        """
        if value is None:
            return None
        try:
            return rule(value)
        except msgspec.ValidationError as error:
            # The value is not shown, because it may be metadata.
            type_ = rule.keywords.get("type") if isinstance(rule, partial) else None
            self.add(field, describe_type_error(error, type_))
            return None
        except ValueError as error:
            shown = f"{field} {quote(value)}" if isinstance(value, str) else None
            self.add(field, str(error), shown=shown)
            return None

    def check_inferred_name(self, name: str) -> str | None:
        """Check a package name that is made from the folder or from a template."""
        return self.check("package_name (inferred)", name, names.check_package_name)

    def __bool__(self) -> bool:
        return bool(self._found)

    def as_error(self) -> InvalidMessage:
        """Return all broken rules as one error."""
        error = invalid_message(f"The message is invalid. {'; '.join(self._found)}.")
        error.rules = self._rules
        return error


def invalid_message(happened: str) -> InvalidMessage:
    """Return the error of a message that is not valid."""
    return InvalidMessage(
        happened,
        why="A message is the JSON of a package description, or an event of a known kind.",
        remedy="Correct it and send it again; the reference of messages describes every field.",
    )
