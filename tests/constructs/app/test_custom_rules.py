"""The file of custom rules."""

import json
from pathlib import Path
from typing import Any

import pytest

from quilt_packager.app.custom_rules import CustomRule, read_custom_rules

RULE = {"id": "Nightly", "pattern": {"source": ["lab"]}}


def write(path: Path, content: object) -> str:
    path.write_text(json.dumps(content), "utf-8")
    return str(path)


def test_defaults_of_rules_are_those_of_custom_events(tmp_path: Path) -> None:
    (rule,) = read_custom_rules(write(tmp_path / "rules.json", [RULE]))
    assert rule == CustomRule(
        id="Nightly", pattern={"source": ["lab"]}, message=None, event_bus=None, enabled=True
    )


def test_no_file_means_no_rules() -> None:
    assert read_custom_rules("") == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"rules": []}, "Expected `array`"),
        ([{"pattern": {"source": ["lab"]}}], "missing required field `id`"),
        ([{"id": "Nightly"}], "missing required field `pattern`"),
        ([RULE | {"pattern": {}}], "pattern"),
        ([RULE | {"id": "a b"}], "id"),
        ([RULE | {"massage": {}}], "unknown field `massage`"),
        ([RULE | {"enabled": "yes"}], "enabled"),
        ([RULE | {"event_bus": "a bus"}], "event_bus"),
        ([RULE, RULE], "several rules have the id Nightly"),
    ],
)
def test_broken_rules_are_explained(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_custom_rules(write(tmp_path / "rules.json", content))


def test_rules_cannot_take_the_name_of_another_source(tmp_path: Path) -> None:
    rules = write(tmp_path / "rules.json", [RULE, RULE | {"id": "omics"}])
    with pytest.raises(ValueError, match=r"flags of their own: omics$"):
        read_custom_rules(rules, reserved=("omics", "edp"))


def test_missing_file_is_named() -> None:
    with pytest.raises(ValueError, match=r"no-such-file\.json"):
        read_custom_rules("no-such-file.json")
