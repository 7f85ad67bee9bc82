"""Texts of any length from senders: what the packager writes about them stays small."""

import json
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quilt_packager_runtime.errors import EmptySource, Rejected
from quilt_packager_runtime.formats.outcome import Outcome, Result
from quilt_packager_runtime.reporting.notifications import format_notification
from quilt_packager_runtime.reporting.outcome_events import OutcomeDetail, outcome_detail
from quilt_packager_runtime.reporting.reporting import origin_of
from quilt_packager_runtime.reporting.telemetry import logger, metrics, record_outcome
from quilt_packager_runtime.requests.events import MAX_ID_CHARACTERS, OmicsRun
from quilt_packager_runtime.requests.messages import parse_message
from quilt_packager_runtime.requests.package_request import UnresolvedRequest

MAX_EVENT_BYTES = 256 * 1024
"""Maximum size of an entry of PutEvents according to its reference. Some regions take 1 MiB."""

MAX_LINE_BYTES = 1024 * 1024
"""Maximum size of an event of CloudWatch Logs."""

MAX_NOTIFICATION_BYTES = 256 * 1024

CHARACTERS = ["a", "/", '"', "\\", "é", "\x01", "\u2028", "🧬", "<", "-", "1", "%"]

texts = st.builds(
    lambda start, character, count, end: start + character * count + end,
    st.sampled_from(["", "raw", "s3://raw/", "a/b/", "aws.omics", "arn:aws:omics:::run/1"]),
    st.sampled_from(CHARACTERS),
    st.sampled_from([0, 1, 200, 1000, 60_000]),
    st.sampled_from(["", "/", "/ro-crate-metadata.json"]),
)
ids = st.sampled_from(["a", '"', "/"]).map(lambda character: character * 300_000) | texts


def shaped(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(fields)


def event(
    source: str | st.SearchStrategy[str], detail_type: str, detail: st.SearchStrategy[Any]
) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "id": ids,
            "source": st.just(source) if isinstance(source, str) else source,
            "detail-type": st.just(detail_type),
            "detail": detail,
        }
    )


buckets = st.just("raw") | texts
prefixes = st.just("runs/1/") | texts
keys = st.just("runs/1/ro-crate-metadata.json") | texts
run_arns = st.just("arn:aws:omics:us-east-1:123456789012:run/1") | texts
outputs = st.none() | st.just("s3://raw/runs/1") | texts.map(lambda text: f"s3://raw/{text}")

messages = st.one_of(
    event(texts, "package-objects-ready", shaped(bucket=buckets, prefix=prefixes)),
    event(
        "aws.s3",
        "Object Created",
        shaped(bucket=shaped(name=buckets), object=shaped(key=keys)),
    ),
    event(
        "aws.omics",
        "Run Status Change",
        shaped(arn=run_arns, status=texts, runOutputUri=outputs, runName=texts),
    ),
    shaped(
        Records=st.lists(
            shaped(
                eventSource=st.just("aws:s3") | texts,
                eventName=st.just("ObjectCreated:Put") | texts,
                s3=shaped(bucket=shaped(name=buckets), object=shaped(key=keys)),
                responseElements=st.dictionaries(st.just("x-amz-request-id") | texts, texts),
            ),
            max_size=2,
        )
    ),
    st.dictionaries(
        st.sampled_from(["registry", "package_name", "workflow", "metadata_format", "exclude"])
        | texts,
        texts | st.lists(texts, max_size=3),
        max_size=25,
    ).map(lambda fields: {"source_prefix": "s3://raw/runs/1/", **fields}),
    shaped(source_prefix=texts, commit_message=texts),
)


def parse(message: dict[str, Any]) -> UnresolvedRequest | Rejected | None:
    try:
        read = parse_message(json.dumps(message))
    except Rejected as error:
        return error
    # A run is looked up first, and another reason says why an event is ignored.
    assert not isinstance(read, OmicsRun) or len(read.run_id) < MAX_ID_CHARACTERS
    return read if isinstance(read, UnresolvedRequest) else None


def ends(request: UnresolvedRequest | Rejected) -> list[tuple[Outcome, Rejected | None]]:
    """The outcomes of a message with the longest texts."""
    if isinstance(request, Rejected):
        return [(Outcome.from_error(request), request)]
    error = EmptySource(f"{request.source} is empty.", why="x" * 50_000, remedy="🧬" * 50_000)
    name = request.package_name or "a/b"
    rejected = Outcome.from_error(error, package_name=name, registry=request.registry)
    created = Outcome(
        outcome=Result.CREATED,
        package_name=name,
        registry=request.registry,
        top_hash="0" * 64,
        previous_top_hash="1" * 64,
        objects=2**40,
        bytes=2**60,
        reused=0,
        stored=0,
        computed=2**40,
        remark=None,
    )
    return [(rejected, error), (created, None)]


def detail_of(request: UnresolvedRequest | Rejected, outcome: Outcome) -> OutcomeDetail:
    known = request if isinstance(request, UnresolvedRequest) else None
    return outcome_detail(
        outcome,
        engine="lab",
        message_id="2f1c4e3a-0000-4000-8000-000000000000",
        seconds=1,
        source=known.source if known else None,
        trigger=known.trigger if known else None,
        catalog_url="https://catalog.example",
    )


@given(messages)
def test_events_and_notifications_are_small(message: dict[str, Any]) -> None:
    request = parse(message)
    if request is None:
        return
    for outcome, error in ends(request):
        detail = detail_of(request, outcome)
        assert len(msgspec.json.encode(detail)) + 100 < MAX_EVENT_BYTES
        if error is not None:
            text = format_notification(detail).text
            assert len(text.encode()) < MAX_NOTIFICATION_BYTES


@given(messages)
def test_lines_of_the_log_are_small(message: dict[str, Any]) -> None:
    request = parse(message)
    if request is None:
        return
    known = request if isinstance(request, UnresolvedRequest) else None
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as written:
        patch.setattr(logger.registered_handler, "stream", written)
        patch.setattr(metrics.provider, "service", "engine")
        for outcome, error in ends(request):
            record_outcome(outcome, message_id="m", seconds=1, error=error, **origin_of(known))
    lines = written.getvalue().splitlines()
    assert lines
    assert all(len(line.encode()) < MAX_LINE_BYTES for line in lines)
