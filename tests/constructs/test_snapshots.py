"""The whole template of each preset, so that no change of it goes unseen.

`UPDATE_SNAPSHOTS=1 make test ARGS=tests/constructs/test_snapshots.py` takes new ones.
"""

import json
import os
from pathlib import Path

import pytest
from aws_cdk import App

from tests.constructs.presets import PRESETS
from tests.constructs.templates import template_of

SNAPSHOTS = Path(__file__).with_name("snapshots")


@pytest.mark.parametrize("preset", PRESETS)
def test_template_fails_if_it_is_not_its_snapshot(preset: str) -> None:
    template = template_of(PRESETS[preset](App()))
    path = SNAPSHOTS / f"{preset}.json"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(json.dumps(template, indent=2) + "\n", "utf-8")
    assert template == json.loads(path.read_text("utf-8"))


def test_snapshots_fail_if_one_is_of_no_preset() -> None:
    assert {path.stem for path in SNAPSHOTS.iterdir()} == set(PRESETS)
