"""Flags of the last deployment, with the states of sources that were switched since."""

from typing import Any

import pytest

from quilt_packager.app.flags import ContextFlags
from quilt_packager.operations.sources.flags import find_flags_in_force
from quilt_packager.operations.sources.sources import Source

BUCKETS = {"quilt:source_buckets": ["runs"]}


def source(name: str, *, enabled: bool, deployed: bool) -> Source:
    return Source(
        name=name,
        kind="custom",
        title=name,
        matches="",
        enabled=enabled,
        deployed=deployed,
        rule=name,
        event_bus="edp-bus",
        description="",
        pattern={},
    )


def test_flags_of_sources_that_were_not_switched_stay() -> None:
    found = find_flags_in_force(BUCKETS, [source("omics", enabled=True, deployed=True)])
    assert (found.values, found.changed) == (BUCKETS, ())
    assert found.lines == '"quilt:source_buckets": ["runs"]'


@pytest.mark.parametrize(
    ("name", "enabled", "deployed", "value"),
    [
        ("omics", False, None, False),
        ("wrroc", True, False, True),
        ("edp", False, "edp-bus", ""),
        ("edp", True, "", "edp-bus"),
        ("uploads", False, "true", '{"enabled": false}'),
        ("uploads", True, '{"prefix_depth": 3}', '{"prefix_depth": 3, "enabled": true}'),
    ],
)
def test_switched_source_has_a_flag_that_the_app_reads(
    name: str, enabled: bool, deployed: object, value: object
) -> None:
    flags: dict[str, Any] = {} if deployed is None else {f"quilt:{name}": deployed}
    found = find_flags_in_force(flags, [source(name, enabled=enabled, deployed=not enabled)])
    assert found.changed == (f"quilt:{name}",)
    assert found.values[f"quilt:{name}"] == value
    ContextFlags.from_context(found.values)


@pytest.mark.parametrize(
    ("name", "flags"),
    [("lims", {"quilt:custom": "rules.json"}), ("uploads", {"quilt:uploads": "up.js"})],
)
def test_state_that_only_a_file_has_changes_no_flag(name: str, flags: dict[str, Any]) -> None:
    found = find_flags_in_force(flags, [source(name, enabled=False, deployed=True)])
    assert (found.values, found.changed) == (flags, ())
