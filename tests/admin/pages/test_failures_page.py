"""The Failures tab: explanations, questions, and actions on exact ids."""

import html
import re
from datetime import timedelta

import msgspec
import pytest
from botocore.exceptions import ClientError
from quilt_packager_runtime.reporting.log_events import DamagedEntry

from quilt_packager.admin.app import make_app
from quilt_packager.admin.model.views import Views
from quilt_packager.admin.pages import failures_page
from quilt_packager.admin.web.security import Access
from quilt_packager.operations.audits import AuditedPackage
from quilt_packager.operations.checks.retry_check import Obstacle
from quilt_packager.operations.dead_letters.error_codes import NOT_A_MESSAGE
from quilt_packager.operations.dead_letters.queue import Failure
from quilt_packager.operations.deployment.queues import Queues
from tests.admin.browser import Answer, Browser
from tests.admin.engine import IDENTITY, Engine, ago, make_job
from tests.admin.letters import Letters, make_letter

HOSTILE = [
    "<script>alert(1)</script>",
    "\"quoted\" 'both' `tick`",
    "שלום עולם",
    "🧬 👩‍🔬",
    "{{ 7 * 7 }} a&amp;b",
]


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> Letters:
    scripted = Letters()
    scripted.install(monkeypatch)
    return scripted


def read_form(answer: Answer) -> list[str]:
    """Return the messages in the form of a page."""
    return [
        html.unescape(each) for each in re.findall(r'name="letter" value="([^"]*)"', answer.text)
    ]


def choose(browser: Browser, access: Access, **choice: str) -> Answer:
    """Press a button of the list."""
    form = [("letter", each) for each in read_form(browser.get("/failures?whole=1"))]
    return browser.post("/failures/ask", [("csrf", access.csrf_token), *form, *choice.items()])


def confirm(browser: Browser, access: Access, asked: Answer) -> Answer:
    """Press the confirming button of a question."""
    action = re.search(r'<form method="post" action="(/failures/\w+)">', asked.text)
    assert action is not None
    behind = re.search(r'name="next" value="([^"]*)"', asked.text)
    assert behind is not None
    form = [("letter", each) for each in read_form(asked)]
    decided = re.findall(r'name="(on_foreign_revision)" value="(\w+)"', asked.text)
    fields = [("csrf", access.csrf_token), *form, *decided, ("next", html.unescape(behind[1]))]
    return browser.post(action[1], fields)


def test_frame_receives_no_message(browser: Browser, letters: Letters) -> None:
    answer = browser.get("/failures")
    assert (answer.status, letters.reads) == (200, 0)
    assert 'hx-get="/failures/list?" hx-trigger="load"' in answer.text


def test_page_is_complete_without_javascript(browser: Browser, letters: Letters) -> None:
    letters.letters = [make_letter()]
    assert 'content="0; url=?whole=1&amp;code=X"' in browser.get("/failures?code=X").text
    text = browser.get("/failures?whole=1").text
    assert "wgs/m1" in text
    assert 'hx-trigger="load"' not in text


class TestDamage:
    DAMAGED = AuditedPackage(
        "packages",
        "runs/<42>",
        since=ago(days=9),
        audited=ago(days=2),
        damaged=3,
        findings=(
            DamagedEntry(
                code="ObjectMissing",
                happened='"a.bam" does not exist.',
                remedy="Restore it.",
                logical_key="a.bam",
                replacement="s3://raw/a.bam?versionId=v2",
            ),
        ),
    )

    def test_damaged_packages_are_shown_with_their_entries(
        self, browser: Browser, engine: Engine
    ) -> None:
        engine.audits = [self.DAMAGED]
        text = html.unescape(browser.htmx("/failures/damaged").text)
        for words in ("1 damaged package", "3 damaged, since", "9 d", "ObjectMissing", "v2"):
            assert words in text
        assert "runs/<42>" not in browser.htmx("/failures/damaged").text

    def test_nothing_is_shown_without_damage(self, browser: Browser) -> None:
        assert "section" not in browser.htmx("/failures/damaged").text

    def test_an_error_of_the_log_leaves_the_tab_usable(
        self, browser: Browser, engine: Engine, letters: Letters
    ) -> None:
        engine.audits = ClientError({"Error": {"Code": "AccessDenied"}}, "FilterLogEvents")
        letters.letters = [make_letter()]
        text = browser.get("/failures?whole=1").text
        assert "AccessDenied" in text
        assert "wgs/m1" in text


def test_group_shows_cause_and_remedy(browser: Browser, letters: Letters) -> None:
    letters.letters = [make_letter()]
    text = browser.htmx("/failures/list").text
    for words in (
        "Access denied",
        "AccessDenied",
        "may not read",
        "is not allowed",
        "Allow it",
    ):
        assert words in text


def test_group_that_expires_first_stands_first(browser: Browser, letters: Letters) -> None:
    letters.letters = [
        make_letter("1", "AccessDenied", sent=ago(hours=1)),
        make_letter("2", "EmptySource", sent=ago(days=3)),
    ]
    text = browser.htmx("/failures/list").text
    assert text.index("EmptySource") < text.index("AccessDenied")


def test_held_jobs_stand_first(browser: Browser, letters: Letters) -> None:
    letters.letters = [
        make_letter("1", "EmptySource", sent=ago(days=3)),
        make_letter("2", "HeldForReview"),
    ]
    text = browser.htmx("/failures/list").text
    assert text.index('id="letter-2"') < text.index('id="letter-1"')


@pytest.mark.parametrize(
    ("query", "ids"),
    [("q=RAW/2", ["1/2"]), ("age=1d", ["1/1"]), ("q=nothing", []), ("age=odd", ["1/1", "2/2"])],
)
def test_filter_limits_the_messages(
    browser: Browser, letters: Letters, query: str, ids: list[str]
) -> None:
    letters.letters = [make_letter("1", sent=ago(days=3)), make_letter("2", "EmptySource")]
    assert read_form(browser.htmx(f"/failures/list?{query}")) == ids


@pytest.mark.parametrize(
    ("code", "body", "offered"),
    [
        ("InvalidMessage", '{"source_prefix": 7}', True),
        ("EmptySource", '{"source_prefix": "s3://raw/a/"}', True),
        ("EmptySource", '{"detail-type": "Folder Ready"}', False),
        ("InvalidMessage", "no JSON", False),
        ("HeldForReview", '{"source_prefix": "s3://raw/a/"}', False),
        # Nothing in the message is wrong.
        ("AccessDenied", '{"source_prefix": "s3://raw/a/"}', False),
        ("ChecksumMismatch", '{"source_prefix": "s3://raw/a/"}', False),
        ("WriteConflict", '{"source_prefix": "s3://raw/a/"}', False),
    ],
)
def test_rejected_messages_of_a_person_can_be_edited(
    browser: Browser, letters: Letters, *, code: str, body: str, offered: bool
) -> None:
    letters.letters = [make_letter("1", code, body=body)]
    assert ('href="/new?message=1"' in browser.htmx("/failures/list").text) == offered


@pytest.mark.parametrize(
    ("code", "body", "offered"),
    [
        ("InvalidMessage", '{"source_prefix": 7}', False),
        # Its source's options may have changed since.
        ("InvalidMessage", '{"detail-type": "Folder Ready"}', True),
        ("AccessDenied", '{"source_prefix": "s3://raw/a/"}', True),
        ("EmptySource", '{"source_prefix": "s3://raw/a/"}', True),
    ],
)
def test_retry_is_offered_where_it_can_succeed(
    browser: Browser, letters: Letters, *, code: str, body: str, offered: bool
) -> None:
    letters.letters = [make_letter("1", code, body=body)]
    text = browser.htmx("/failures/list").text
    assert ('name="retry" value="1"' in text) == offered
    assert ('name="retry" value="group:1"' in text) == offered
    assert 'name="discard" value="1"' in text


def test_retry_of_all_leaves_out_messages_to_edit(
    browser: Browser, letters: Letters, access: Access
) -> None:
    invalid = [make_letter(each, "InvalidMessage", body='{"a": 1}') for each in ("1", "2")]
    letters.letters = [*invalid, make_letter("3"), make_letter("4", "WriteConflict")]
    assert "Retry all 2" in browser.htmx("/failures/list").text
    asked = choose(browser, access, retry="all")
    assert read_form(asked) == ["/3", "/4"]
    assert "2 messages would fail again as they are: edit and send." in asked.text
    letters.letters = invalid
    browser.get("/failures?whole=1&next=")
    refused = choose(browser, access, retry="group:1")
    assert "2 messages would fail again" in refused.text


@pytest.mark.parametrize(
    ("found", "warning", "consequence"),
    [
        ([Obstacle("The key refuses the role.", frozenset("12"))], "The key", "All 2 would"),
        ([Obstacle("s3://raw/1/ is empty.", frozenset("1"))], "s3://raw/1/", "1 of 2 would"),
        ([], None, None),
    ],
)
def test_question_names_what_still_prevents_a_retry(
    browser: Browser,
    letters: Letters,
    access: Access,
    monkeypatch: pytest.MonkeyPatch,
    *,
    found: list[Obstacle],
    warning: str | None,
    consequence: str | None,
) -> None:
    monkeypatch.setattr(failures_page, "find_obstacles", lambda *_: found)
    letters.letters = [make_letter("1"), make_letter("2")]
    text = choose(browser, access, retry="group:1").text
    assert ("(checked just now)" in text) == bool(found)
    if warning and consequence:
        assert f"<strong>{warning}" in text
        assert f"{consequence} fail again." in text
    assert "Retry 2 messages" in text


def test_question_excludes_messages_that_came_later(
    browser: Browser, letters: Letters, access: Access, engine: Engine
) -> None:
    assert isinstance(engine.queues, Queues)
    engine.queues = msgspec.structs.replace(engine.queues, dead_letters=3)
    letters.letters = [make_letter(each, "WriteConflict") for each in ("1", "2")]
    later = "1 message that came after this page was read is not among them."
    assert later in choose(browser, access, discard="group:1").text
    assert later not in choose(browser, access, discard="1").text


def test_question_without_its_check_says_so(
    browser: Browser, letters: Letters, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> list[Obstacle]:
        raise ClientError({"Error": {"Code": "Throttling"}}, "GetKeyPolicy")

    monkeypatch.setattr(failures_page, "find_obstacles", refuse)
    letters.letters = [make_letter("1")]
    text = choose(browser, access, retry="1").text
    assert "Whether the cause is still there could not be checked." in text


def test_messages_are_filtered_by_their_source(browser: Browser, letters: Letters) -> None:
    letters.letters = [
        make_letter("1", trigger="health_omics"),
        make_letter("2", trigger="message"),
        make_letter("3", "InvalidMessage", body='{"source_prefix": 7}'),
        make_letter("4", "Undelivered", body='{"detail-type": "Odd"}'),
    ]
    text = browser.htmx("/failures/list").text
    chosen = text.partition('id="source"')[2].partition("</select>")[0]
    options = ["Source", "HealthOmics", "Message", "Other"]
    assert re.findall(r"<option[^>]*>([^<]*)<", chosen) == options
    shown = browser.htmx("/failures/list?source=Message&age=odd")
    assert sorted(read_form(shown)) == ["1/2", "2/3"]
    assert "Only source Message: 2 messages of 4." in shown.text
    assert 'href="/failures?source=Message&amp;code=InvalidMessage"' in shown.text


def test_filter_of_a_form_becomes_the_address(browser: Browser, letters: Letters) -> None:
    url = "/failures/list?q=&source=Message&age="
    answer = browser.htmx(url, hx_source="form")
    assert answer.headers["hx-push-url"] == "/failures?source=Message"
    assert "hx-push-url" not in browser.htmx(url, hx_source="div#failures").headers


def test_both_values_of_a_checksum_are_shown(browser: Browser, letters: Letters) -> None:
    listed, actual = "9f2c" + "0" * 26 + "0b", "41aa" + "1" * 26 + "e7"
    happened = (
        f'2 files differ from the checksum lists: "L1_R2.fastq.gz" (md5: {listed} in '
        f'"md5sum.txt", {actual} in S3), "b" (md5: 00 in "md5sum.txt", 11 in S3).'
    )
    letters.letters = [make_letter("1", "ChecksumMismatch", happened=happened)]
    text = browser.htmx("/failures/list").text
    assert "listed as <code>9f2c…0b</code>, and is <code>41aa…e7</code>" in text
    assert "and 1 more file" in text
    assert "<p>Files differ from the checksum lists of their sender.</p>" in text
    both = text.partition("Show both</summary>")[2].partition("</details>")[0]
    for value in (listed, actual, "L1_R2.fastq.gz", "md5sum.txt"):
        assert value in both


def test_page_warns_of_messages_that_are_deleted_soon(browser: Browser, letters: Letters) -> None:
    letters.letters = [make_letter("1"), make_letter("2", sent=ago(days=13, hours=2))]
    text = browser.htmx("/failures/list").text
    assert "1 message will be deleted within 22 h." in text
    assert "It has waited 13 d." in text
    shown = browser.htmx("/failures/list?age=soon")
    assert read_form(shown) == ["1/2"]
    assert "Only deleted within 24 hours: 1 message of 2." in shown.text


def test_rejected_group_warns_of_a_retry_without_change(browser: Browser, letters: Letters) -> None:
    letters.letters = [make_letter("1", "WorkflowViolations"), make_letter("2", "WriteConflict")]
    first, second = browser.htmx("/failures/list").text.split('aria-labelledby="h-2"')
    assert ("Rejected" in first, "A retry without a change fails again." in first) == (True, True)
    assert ("Failed" in second, "A retry without a change fails again." in second) == (True, False)


def test_message_shows_its_individual_reason(browser: Browser, letters: Letters) -> None:
    letters.letters = [make_letter("1"), make_letter("2")]
    text = browser.htmx("/failures/list").text
    assert "AWS denied the packager an action." in text
    assert "may not read s3://raw/1/." in text
    assert "may not read s3://raw/2/." in text


def test_message_shows_its_body_and_links_to_its_job(browser: Browser, letters: Letters) -> None:
    letters.letters = [make_letter(body="x" * 2010)]
    text = browser.htmx("/failures/list").text
    assert "x" * 2000 + "… and 10 more characters" in text
    assert 'href="/jobs/job-m1"' in text


def test_event_that_never_became_a_job_leads_to_none(browser: Browser, letters: Letters) -> None:
    letters.letters = [make_letter(job_id=None)]
    assert 'href="/jobs/' not in browser.htmx("/failures/list").text


def test_long_group_is_cut_but_its_buttons_mean_all(browser: Browser, letters: Letters) -> None:
    letters.letters = [make_letter(f"{number:03}") for number in range(60)]
    answer = browser.htmx("/failures/list")
    assert answer.text.count('id="letter-') == 50
    assert len(read_form(answer)) == 60
    assert 'href="/failures?code=AccessDenied">Show all 60<' in answer.text
    assert browser.htmx("/failures/list?code=AccessDenied").text.count('id="letter-') == 60


def test_nothing_has_failed(browser: Browser, letters: Letters) -> None:
    text = browser.htmx("/failures/list").text
    assert "Nothing needs attention" in text
    assert "Retry" not in text
    assert letters.reads == 1


def test_messages_held_by_another_reader_are_counted(browser: Browser, letters: Letters) -> None:
    letters.in_flight = 3
    assert "3 messages held by another reader." in browser.htmx("/failures/list").text


def test_error_of_aws_is_explained(browser: Browser, letters: Letters) -> None:
    letters.letters = ClientError(
        {"Error": {"Code": "AccessDenied", "Message": "Not <b>you</b>."}}, "ReceiveMessage"
    )
    text = browser.htmx("/failures/list").text
    assert "AWS denied ReceiveMessage." in text
    assert "No policy allows it" in text
    assert "<b>you" not in text


def test_polls_count_and_receive_nothing(
    browser: Browser, letters: Letters, engine: Engine
) -> None:
    letters.letters = [make_letter()]
    listed = browser.htmx("/failures/list").text
    assert 'hx-get="/failures/count?known=1" hx-trigger="every 15s, resume"' in listed
    counted = browser.htmx("/failures/count?known=1").text
    assert (letters.reads, engine.asked) == (1, ["queues"])
    assert "There are 7 messages now." in counted
    assert "There are" not in browser.htmx("/failures/count?known=7").text


def test_list_updates_the_count_of_the_tab(browser: Browser, letters: Letters) -> None:
    letters.letters = [make_letter("1"), make_letter("2")]
    part = browser.htmx("/failures/list").text.split('<hx-partial hx-target="#count-failures">')[1]
    assert "2<span" in part


def test_question_names_exactly_the_listed_messages(
    browser: Browser, letters: Letters, access: Access
) -> None:
    letters.letters = [make_letter("1"), make_letter("2"), make_letter("3", "EmptySource")]
    page = read_form(browser.get("/failures?whole=1"))
    letters.letters.append(make_letter("4"))
    form = [
        ("csrf", access.csrf_token),
        *(("letter", each) for each in page),
        ("discard", "group:1"),
    ]
    asked = browser.post("/failures/ask", form)
    assert "Discard 2 messages?" in asked.text
    for number in (1, 2):
        named = f"<code>s3://raw/{number}/</code>"
        assert f'{named}<span class="muted small">job-{number}, 60 min old</span>' in asked.text
    assert read_form(asked) == ["/1", "/2"]
    assert "The files in S3 are kept." in asked.text


def test_question_comes_as_a_dialog_with_the_safe_button_first(
    browser: Browser, letters: Letters, access: Access
) -> None:
    letters.letters = [make_letter("1")]
    form = {"csrf": access.csrf_token, "letter": "1/1", "discard": "group:1"}
    asked = browser.post("/failures/ask", form, hx_request="true").text
    assert asked.startswith("<dialog")
    assert asked.index("autofocus>Keep it<") < asked.index("Discard 1 message</button>")


def test_question_warns_of_repeated_failure(
    browser: Browser, letters: Letters, access: Access
) -> None:
    letters.letters = [make_letter("1", "WriteConflict"), make_letter("2", "EmptySource")]
    asked = choose(browser, access, retry="all").text
    assert "Retry 2 messages?" in asked
    assert "1 was rejected and will fail again unless something changed." in asked


@pytest.mark.parametrize(
    ("action", "question", "effect", "decision"),
    [
        ("retry", "Publish 1 package?", "its revision replaces that", "replace"),
        ("carry", "Carry the changes into 1 package?", "keeps what the other writer", "carry"),
    ],
)
def test_held_jobs_are_published_by_a_decision(
    browser: Browser,
    access: Access,
    letters: Letters,
    *,
    action: str,
    question: str,
    effect: str,
    decision: str,
) -> None:
    letters.letters = [make_letter(each, "HeldForReview") for each in ("1", "2")]
    text = browser.get("/failures?whole=1").text
    assert ("Publish 2" in text, "Carry 2" in text) == (True, True)
    assert "A retry without a change fails again." not in text
    asked = choose(browser, access, **{action: "1"})
    assert question in asked.text
    assert effect in asked.text
    confirm(browser, access, asked)
    assert (letters.sent, letters.decisions) == (["1"], [decision])


def test_retry_of_all_decides_nothing_about_held_jobs(
    browser: Browser, access: Access, letters: Letters
) -> None:
    letters.letters = [make_letter("1", "HeldForReview"), make_letter("2", "SourceChanged")]
    confirm(browser, access, choose(browser, access, retry="all"))
    assert letters.decisions == [None]


def make_event(letter_id: str, *, can_retry: bool) -> Failure:
    """Make an event that EventBridge could not deliver."""
    remedy = "Retry." if can_retry else NOT_A_MESSAGE
    return make_letter(letter_id, "Undelivered", remedy=remedy, can_retry=can_retry)


def test_retry_that_would_lose_an_event_is_not_offered(browser: Browser, letters: Letters) -> None:
    letters.letters = [make_event("1", can_retry=False), make_event("2", can_retry=False)]
    text = browser.htmx("/failures/list?next=1").text
    assert 'name="retry"' not in text
    assert "It cannot be retried: its rule would have made a message of it." in text
    assert 'value="1" aria-label="Discard wgs/1" autofocus' in text


def test_retry_of_a_group_counts_only_sent_messages(
    browser: Browser, letters: Letters, access: Access
) -> None:
    letters.letters = [make_event(each, can_retry=each != "2") for each in ("1", "2", "3")]
    text = browser.htmx("/failures/list").text
    assert 'aria-label="Retry 2, Undelivered"' in text
    assert 'aria-label="Retry wgs/2"' not in text
    assert text.count("1 event cannot be retried: its rule") == 1
    assert text.count("It cannot be retried: its rule") == 1
    asked = choose(browser, access, retry="all")
    assert "Retry 2 messages?" in asked.text
    assert "1 event cannot be retried: its rule would have made a message of it." in asked.text
    assert read_form(asked) == ["/1", "/3"]
    confirm(browser, access, asked)
    assert letters.sent == ["1", "3"]


def test_question_excludes_events_that_cannot_be_retried(
    browser: Browser, letters: Letters, access: Access
) -> None:
    letters.letters = [make_event("1", can_retry=False)]
    asked = choose(browser, access, retry="1")
    assert asked.status == 404
    assert "1 event cannot be retried" in asked.text


def test_forged_form_does_not_retry_an_event_that_cannot_be_retried(
    browser: Browser, letters: Letters, access: Access
) -> None:
    letters.letters = [make_event("1", can_retry=False), make_event("2", can_retry=True)]
    form = [("csrf", access.csrf_token), ("letter", "/1"), ("letter", "/2"), ("next", "")]
    answer = browser.post("/failures/retry", form)
    shown = browser.get(answer.headers["location"]).text
    assert "1 message sent to the queue again. 1 event cannot be retried" in shown
    assert "held by another reader" not in shown
    answer = browser.post("/failures/retry", form[:2])
    assert answer.status == 404
    assert "1 event cannot be retried" in answer.text
    assert letters.sent == ["2"]


@pytest.mark.parametrize(
    ("choice", "ids"),
    [("group:2", ["3"]), ("group:1", ["1", "2"]), ("2", ["2"]), ("all", ["1", "2", "3"])],
)
def test_retry_sends_the_confirmed_messages(
    browser: Browser, letters: Letters, access: Access, choice: str, ids: list[str]
) -> None:
    letters.letters = [
        make_letter("1", sent=ago(hours=9)),
        make_letter("2", sent=ago(hours=8)),
        make_letter("3", "EmptySource"),
    ]
    answer = confirm(browser, access, choose(browser, access, retry=choice))
    assert answer.status == 303
    assert letters.sent == ids
    assert letters.discarded == []


def test_single_message_is_discarded_alone(
    browser: Browser, letters: Letters, access: Access
) -> None:
    letters.letters = [make_letter("a1"), make_letter("a2")]
    confirm(browser, access, choose(browser, access, discard="a2"))
    assert (letters.discarded, letters.sent) == (["a2"], [])


def test_success_is_shown_once_with_the_next_step(
    browser: Browser, letters: Letters, access: Access
) -> None:
    letters.letters = [make_letter("1")]
    answer = confirm(browser, access, choose(browser, access, retry="all"))
    first = browser.get(answer.headers["location"]).text
    assert "1 message sent to the queue again." in first
    assert 'href="/jobs/new-1">Follow<' in first
    assert "sent to the queue" not in browser.get("/failures").text


def test_success_is_shown_without_javascript(
    browser: Browser, letters: Letters, access: Access
) -> None:
    letters.letters = [make_letter("1")]
    form = {"csrf": access.csrf_token, "letter": "1/1", "whole": "1", "discard": "all"}
    assert '<input type="hidden" name="whole" value="1">' in browser.get("/failures?whole=1").text
    assert 'name="whole" value="1"' in browser.post("/failures/ask", form).text
    answer = browser.post("/failures/discard", form)
    assert "whole=1" in answer.headers["location"]
    assert "1 message discarded." in browser.get(answer.headers["location"]).text


def test_job_that_was_sent_again_is_known_before_its_log_is(
    browser: Browser, letters: Letters, access: Access
) -> None:
    letters.letters = [make_letter("1")]
    confirm(browser, access, choose(browser, access, retry="all"))
    assert "wgs/1" in browser.get("/jobs/new-1").text
    body = browser.htmx("/jobs/new-1/body").text
    assert "Queued" in body
    assert "data-poll" in body


def test_focus_moves_to_the_next_message(
    browser: Browser, letters: Letters, access: Access
) -> None:
    letters.letters = [make_letter(f"a{number}", sent=ago(hours=9 - number)) for number in range(3)]
    answer = confirm(browser, access, choose(browser, access, discard="a1"))
    query = answer.headers["location"].partition("?")[2]
    assert query == "next=a2"
    text = browser.htmx(f"/failures/list?{query}").text
    assert 'value="a2" aria-label="Retry wgs/a2" autofocus' in text
    assert text.count("autofocus") == 1


def test_focus_moves_to_the_heading_after_the_last_message(
    browser: Browser, letters: Letters, access: Access
) -> None:
    letters.letters = [make_letter("1", sent=ago(hours=2)), make_letter("2")]
    answer = confirm(browser, access, choose(browser, access, discard="2"))
    query = answer.headers["location"].partition("?")[2]
    assert (
        '<h1 id="failures-title" tabindex="-1" autofocus>'
        in browser.htmx(f"/failures/list?{query}").text
    )


def test_message_taken_by_another_reader_is_reported(
    browser: Browser, letters: Letters, access: Access
) -> None:
    letters.letters = [make_letter("1"), make_letter("2")]
    asked = choose(browser, access, discard="all")
    letters.letters = letters.letters[:1]
    answer = confirm(browser, access, asked)
    shown = browser.get(answer.headers["location"]).text
    assert "1 message discarded. 1 was deleted or held" in shown


def test_choice_of_vanished_messages_is_an_error(
    browser: Browser, letters: Letters, access: Access
) -> None:
    letters.letters = [make_letter("1")]
    asked = choose(browser, access, discard="all")
    letters.letters = []
    answer = confirm(browser, access, asked)
    assert answer.status == 404
    assert "Nothing was changed" in answer.text


THROTTLED = ClientError({"Error": {"Code": "Throttling", "Message": "Slow."}}, "SendMessage")


def stop_after(letters: Letters, number: int, count: int) -> None:
    """Let an action fail after some of the messages."""
    letters.letters = [make_letter(str(each), sent=ago(hours=9 - each)) for each in range(count)]
    letters.stop, letters.stop_after = THROTTLED, number


def test_interrupted_retry_reports_the_sent_messages(
    browser: Browser, letters: Letters, access: Access, engine: Engine
) -> None:
    stop_after(letters, 2, 5)
    asked = choose(browser, access, retry="all")
    browser.htmx("/failures/count")
    engine.asked.clear()
    answer = confirm(browser, access, asked)
    assert answer.status == 502
    report = "2 of 5 messages were sent to the queue again. The other 3 may still exist."
    assert report in answer.text
    assert "SendMessage failed with Throttling. AWS limits the rate" in answer.text
    assert '<a class="btn primary" href="/failures">Go to Failures</a>' in answer.text
    # The sent jobs are pending, and cached counts are invalidated.
    assert "Queued" in browser.htmx("/jobs/new-1/body").text
    browser.htmx("/failures/count")
    assert "queues" in engine.asked
    assert read_form(browser.htmx("/failures/list")) == ["1/2", "1/3", "1/4"]


def test_interrupted_discard_reports_the_discarded_messages(
    browser: Browser, letters: Letters, access: Access
) -> None:
    stop_after(letters, 1, 2)
    answer = confirm(browser, access, choose(browser, access, discard="all"))
    assert answer.status == 502
    assert "1 of 2 messages was discarded. The other 1 may still exist." in answer.text


def test_action_that_did_nothing_says_why(
    browser: Browser, letters: Letters, access: Access, engine: Engine
) -> None:
    stop_after(letters, 0, 2)
    asked = choose(browser, access, retry="all")
    browser.htmx("/failures/count")
    engine.asked.clear()
    answer = confirm(browser, access, asked)
    assert answer.status == 502
    assert "<h1>SendMessage failed with Throttling.</h1>" in answer.text
    browser.htmx("/failures/count")
    assert "queues" in engine.asked


@pytest.mark.parametrize(
    ("path", "back"),
    [
        ("/failures/retry", '<a class="btn primary" href="/failures">Go to Failures</a>'),
        ("/settings/switch", '<a class="btn primary" href="/settings">Go to Settings</a>'),
        ("/theme", '<a class="btn primary" href="/jobs">Go to Jobs</a>'),
    ],
)
def test_page_that_answers_only_forms_leads_to_its_tab(
    browser: Browser, path: str, back: str
) -> None:
    answer = browser.get(path)
    assert answer.status == 405
    assert back in answer.text
    assert 'href=""' not in answer.text


def test_error_of_a_get_offers_a_retry(browser: Browser, engine: Engine) -> None:
    engine.jobs = THROTTLED
    answer = browser.get("/jobs/b2?whole=1")
    assert answer.status == 502
    assert '<a class="btn primary" href="">Try again</a>' in answer.text


@pytest.mark.parametrize("choice", [{}, {"retry": "group:9"}, {"discard": "odd"}])
def test_choice_of_nothing_asks_nothing(
    browser: Browser, letters: Letters, access: Access, choice: dict[str, str]
) -> None:
    letters.letters = [make_letter("1")]
    assert choose(browser, access, **choice).status == 404


def test_page_that_is_read_only_offers_and_takes_no_writes(
    engine: Engine, letters: Letters
) -> None:
    access = Access(8765, read_only=True, allowed_when_read_only=["/theme"])
    browser = Browser(make_app(Views(engine), IDENTITY, access))  # type: ignore[arg-type]
    browser.get(f"/?token={access.start_token}")
    letters.letters = [make_letter("1"), make_letter("2")]
    text = browser.get("/failures?whole=1").text
    assert "wgs/1" in text
    assert 'name="retry"' not in text
    assert 'name="discard"' not in text
    form = {"csrf": access.csrf_token, "letter": "/1", "next": ""}
    assert browser.post("/failures/discard", form).status == 403
    assert letters.discarded == []


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_others_is_text(
    browser: Browser, letters: Letters, access: Access, text: str
) -> None:
    letters.letters = [
        make_letter(
            letter,
            text,
            happened=f"{letter}{text}",
            why=text,
            remedy=text,
            package_name=text,
            source=text,
            body=text,
        )
        for letter in ("1", f"2{text}")
    ]
    page = browser.get("/failures?whole=1")
    asked = choose(browser, access, discard="all")
    for answer in (page, asked, browser.htmx("/failures/list?next=%22%3E%3Cscript%3E")):
        assert "<script>alert" not in answer.text
        assert text in html.unescape(answer.text)
    confirm(browser, access, asked)
    assert letters.discarded == ["1", f"2{text}"]


def test_query_with_text_of_others_is_text(browser: Browser, letters: Letters) -> None:
    for path in ("/failures", "/failures/list"):
        text = browser.get(f"{path}?code=%3Cscript%3E&next=%22%3E%3Cscript%3E").text
        assert "<script>" not in text.replace("<script src", "")


def test_page_of_many_groups_is_small(browser: Browser, letters: Letters) -> None:
    letters.letters = [
        make_letter(str(number), f"Code{number % 5}", sent=ago(hours=1) + timedelta(seconds=number))
        for number in range(100)
    ]
    assert len(browser.htmx("/failures/list").text) < 160_000


@pytest.mark.parametrize("source", ["HealthOmics", "quilt.packager.uploads"])
def test_page_of_a_source_has_only_its_messages(
    browser: Browser, letters: Letters, source: str
) -> None:
    sender = "quilt.packager.uploads" if source != "HealthOmics" else None
    kind = "objects_ready" if sender else "health_omics"
    letters.letters = [
        make_letter("m1", trigger=kind, event_source=sender),
        make_letter("m2", trigger="message"),
    ]
    text = browser.htmx(f"/failures/list?source={source}").text
    assert 'id="letter-m1"' in text
    assert 'id="letter-m2"' not in text
    assert f"<option selected>{source}</option>" in text
    assert f"Only source {source}: 1 message of 2." in text


def test_empty_page_counts_the_packages_of_the_last_day(
    browser: Browser, engine: Engine, letters: Letters
) -> None:
    assert "in 24 hours" not in browser.htmx("/failures/list").text
    engine.jobs = [make_job("1"), make_job("2", started=ago(hours=24.5))]
    browser.htmx("/jobs/list")
    assert "1 package in 24 hours." in browser.htmx("/failures/list").text
