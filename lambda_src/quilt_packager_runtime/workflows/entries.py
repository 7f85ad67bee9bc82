"""The rules that a schema has for a package's entries, checked as they pass.

quilt3 makes a list of all entries and has jsonschema go through it. Here the keywords that are
about the list are read once, and jsonschema is given one entry after another. So neither memory
nor the time until others run depends on how many there are.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeAlias

from jsonschema import Draft7Validator

from quilt_packager_runtime.workflows.violations import (
    Findings,
    describe_entry_error,
    describe_rule,
)

JsonEntry: TypeAlias = dict[str, Any]
"""An entry as quilt3 shows it to a schema."""

Schema: TypeAlias = Any
"""What JSON Schema takes for one: an object or a Boolean."""


class Assertion(Protocol):
    """Something that is to hold of the list of all entries."""

    def take(self, entries: Sequence[JsonEntry]) -> None:
        """Look at the next entries."""

    def holds(self) -> bool:
        """Whether it holds, after the last entry."""


class EntryRules:
    """What a schema demands of the list of entries, and of each.

    Args:
        validator: Of the schema, without references, as quilt3 makes them.

    Example:
        >>> rules = EntryRules(Draft7Validator({"items": {"required": ["size"]}, "minItems": 3}))
        >>> findings = Findings()
        >>> rules.take([("a", 1), ("b", 2)], findings)
        >>> rules.end(findings)
        >>> str(findings)
        'the list of entries breaks a rule (minItems: 3)'
    """

    def __init__(self, validator: Draft7Validator) -> None:
        """Read the schema."""
        self._of_each: list[Draft7Validator] = []
        self._of_all: list[tuple[str, Assertion]] = []
        for keyword, value, assertion in _read(validator, validator.schema):
            if isinstance(assertion, _Every):
                self._of_each.append(assertion.validator)
            else:
                self._of_all.append((describe_rule(keyword, value), assertion))
        # As quilt3 does: nobody changes it.
        self._no_meta: dict[str, Any] = {}

    def take(self, entries: Iterable[tuple[str, int]], findings: Findings) -> None:
        """Check the next entries.

        Args:
            entries: Logical key and size in bytes of each, in the manifest's order.
            findings: Takes what is wrong with one of them.
        """
        taken: list[JsonEntry] = [
            {"logical_key": key, "size": size, "meta": self._no_meta} for key, size in entries
        ]
        findings.add(
            (
                (error, entry)
                for validator in self._of_each
                for entry in taken
                for error in validator.iter_errors(entry)
            ),
            lambda found: describe_entry_error(found[0], found[1]["logical_key"]),
        )
        for _, assertion in self._of_all:
            assertion.take(taken)

    def end(self, findings: Findings) -> None:
        """Say what was wrong with the list, after the last entry.

        Args:
            findings: Takes it.
        """
        broken = [text for text, assertion in self._of_all if not assertion.holds()]
        findings.add(broken, lambda text: f"the list of entries {text}")


class _Every:
    """Each entry is valid."""

    def __init__(self, validator: Draft7Validator) -> None:
        self.validator = validator
        self._holds = True

    def take(self, entries: Sequence[JsonEntry]) -> None:
        self._holds = self._holds and all(map(self.validator.is_valid, entries))

    def holds(self) -> bool:
        return self._holds


class _Some:
    """At least one entry is valid."""

    def __init__(self, validator: Draft7Validator) -> None:
        self._validator = validator
        self._holds = False

    def take(self, entries: Sequence[JsonEntry]) -> None:
        self._holds = self._holds or any(map(self._validator.is_valid, entries))

    def holds(self) -> bool:
        return self._holds


class _Positions:
    """The first entries are valid, each by a schema of its own, and the rest by another."""

    def __init__(self, first: Sequence[Draft7Validator], rest: Draft7Validator) -> None:
        self._first = first
        self._rest = rest
        self._taken = 0
        self._holds = True

    def take(self, entries: Sequence[JsonEntry]) -> None:
        for position, entry in enumerate(entries, start=self._taken):
            validator = self._first[position] if position < len(self._first) else self._rest
            self._holds = self._holds and validator.is_valid(entry)
        self._taken += len(entries)

    def holds(self) -> bool:
        return self._holds


class _Count:
    """So many entries, within bounds."""

    def __init__(self, least: float = 0, most: float = float("inf")) -> None:
        self._least = least
        self._most = most
        self._count = 0

    def take(self, entries: Sequence[JsonEntry]) -> None:
        self._count += len(entries)

    def holds(self) -> bool:
        return self._least <= self._count <= self._most


class _OneOf:
    """The list is one of some lists."""

    def __init__(self, validator: Draft7Validator, values: Sequence[object]) -> None:
        self._validator = validator
        self._most = max((len(value) for value in values if isinstance(value, list)), default=0)
        self._first: list[JsonEntry] = []

    def take(self, entries: Sequence[JsonEntry]) -> None:
        # One more than the longest tells that there are too many.
        self._first += entries[: self._most + 1 - len(self._first)]

    def holds(self) -> bool:
        return bool(self._validator.is_valid(self._first))


class _Always:
    """Known without any entry."""

    def __init__(self, *, holds: bool) -> None:
        self._holds = holds

    def take(self, entries: Sequence[JsonEntry]) -> None:
        pass

    def holds(self) -> bool:
        return self._holds


class _Combined:
    """Whether schemas hold decides whether this does."""

    def __init__(
        self,
        validator: Draft7Validator,
        schemas: Sequence[Schema],
        decide: Callable[[list[bool]], bool],
    ) -> None:
        self._parts = [
            [assertion for _, _, assertion in _read(validator, schema)] for schema in schemas
        ]
        self._decide = decide

    def take(self, entries: Sequence[JsonEntry]) -> None:
        for part in self._parts:
            for assertion in part:
                assertion.take(entries)

    def holds(self) -> bool:
        return self._decide([all(each.holds() for each in part) for part in self._parts])


def _items(validator: Draft7Validator, schema: Schema) -> Assertion:
    if not isinstance(schema["items"], list):
        return _Every(validator.evolve(schema=schema["items"]))
    first = [validator.evolve(schema=each) for each in schema["items"]]
    return _Positions(first, validator.evolve(schema=schema.get("additionalItems", True)))


def _type(_: Draft7Validator, schema: Schema) -> Assertion:
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    return _Always(holds="array" in types)


def _const(validator: Draft7Validator, schema: Schema) -> Assertion:
    return _OneOf(validator.evolve(schema={"const": schema["const"]}), [schema["const"]])


def _enum(validator: Draft7Validator, schema: Schema) -> Assertion:
    return _OneOf(validator.evolve(schema={"enum": schema["enum"]}), schema["enum"])


def _if(validator: Draft7Validator, schema: Schema) -> Assertion:
    schemas = [schema["if"], schema.get("then", True), schema.get("else", True)]
    return _Combined(validator, schemas, lambda held: held[1] if held[0] else held[2])


# All that are about lists, but `allOf`, and `uniqueItems`: keys are unique, so entries are.
_KEYWORDS: dict[str, Callable[[Draft7Validator, Schema], Assertion]] = {
    "anyOf": lambda validator, schema: _Combined(validator, schema["anyOf"], any),
    "const": _const,
    "contains": lambda validator, schema: _Some(validator.evolve(schema=schema["contains"])),
    "enum": _enum,
    "if": _if,
    "items": _items,
    "maxItems": lambda _, schema: _Count(most=schema["maxItems"]),
    "minItems": lambda _, schema: _Count(least=schema["minItems"]),
    "not": lambda validator, schema: _Combined(
        validator, [schema["not"]], lambda held: not held[0]
    ),
    "oneOf": lambda validator, schema: _Combined(
        validator, schema["oneOf"], lambda held: held.count(True) == 1
    ),
    "type": _type,
}


def _read(validator: Draft7Validator, schema: Schema) -> list[tuple[str, object, Assertion]]:
    """What a schema says of lists: keyword, value, and what it asserts."""
    if isinstance(schema, bool):
        return [("", schema, _Always(holds=schema))]
    read: list[tuple[str, object, Assertion]] = []
    for keyword, value in schema.items():
        if keyword == "allOf":
            read += [each for part in value for each in _read(validator, part)]
        elif keyword in _KEYWORDS:
            read.append((keyword, value, _KEYWORDS[keyword](validator, schema)))
    return read
