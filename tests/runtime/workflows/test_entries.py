"""Rules for entries, checked as the entries pass, compared to jsonschema on the whole list."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from quilt_packager_runtime.workflows.entries import EntryRules
from quilt_packager_runtime.workflows.violations import Violations

SIZES = [1, 2, 3]
SMALL = {"properties": {"size": {"maximum": 1}}}
README = {"properties": {"logical_key": {"const": "README.md"}}}

of_entries = st.sampled_from(
    [
        True,
        False,
        {},
        SMALL,
        README,
        {"required": ["x"]},
        {"not": SMALL},
        {"anyOf": [SMALL, README]},
    ]
)
constants = st.lists(
    st.builds(
        lambda key, size: {"logical_key": key, "size": size, "meta": {}},
        st.sampled_from("ab"),
        st.sampled_from([1, 2, True]),
    ),
    max_size=2,
)
atoms = st.fixed_dictionaries(
    {},
    optional={
        "items": of_entries | st.lists(of_entries, max_size=3),
        "additionalItems": of_entries,
        "contains": of_entries,
        "minItems": st.integers(0, 3),
        "maxItems": st.integers(0, 3),
        "uniqueItems": st.booleans(),
        "type": st.sampled_from(["array", "object", ["object", "array"], ["null"]]),
        "const": st.just(5) | constants,
        "enum": st.lists(st.just(5) | constants, min_size=1, max_size=2),
        # Keywords that do not apply to lists.
        "required": st.just(["x"]),
        "pattern": st.just("^$"),
        "title": st.just("T"),
    },
    # jsonschema does not take these together.
).filter(lambda schema: not (isinstance(schema.get("items"), bool) and "additionalItems" in schema))


def combine(schemas: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(schemas, min_size=1, max_size=3)
    return st.one_of(
        *(st.fixed_dictionaries({keyword: some}) for keyword in ("allOf", "anyOf", "oneOf")),
        st.fixed_dictionaries({"not": schemas}),
        st.fixed_dictionaries({"if": schemas}, optional={"then": schemas, "else": schemas}),
    )


def check(schema: Any, blocks: list[list[tuple[str, int]]]) -> Violations:
    violations = Violations()
    rules = EntryRules(Draft7Validator(schema))
    for block in blocks:
        rules.check(block, violations)
    rules.finish(violations)
    return violations


@given(
    st.recursive(st.booleans() | atoms, combine, max_leaves=5),
    st.dictionaries(st.sampled_from(["README.md", "a", "b", "c"]), st.sampled_from(SIZES)),
    st.integers(1, 3),
)
def test_any_schema_is_valid_if_it_is_for_the_whole_list(
    schema: Any, sizes: dict[str, int], slice_size: int
) -> None:
    entries = list(sizes.items())
    blocks = [entries[n : n + slice_size] for n in range(0, len(entries), slice_size)]
    whole = [{"logical_key": key, "size": size, "meta": {}} for key, size in entries]
    assert (check(schema, blocks).count == 0) == Draft7Validator(schema).is_valid(whole)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"items": SMALL}, 'size of "b" breaks a rule (maximum: 1)'),
        ({"allOf": [{"items": SMALL}]}, 'size of "b" breaks a rule (maximum: 1)'),
        ({"items": {"required": ["x"]}, "maxItems": 9}, "\"a\" breaks a rule ('x' is a required"),
        ({"minItems": 3}, "the list of entries breaks a rule (minItems: 3)"),
        ({"not": {"maxItems": 2}}, 'the list of entries breaks a rule (not: {"maxItems": 2})'),
        (False, "the list of entries is not allowed"),
        ({"items": False}, '"a" is not allowed; "b" is not allowed'),
    ],
)
def test_a_violation_names_the_entry_or_the_list(schema: Any, said: str) -> None:
    assert str(check(schema, [[("a", 1), ("b", 2)]])).startswith(said)
