"""Parsing of the messages of the coalescer's queue."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quilt_packager_runtime.errors import InvalidMessage
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.uploads.upload_events import Upload, read_upload, uploads_pattern
from quilt_packager_runtime.uploads.wake_ups import WindowCheck, parse_arrival

SAMPLE = Path(__file__).parents[2] / "data" / "events" / "s3-object-created.json"


def event(**written: object) -> dict[str, Any]:
    sample = json.loads(SAMPLE.read_text("utf-8"))
    sample["detail"]["object"] |= written
    return dict(sample)


def test_an_upload_is_read_from_the_event_of_s3() -> None:
    assert read_upload(event()) == Upload(
        "amzn-s3-demo-bucket1", "my/s3/folder/ro-crate-metadata.json", "617f08299329d189", 5
    )


def test_without_a_sequencer_the_events_id_distinguishes_uploads() -> None:
    sample = event()
    del sample["detail"]["object"]["sequencer"]
    assert read_upload(sample).sequencer == sample["id"]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_keys_are_not_decoded(key: str) -> None:
    assert parse_arrival(json.dumps(event(key=key))).key == key  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        '"text"',
        "[" * 5000,
        json.dumps(event(key="")),
        json.dumps(event(key="\ud800")),
        json.dumps(event(size="many")),
        json.dumps(event() | {"source": "lab"}),
        json.dumps(event() | {"detail-type": "Object Deleted"}),
        '{"check": "window"}',
        '{"check": "other", "folder": {"bucket": "b", "prefix": "a/"}, "quiet_at_ms": 1}',
    ],
)
def test_other_messages_are_rejected(body: str) -> None:
    with pytest.raises(InvalidMessage):
        parse_arrival(body)


def test_a_check_is_read_as_it_was_written() -> None:
    body = '{"check":"window","folder":{"bucket":"b","prefix":"a\\u0001/"},"quiet_at_ms":5}'
    assert parse_arrival(body) == WindowCheck(SourceFolder("b", "a\x01/"), 5)


def test_the_pattern_excludes_packages_and_ignored_prefixes() -> None:
    pattern: Any = uploads_pattern(["raw"], ["tmp/"])
    assert pattern["detail"]["object"]["key"] == [{"anything-but": {"prefix": [".quilt/", "tmp/"]}}]


def test_a_pattern_needs_a_bucket() -> None:
    with pytest.raises(ValueError, match="buckets is empty"):
        uploads_pattern([])


def test_key_that_s3_cannot_have_is_malformed() -> None:
    with pytest.raises(InvalidMessage, match="at most 1024 bytes"):
        read_upload(event(key="x" * 1025))
