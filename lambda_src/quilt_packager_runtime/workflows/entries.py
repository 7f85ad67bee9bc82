"""The rules that a schema has for the list of a package's entries, checked as the entries pass.

quilt3 gives jsonschema the list of all entries. Here jsonschema gets one entry after another, and
the keywords that are about lists are counted, so that neither memory nor the time until other
tasks run depends on the number of entries.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from jsonschema import Draft7Validator

from quilt_packager_runtime.workflows.violations import (
    Violations,
    describe_entry_error,
    describe_rule,
)

JsonEntry: TypeAlias = dict[str, Any]
"""An entry as quilt3 presents it to a schema."""

Schema: TypeAlias = Any
"""A JSON Schema: an object or a Boolean."""


class EntryRules:
    """The rules of a schema for the list of entries, and for each entry.

    Args:
        validator: Validator of a schema without references; quilt3 rejects others.
        metadata: Metadata of entries, by logical keys.

    Example:
        >>> rules = EntryRules(Draft7Validator({"items": {"required": ["size"]}, "minItems": 3}))
        >>> violations = Violations()
        >>> rules.check([("a", 1), ("b", 2)], violations)
        >>> rules.finish(violations)
        >>> str(violations)
        'the list of entries breaks a rule (minItems: 3)'
    """

    def __init__(
        self, validator: Draft7Validator, metadata: Mapping[str, dict[str, Any]] | None = None
    ) -> None:
        self._metadata = metadata or {}
        self._of_each: list[Draft7Validator] = []
        self._of_all: list[tuple[str, Assertion]] = []
        for keyword, schema in _list_keywords(validator.schema):
            if keyword == "items" and not isinstance(schema["items"], list):
                self._of_each.append(validator.evolve(schema=schema["items"]))
            else:
                rule = describe_rule(keyword, schema[keyword] if keyword else schema)
                self._of_all.append((rule, _ASSERTIONS[keyword](validator, schema)))
        self._no_meta: dict[str, Any] = {}  # shared by entries without metadata, as in quilt3

    def check(self, entries: Iterable[tuple[str, int]], violations: Violations) -> None:
        """Check the next entries.

        Args:
            entries: Logical key and size in bytes of each, in the manifest's order.
            violations: Collects the violations of rules for each entry.
        """
        taken: list[JsonEntry] = [
            {"logical_key": key, "size": size, "meta": self._metadata.get(key, self._no_meta)}
            for key, size in entries
        ]
        violations.add(
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

    def finish(self, violations: Violations) -> None:
        """Check the rules for the whole list, after the last entry."""
        broken = [rule for rule, assertion in self._of_all if not assertion.holds()]
        violations.add(broken, lambda rule: f"the list of entries {rule}")


class Assertion(Protocol):
    """A condition on the list of all entries."""

    def take(self, entries: Sequence[JsonEntry]) -> None:
        """Take the next entries."""

    def holds(self) -> bool:
        """Return whether the condition holds, after the last entry."""


class _AtLeast:
    """A number of entries that satisfy a predicate; negated: fewer."""

    def __init__(
        self, number: float, predicate: Callable[[JsonEntry], bool], *, negated: bool = False
    ) -> None:
        self._missing = number
        self._predicate = predicate
        self._negated = negated

    def take(self, entries: Sequence[JsonEntry]) -> None:
        if self._missing > 0:
            self._missing -= sum(map(self._predicate, entries))

    def holds(self) -> bool:
        return (self._missing <= 0) is not self._negated


class _Combined:
    """A function of the validity of some schemas."""

    def __init__(
        self,
        validator: Draft7Validator,
        schemas: Sequence[Schema],
        decide: Callable[[list[bool]], bool],
    ) -> None:
        self._parts = [
            [_ASSERTIONS[keyword](validator, each) for keyword, each in _list_keywords(schema)]
            for schema in schemas
        ]
        self._decide = decide

    def take(self, entries: Sequence[JsonEntry]) -> None:
        for part in self._parts:
            for assertion in part:
                assertion.take(entries)

    def holds(self) -> bool:
        return self._decide([all(each.holds() for each in part) for part in self._parts])


class _Whole:
    """A schema that depends on the positions of entries: the only one that needs them all."""

    def __init__(self, validator: Draft7Validator) -> None:
        self._validator = validator
        self._entries: list[JsonEntry] = []

    def take(self, entries: Sequence[JsonEntry]) -> None:
        self._entries += entries

    def holds(self) -> bool:
        return bool(self._validator.is_valid(self._entries))


def _items(validator: Draft7Validator, schema: Schema) -> Assertion:
    if isinstance(schema["items"], list):
        keywords = schema.keys() & {"items", "additionalItems"}
        return _Whole(validator.evolve(schema={each: schema[each] for each in keywords}))
    is_valid = validator.evolve(schema=schema["items"]).is_valid
    return _AtLeast(1, lambda entry: not is_valid(entry), negated=True)


def _if(validator: Draft7Validator, schema: Schema) -> Assertion:
    schemas = [schema["if"], schema.get("then", True), schema.get("else", True)]
    return _Combined(validator, schemas, lambda valid: valid[1 if valid[0] else 2])


# All keywords that apply to lists, except `allOf`, which is flattened, and `uniqueItems`, which
# always holds: keys are unique.
_ASSERTIONS: dict[str, Callable[[Draft7Validator, Schema], Assertion]] = {
    "anyOf": lambda validator, schema: _Combined(validator, schema["anyOf"], any),
    "const": lambda validator, schema: _Whole(validator.evolve(schema={"const": schema["const"]})),
    "contains": lambda validator, schema: _AtLeast(
        1, validator.evolve(schema=schema["contains"]).is_valid
    ),
    "enum": lambda validator, schema: _Whole(validator.evolve(schema={"enum": schema["enum"]})),
    "if": _if,
    "items": _items,
    "maxItems": lambda _, schema: _AtLeast(schema["maxItems"] + 1, bool, negated=True),
    "minItems": lambda _, schema: _AtLeast(schema["minItems"], bool),
    "not": lambda validator, schema: _Combined(
        validator, [schema["not"]], lambda valid: not valid[0]
    ),
    "oneOf": lambda validator, schema: _Combined(
        validator, schema["oneOf"], lambda valid: valid.count(True) == 1
    ),
    # A word, or several.
    "type": lambda validator, schema: _Combined(validator, [], lambda _: "array" in schema["type"]),
    "": lambda validator, schema: _Combined(validator, [], lambda _: schema is True),
}


def _list_keywords(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield each keyword that applies to lists, with the schema that has it; "" for a Boolean."""
    if isinstance(schema, bool):
        yield "", schema
        return
    for keyword, value in schema.items():
        if keyword == "allOf":
            for part in value:
                yield from _list_keywords(part)
        elif keyword in _ASSERTIONS:
            yield keyword, schema
