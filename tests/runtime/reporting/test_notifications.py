"""Notifications of failures: complete where they fit, and escaped for chats."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quilt_packager_runtime.errors import InvalidKeys, name_some
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.formats.outcome import Outcome, Result
from quilt_packager_runtime.reporting.notifications import (
    MAX_SUBJECT_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    Notification,
    format_notification,
)
from quilt_packager_runtime.reporting.outcome_events import outcome_detail
from quilt_packager_runtime.requests.events import Trigger
from quilt_packager_runtime.requests.sources import MessageSource


def notice(reason: str = "No objects.", *, name: str | None = "runs/42") -> Notification:
    outcome = Outcome(
        outcome=Result.REJECTED,
        package_name=name,
        registry="packages",
        code="EmptySource",
        reason=reason,
        quarantine="quilt+s3://q#package=runs/42@0",
    )
    detail = outcome_detail(
        outcome,
        engine="lab",
        message_id="m",
        seconds=1,
        source=SourceFolder("raw", "a&b/"),
        trigger=Trigger("health_omics", "e1"),
    )
    return format_notification(detail)


def test_has_all_known_facts() -> None:
    assert notice() == Notification(
        "Package Rejected: runs/42",
        "Package Rejected: runs/42\n"
        "\n"
        "Code: EmptySource\n"
        "Registry: packages\n"
        "Source: s3://raw/a%26b/\n"
        "Quarantine: quilt+s3://q#package=runs/42@0\n"
        "Trigger: health_omics e1\n"
        "Message: m\n"
        "Engine: lab\n"
        "\n"
        "No objects.",
    )


def test_has_the_known_facts_of_an_unreadable_message() -> None:
    detail = outcome_detail(
        Outcome(outcome=Result.FAILED, code="AttemptsExhausted"),
        engine="lab",
        message_id="m",
        seconds=0,
    )
    assert format_notification(detail).text.startswith(
        "Package Failed\n\nCode: AttemptsExhausted\nMessage: m\n"
    )


@pytest.mark.parametrize(
    ("count", "shown"),
    [(1, "s3://b/0/"), (2, "s3://b/0/ and 1 other source"), (3, "2 other sources")],
)
def test_several_sources_are_counted(count: int, shown: str) -> None:
    sources = tuple(MessageSource(f"s3://b/{number}/") for number in range(count))
    detail = outcome_detail(
        Outcome(outcome=Result.FAILED),
        engine="lab",
        message_id="m",
        seconds=0,
        source=SourceFolder("b", "0/"),
        sources=sources,
    )
    assert f"{shown}\nMessage" in format_notification(detail).text


def test_keys_are_escaped_as_markup_of_chats() -> None:
    error = InvalidKeys(name_some(["<!channel>//<@U1>&"]), why="No.", remedy="Rename it.")
    assert '"&lt;!channel&gt;//&lt;@U1&gt;&amp;" No.' in notice(error.reason).text


def test_a_reason_with_line_breaks_and_escapes_is_one_line() -> None:
    assert notice("a\r\n\x1b[31mb\u2028").text.endswith("\n\na\\r\\n\\x1b[31mb\\u2028")


@given(st.text(st.sampled_from("<>&a"), min_size=3000, max_size=4000))
def test_a_long_reason_is_truncated_between_escapes(reason: str) -> None:
    text = notice(reason).text
    assert MAX_TEXT_CHARACTERS - 5 <= len(text) <= MAX_TEXT_CHARACTERS
    shown = text.partition("m\nEngine: lab\n\n")[2]
    assert shown.endswith("…")
    unescaped = shown[:-1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert reason.startswith(unescaped)


@pytest.mark.parametrize("name", ["a/b", "a/" + "b" * 500, None])
def test_subject_is_valid_for_sns(name: str | None) -> None:
    subject = notice(name=name).subject
    assert subject.isascii()
    assert subject.isprintable()
    assert len(subject) <= MAX_SUBJECT_CHARACTERS < 100
