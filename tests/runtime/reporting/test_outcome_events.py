"""The outcome event: its detail, its schema, and its pattern."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft4Validator
from quilt_packager_runtime.formats.event_names import EVENT_SOURCE
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.formats.outcome import DETAIL_TYPES, Outcome, Result
from quilt_packager_runtime.reporting.outcome_events import (
    MAX_REASON_CHARACTERS,
    event_schema,
    outcome_detail,
    outcome_pattern,
)
from quilt_packager_runtime.requests.events import Ignored, Trigger, translate
from quilt_packager_runtime.requests.sources import MessageSource

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"
CREATED = Outcome(
    outcome=Result.CREATED,
    package_name="runs/42",
    registry="packages",
    top_hash="f" * 64,
    previous_top_hash="e" * 64,
    objects=3,
    bytes=42,
    reused=0,
    stored=2,
    computed=1,
)
REJECTED = Outcome(outcome=Result.REJECTED, code="EmptySource", reason='No "objects".')


def detail(outcome: Outcome, **more: Any) -> dict[str, Any]:
    """The detail as EventBridge carries it."""
    described = outcome_detail(outcome, engine="lab", message_id="m", seconds=1.23456, **more)
    read: dict[str, Any] = json.loads(msgspec.json.encode(described))
    return read


def event(outcome: Outcome, **more: Any) -> dict[str, Any]:
    """The event as rules see it."""
    return {
        "version": "0",
        "id": "e1",
        "source": EVENT_SOURCE,
        "detail-type": DETAIL_TYPES[outcome.outcome],
        "account": "123456789012",
        "time": "2026-11-22T12:00:00Z",
        "region": "us-east-1",
        "resources": [],
        "detail": detail(outcome, **more),
    }


class TestDetail:
    def test_has_all_known_fields_of_a_package(self) -> None:
        assert detail(
            CREATED,
            source=SourceFolder("raw", "runs/a b/"),
            trigger=Trigger("health_omics", "e1"),
            catalog_url="https://catalog.example.com/",
        ) == {
            "version": "1",
            "engine": "lab",
            "outcome": "created",
            "message_id": "m",
            "trigger": {"kind": "health_omics", "event_id": "e1"},
            "source": "s3://raw/runs/a%20b/",
            "registry": "packages",
            "package_name": "runs/42",
            "top_hash": "f" * 64,
            "previous_top_hash": "e" * 64,
            "objects": 3,
            "bytes": 42,
            "reused": 0,
            "stored": 2,
            "computed": 1,
            "seconds": 1.235,
            "links": {
                "quilt": f"quilt+s3://packages#package=runs/42@{'f' * 64}",
                "catalog": "https://catalog.example.com/b/packages/packages/runs/42/tree/"
                + "f" * 64,
            },
        }

    def test_names_all_sources(self) -> None:
        sources = (MessageSource("s3://raw/runs/42/", "raw/"), MessageSource("s3://results/"))
        made = event(CREATED, source=SourceFolder("raw", "runs/42/"), sources=sources)
        Draft4Validator(json.loads(event_schema())).validate(made)
        assert made["detail"]["source"] == "s3://raw/runs/42/"
        assert made["detail"]["sources"] == [
            {"prefix": "s3://raw/runs/42/", "into": "raw/"},
            {"prefix": "s3://results/", "into": ""},
        ]

    def test_leaves_out_unknown_fields(self) -> None:
        assert detail(REJECTED) == {
            "version": "1",
            "engine": "lab",
            "outcome": "rejected",
            "message_id": "m",
            "seconds": 1.235,
            "code": "EmptySource",
            "reason": 'No "objects".',
            "links": {},
        }

    def test_has_no_catalog_link_without_a_catalog(self) -> None:
        assert detail(CREATED)["links"].keys() == {"quilt"}

    def test_links_to_a_rejected_package_in_quarantine(self) -> None:
        refused = msgspec.structs.replace(REJECTED, quarantine="quilt+s3://q#package=a/b@c")
        assert detail(refused)["links"] == {"quarantine": "quilt+s3://q#package=a/b@c"}

    def test_fits_into_an_event_with_a_reason_of_any_length(self) -> None:
        endless = msgspec.structs.replace(REJECTED, reason="𐍈" * 1_000_000)
        encoded = msgspec.json.encode(
            outcome_detail(endless, engine="e", message_id="m", seconds=0)
        )
        assert len(encoded) < MAX_REASON_CHARACTERS * 4 + 1000 < 256 * 1024


class TestSchema:
    def test_committed_file_is_current(self) -> None:
        assert (REFERENCE / "outcome.schema.json").read_text("utf-8") == event_schema()

    def test_is_a_schema_of_draft_4(self) -> None:
        Draft4Validator.check_schema(json.loads(event_schema()))

    @pytest.mark.parametrize(
        "outcome", [CREATED, REJECTED, *(Outcome(outcome=result) for result in Result)]
    )
    def test_accepts_every_outcome_event(self, outcome: Outcome) -> None:
        Draft4Validator(json.loads(event_schema())).validate(event(outcome))

    @pytest.mark.parametrize(
        "broken", [{"source": "com.quiltdata"}, {"detail-type": "Package Lost"}, {"detail": {}}]
    )
    def test_rejects_other_events(self, broken: dict[str, Any]) -> None:
        schema = Draft4Validator(json.loads(event_schema()))
        assert not schema.is_valid(event(CREATED) | broken)


@pytest.mark.parametrize("result", Result)
def test_pattern_matches_source_detail_type_and_engine(result: Result) -> None:
    assert outcome_pattern(DETAIL_TYPES[result], engine="lab") == {
        "source": ["quilt.packager"],
        "detail-type": [f"Package {result.value.title()}"],
        "detail": {"engine": ["lab"]},
    }


@pytest.mark.parametrize("outcome", [CREATED, REJECTED])
def test_an_outcome_event_received_as_a_message_is_ignored(outcome: Outcome) -> None:
    assert isinstance(translate(event(outcome)), Ignored)
