"""`docs/reference/outcomes.md` knows every field and kind of event."""

import re
from pathlib import Path

import pytest
from quilt_packager_runtime.formats.event_names import EVENT_SOURCE
from quilt_packager_runtime.formats.outcome import DETAIL_TYPES, Result
from quilt_packager_runtime.reporting.outcome_events import Links, OutcomeDetail, TriggerDetail

REFERENCE = (Path(__file__).parents[2] / "docs" / "reference" / "outcomes.md").read_text("utf-8")


def test_table_has_exactly_the_fields_of_an_event() -> None:
    table = REFERENCE.split("\n## The event\n")[1].split("\n## ")[0]
    named = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)))
    assert sorted(named) == sorted(OutcomeDetail.__struct_fields__)


@pytest.mark.parametrize("shape", [TriggerDetail, Links])
def test_reference_has_every_field(shape: type) -> None:
    fields = shape.__struct_fields__  # type: ignore[attr-defined]
    assert [field for field in fields if f"`{field}`" not in REFERENCE] == []


@pytest.mark.parametrize("name", [EVENT_SOURCE, *DETAIL_TYPES.values(), *Result])
def test_reference_has_every_name(name: str) -> None:
    assert f"`{name}`" in REFERENCE
