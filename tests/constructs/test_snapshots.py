"""The whole template of each preset, so that a diff shows each change of it.

`UPDATE_SNAPSHOTS=1 make test ARGS=tests/constructs/test_snapshots.py` writes new templates. It
does not write `logical_ids.json`: a deployed resource whose id changes is replaced.
"""

import json
import os
from pathlib import Path

import pytest
from aws_cdk import App

from tests.constructs.presets import PRESETS, RULES
from tests.constructs.templates import JsonObject, template_of

SNAPSHOTS = Path(__file__).with_name("snapshots")


LOGICAL_IDS = json.loads((SNAPSHOTS / "logical_ids.json").read_text("utf-8"))


def resources_of(template: JsonObject) -> dict[str, str]:
    """Map logical ids to their resource's type, and to its handler if it is a function."""
    return {
        name: " ".join(filter(None, [each["Type"], each.get("Properties", {}).get("Handler")]))
        for name, each in template["Resources"].items()
    }


@pytest.mark.parametrize("preset", PRESETS)
def test_template_equals_its_snapshot(preset: str) -> None:
    text = json.dumps(template_of(PRESETS[preset](App())))
    # A flag has the path of this checkout.
    template = json.loads(text.replace(f"{RULES.parent}/", ""))
    path = SNAPSHOTS / f"{preset}.json"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(json.dumps(template, indent=2) + "\n", "utf-8")
    assert template == json.loads(path.read_text("utf-8"))


@pytest.mark.parametrize("preset", PRESETS)
def test_logical_ids_types_and_handlers_stay(preset: str) -> None:
    assert resources_of(template_of(PRESETS[preset](App()))) == LOGICAL_IDS[preset]


def test_each_snapshot_belongs_to_a_preset() -> None:
    assert {path.stem for path in SNAPSHOTS.iterdir()} == {*PRESETS, "logical_ids"}
