"""The Jobs tab: requests to AWS, filters, pages and live updates."""

import html
import json
import re
from types import SimpleNamespace
from urllib.parse import unquote_plus

import pytest
from botocore.exceptions import ClientError

from quilt_packager.admin.app import make_app
from quilt_packager.admin.model import caching, views
from quilt_packager.admin.model.job_filters import ROWS
from quilt_packager.admin.model.views import Views
from quilt_packager.admin.web.security import Access
from quilt_packager.operations.jobs.job import Progress, State
from tests.admin.browser import Answer, Browser
from tests.admin.engine import IDENTITY, Engine, ago, make_failed, make_job, make_running

DENIED = ClientError(
    {"Error": {"Code": "AccessDeniedException", "Message": "Not <b>you</b>."}}, "FilterLogEvents"
)
EXPIRED = ClientError({"Error": {"Code": "ExpiredToken", "Message": "Old."}}, "DescribeStacks")

HOSTILE = [
    "<script>alert(1)</script>/x",
    "\"quoted\"/'both'",
    "שלום/עולם",
    "🧬/👩‍🔬",
    "{{ 7 * 7 }}/x",
    "a&amp;/b",
]


def rows_of(answer: Answer) -> list[str]:
    """Return the names of the listed packages."""
    return [
        html.unescape(name)
        for name in re.findall(r'class="pkg" href="[^"]*">([^<]*)<', answer.text)
    ]


def live_url(answer: Answer) -> str:
    """Return the URL that a page polls."""
    found = re.search(r'hx-get="(/jobs/live[^"]*)"', answer.text)
    assert found is not None
    return html.unescape(found[1])


def version_of(answer: Answer) -> str:
    found = re.search(r'"If-None-Match": "\\"(\w+)\\""', answer.text)
    assert found is not None
    return f'"{found[1]}"'


def test_start_leads_to_the_jobs(browser: Browser) -> None:
    assert browser.get("/").headers["location"] == "/jobs"


def test_frame_asks_nothing_of_aws(browser: Browser, engine: Engine) -> None:
    answer = browser.get("/jobs")
    assert answer.status == 200
    assert engine.asked == []
    assert 'hx-trigger="load"' in answer.text


def test_frame_contains_cached_parts(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job()]
    browser.htmx("/jobs/list")
    assert rows_of(browser.get("/jobs")) == ["omics-quilt/3395667"]


def test_page_is_complete_without_javascript(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job()]
    frame = browser.get("/jobs?outcome=created&q=omics")
    refresh = re.search(
        r'<noscript><meta http-equiv="refresh" content="0; url=([^"]*)">', frame.text
    )
    assert refresh is not None
    whole = browser.get("/jobs" + html.unescape(refresh[1]))
    assert rows_of(whole) == ["omics-quilt/3395667"]
    assert "Show as table" in whole.text
    assert "oldest 41 s" in whole.text
    assert "http-equiv" not in whole.text


def test_parts_together_ask_aws_once(browser: Browser, engine: Engine) -> None:
    browser.htmx("/jobs/list")
    browser.htmx("/jobs/live")
    browser.htmx("/jobs/list?outcome=failed")
    # The first time, the log is read, and then watched.
    assert sorted(engine.asked) == ["jobs", "jobs", "queues"]


def test_strip_counts_the_jobs_of_the_filter_and_the_queue(
    browser: Browser, engine: Engine
) -> None:
    engine.jobs = [make_running(execution="b2"), make_job("1"), make_job("2", outcome="unchanged")]
    text = browser.htmx("/jobs/list").text
    strip = text.partition('hx-target="#strip"')[2].partition("</dl>")[0]
    figures = [" ".join(re.sub("<[^>]*>", " ", each).split()) for each in strip.split("</dd>")]
    assert [each for each in figures if each][:3] == [
        'hx-swap="innerMorph"> In the queue 12 oldest 41 s',
        "Running 1",
        "Finished 2 by hour",
    ]


def test_rows_show_the_reason_of_a_failure(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_failed()]
    assert "s3://exports/2026/ held no objects." in browser.htmx("/jobs/list").text


def test_rows_show_the_progress_of_a_job(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_running()]
    assert "Checking 31,940 of 48,112 objects" in browser.htmx("/jobs/list").text


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("q=run-", ["rna/run-2", "rna/run-1"]),
        ("q=RNA", ["rna/run-2", "rna/run-1"]),
        ("q=rna/*-1", ["rna/run-1"]),
        ("q=run-*", []),
        ("outcome=rejected", ["lims/x"]),
        ("q=rna&outcome=rejected", []),
        ("q=held+no+objects", ["lims/x"]),
        ("code=EmptySource", ["lims/x"]),
        ("source=Message&code=EmptySource", []),
        ("range=1h", ["lims/x", "rna/run-2", "rna/run-1"]),
        ("range=15m&outcome=held", []),
        ("outcome=odd", ["lims/x", "rna/run-2", "rna/run-1"]),
    ],
)
def test_filter_sees_all_jobs(
    browser: Browser, engine: Engine, query: str, names: list[str]
) -> None:
    engine.jobs = [
        make_failed("3", package_name="lims/x", started=ago(minutes=1)),
        make_job("2", package_name="rna/run-2", started=ago(minutes=2)),
        make_job("1", package_name="rna/run-1", started=ago(minutes=3)),
    ]
    assert rows_of(browser.htmx(f"/jobs/list?{query}")) == names


def test_chips_count_matching_names_and_keep_the_filter(browser: Browser, engine: Engine) -> None:
    engine.jobs = [
        make_job("1"),
        make_job("2", package_name="lims/x", source="s3://lims/x/"),
        make_failed("3"),
    ]
    text = browser.htmx("/jobs/list?q=omics&range=7d").text
    chips = dict(re.findall(r'<a class="chip[^"]*" id="chip-(\w+)".*?<b>(\d+)</b>', text))
    assert chips == {
        "all": "2",
        "attention": "7",
        "running": "0",
        "waiting": "0",
        "created": "1",
        "unchanged": "0",
        "rejected": "1",
        "held": "0",
        "failed": "0",
        "warnings": "0",
    }
    assert 'href="/jobs?range=7d&amp;q=omics&amp;outcome=failed"' in text


def test_charts_show_the_filtered_jobs(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("1"), make_job("2", package_name="lims/x")]
    assert "1 finished, at most 1 per hour" in browser.htmx("/jobs/list?q=lims").text


def test_url_of_the_list_follows_the_filter(browser: Browser) -> None:
    typed = browser.htmx("/jobs/list?q=run&range=24h&outcome=", hx_source="form#filters")
    assert typed.headers["hx-replace-url"] == "/jobs?q=run"
    chosen = browser.htmx("/jobs/list?outcome=failed", hx_source="a#chip-failed")
    assert chosen.headers["hx-push-url"] == "/jobs?outcome=failed"
    loaded = browser.htmx("/jobs/list?outcome=failed", hx_source="div#rows")
    assert not {"hx-push-url", "hx-replace-url"} & loaded.headers.keys()


def test_pages_follow_each_other_without_a_gap(browser: Browser, engine: Engine) -> None:
    # Two jobs of the same moment lie on two pages.
    at = [ago(minutes=each) for each in range(60)]
    at[50] = at[49]
    engine.jobs = sorted(
        (make_job(f"{n:02}", package_name=f"p/{n:02}", started=at[n]) for n in range(60)),
        key=lambda job: (job.started, job.id),
        reverse=True,
    )
    first = browser.htmx("/jobs/list")
    older = re.search(r'href="(/jobs\?before=[^"]*)"', first.text)
    assert older is not None
    second = browser.htmx(html.unescape(older[1]).replace("/jobs?", "/jobs/list?"))
    assert len(rows_of(first)) == 50
    assert sorted(rows_of(first) + rows_of(second)) == [f"p/{n:02}" for n in range(60)]
    assert "1 to 50 of 60" in first.text
    assert "51 to 60 of 60" in second.text


def test_newer_jobs_are_announced_by_a_link(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("1", started=ago(minutes=9))]
    url = live_url(browser.htmx("/jobs/list"))
    newer = [make_job(each, started=ago(minutes=1)) for each in ("2", "3")]
    answer = update(browser, engine, url, [*newer, *engine.jobs])
    assert "Show 2 newer jobs" in answer.text
    assert "job-1" not in answer.text


def test_row_of_an_ended_job_is_updated_and_announced(browser: Browser, engine: Engine) -> None:
    running = make_running("b2", package_name="rna/x")
    engine.jobs = [running]
    url = live_url(browser.htmx("/jobs/list"))
    ended = make_job("b2", package_name="rna/x", started=running.started, updated=ago(seconds=0))
    answer = update(browser, engine, url, [ended])
    assert 'hx-target="#job-b2"' in answer.text
    assert "1 job finished: 1 created." in answer.text


def test_nothing_new_is_only_the_time_of_the_answer(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job()]
    first = browser.htmx(live_url(browser.htmx("/jobs/list")))
    again = browser.htmx(live_url(first), if_none_match=version_of(first))
    assert again.status == 200
    assert "<hx-partial" not in again.text
    assert version_of(again) == version_of(first)


@pytest.mark.parametrize(("jobs", "seconds"), [([make_running()], 5), ([make_job()], 15)])
def test_page_looks_again_soon_while_something_runs(
    browser: Browser, engine: Engine, jobs: list[object], seconds: int
) -> None:
    engine.jobs = jobs  # type: ignore[assignment]
    assert f"every {seconds}s, resume" in browser.htmx("/jobs/list").text


def test_error_of_aws_is_explained_in_place(browser: Browser, engine: Engine) -> None:
    engine.jobs = DENIED
    answer = browser.htmx("/jobs/list")
    assert answer.status == 200
    assert "AWS denied FilterLogEvents." in answer.text
    assert "<b>you" not in answer.text
    # The queues are shown regardless.
    assert "oldest 41 s" in browser.htmx("/jobs/list").text


def test_failure_makes_polls_rarer(browser: Browser, engine: Engine) -> None:
    engine.jobs = DENIED
    assert "every 30s" in browser.htmx("/jobs/list").text


def test_expired_session_shows_the_remedy(browser: Browser, engine: Engine) -> None:
    engine.jobs = EXPIRED
    text = browser.htmx("/jobs/list").text
    assert "AWS rejected the credentials: ExpiredToken." in text
    assert "aws sso login" in text


def test_outdated_list_is_shown_with_its_time(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job()]
    url = live_url(browser.htmx("/jobs/list"))
    answer = update(browser, engine, url, DENIED)
    assert "AWS denied FilterLogEvents." in answer.text
    text = " ".join(re.sub("<[^>]*>", " ", answer.text).split())
    assert re.search(r"\d s ago ; jobs may have ended since. Next try in \d+ s", text)
    assert rows_of(browser.htmx("/jobs/list")) == ["omics-quilt/3395667"]


def test_try_now_repeats_a_failed_request_at_once(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job()]
    url = live_url(browser.htmx("/jobs/list"))
    assert 'href="/jobs?again=1"' in update(browser, engine, url, DENIED).text
    engine.jobs = [make_job()]
    assert "AWS denied" in browser.htmx("/jobs/list").text
    assert "AWS denied" not in browser.htmx("/jobs/list?again=1").text
    asked = len(engine.asked)
    browser.htmx("/jobs/list?again=1")
    assert len(engine.asked) == asked


def test_empty_list_explains_the_origin_of_jobs(browser: Browser) -> None:
    text = browser.htmx("/jobs/list").text
    assert "No jobs in the last 24 hours" in text
    assert "Package a folder" in text


def test_empty_list_of_a_filter_says_so(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job()]
    text = browser.htmx("/jobs/list?q=prot*").text
    assert "No job matches “prot*”" in text
    assert "1 job in this time, none with this filter." in text
    assert 'href="/jobs?range=30d&amp;q=prot%2A"' in text
    assert 'hx-get="/jobs/month?q=prot%2A" hx-trigger="load"' in text
    month = browser.htmx("/jobs/month?q=prot*").text
    assert "None does in 30 days." in month
    assert "1 does in 30 days." in browser.htmx("/jobs/month?q=omics").text


def test_search_of_a_folder_without_a_job_leads_to_the_reasons(
    browser: Browser, engine: Engine
) -> None:
    engine.jobs = [make_job()]
    text = browser.htmx("/jobs/list?q=s3://raw/run-9/").text
    assert 'href="/settings?explain=s3%3A//raw/run-9/#explain"' in text


def test_empty_list_counts_the_sources_that_are_on(
    browser: Browser, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [SimpleNamespace(enabled=True), SimpleNamespace(enabled=False)]
    for each in engine.views:
        monkeypatch.setattr(each.settings, "sources", lambda: caching.Answer(sources))
    assert "1 source is on." in browser.htmx("/jobs/list").text


def test_unused_parts_of_an_address_are_named(browser: Browser) -> None:
    text = browser.get("/jobs?range=fortnight&outcome=failed&outcom=created&q=a").text
    assert "<code>range=fortnight</code>, <code>outcom=created</code>" in text
    assert "not used" not in browser.get("/jobs?range=24h&from=&to=x&outcome=failed").text


def test_jobs_that_need_attention_are_under_failures(browser: Browser) -> None:
    answer = browser.get("/jobs?outcome=attention&q=rna&code=AccessDenied")
    assert (answer.status, answer.headers["location"]) == (303, "/failures?q=rna&code=AccessDenied")


def test_oldest_jobs_come_first_on_request(browser: Browser, engine: Engine) -> None:
    count = ROWS + 1
    engine.jobs = [
        make_job(f"{number:03}", package_name=f"p/{number:03}", started=ago(minutes=number))
        for number in range(1, count + 1)
    ]
    first = browser.htmx("/jobs/list?order=oldest")
    assert rows_of(first)[:2] == [f"p/{count:03}", f"p/{count - 1:03}"]
    assert 'aria-sort="ascending"' in first.text
    (following,) = re.findall(r'href="(/jobs\?[^"]*before=[^"]*)"', html.unescape(first.text))
    assert rows_of(browser.get(f"{following}&whole=1")) == ["p/001"]


def test_job_is_found_by_a_text_of_its_log(
    browser: Browser, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[str] = []

    def find(_: object, text: str, **__: object) -> frozenset[str]:
        searched.append(text)
        return frozenset({"job-2"})

    monkeypatch.setattr(views, "find_logged", find)
    engine.jobs = [make_job(f"job-{number}", package_name=f"p/{number}") for number in range(3)]
    assert rows_of(browser.htmx("/jobs/list?q=L1_R2.fastq")) == ["p/2"]
    browser.htmx("/jobs/list?q=L1*")
    browser.htmx("/jobs/list?q=L1_")
    assert searched == ["L1_R2.fastq"]


@pytest.mark.parametrize("name", HOSTILE)
def test_text_of_others_is_text(browser: Browser, engine: Engine, name: str) -> None:
    engine.jobs = [
        make_failed("1", package_name=name, happened=name, registry=name, trigger=name),
        make_job(f"2-{name}", package_name=name, registry=name, started=ago(hours=1)),
    ]
    answer = browser.get("/jobs?whole=1&name=")
    assert rows_of(answer) == [name, name]
    assert "<script>alert" not in answer.text
    filtered = browser.htmx(f"/jobs/list?q={name.replace('&', '%26')}")
    assert "<script>alert" not in filtered.text
    links = re.findall(r'href="/jobs/([^"?]*)"', answer.text)
    assert [unquote_plus(html.unescape(each)) for each in links] == ["1", f"2-{name}"]


@pytest.mark.parametrize("name", ["a\u202eb/c", "a\x1b[31m/c", "a\ud800/c"])
def test_text_that_would_hide_or_turn_the_page_is_made_visible(
    browser: Browser, engine: Engine, name: str
) -> None:
    engine.jobs = [make_job(package_name=name)]
    text = browser.htmx("/jobs/list").text
    assert name not in text
    assert f"a{name[1].encode('unicode_escape').decode()}" in text


def test_filter_with_text_of_others_is_text(browser: Browser) -> None:
    text = browser.get("/jobs?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E").text
    assert "<script>alert" not in text
    assert 'value="&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;"' in text


@pytest.mark.parametrize(
    "query", ["before=x", "top=1", "at=x", "since=1y", "running=,,", f"at={9:030}", "at=²"]
)
def test_invalid_parameters_are_ignored(browser: Browser, engine: Engine, query: str) -> None:
    engine.jobs = [make_job()]
    for path in ("/jobs", "/jobs/list", "/jobs/live", "/jobs/list"):
        assert browser.get(f"{path}?{query}").status == 200


def test_missing_page_is_an_error(browser: Browser) -> None:
    answer = browser.get("/nowhere")
    assert answer.status == 404
    assert "Page not found." in answer.text


def test_theme_is_kept_in_a_cookie(browser: Browser, access: Access) -> None:
    form = {"csrf": access.csrf_token, "theme": "dark"}
    answer = browser.post("/theme", form, referer="http://127.0.0.1:8765/jobs?since=7d")
    assert (answer.status, answer.headers["location"]) == (303, "/jobs?since=7d")
    assert '<html lang="en" data-theme="dark">' in browser.get("/jobs").text


@pytest.mark.parametrize("theme", ["", "odd", '"><script>'])
def test_theme_that_does_not_exist_is_not_kept(
    browser: Browser, access: Access, theme: str
) -> None:
    answer = browser.post("/theme", {"csrf": access.csrf_token, "theme": theme})
    assert "set-cookie" not in answer.headers


def test_theme_leads_to_no_other_site(browser: Browser, access: Access) -> None:
    form = {"csrf": access.csrf_token, "theme": "dark"}
    answer = browser.post("/theme", form, referer="http://127.0.0.1:8765//evil.example/x")
    assert answer.headers["location"] == "/evil.example/x"


def test_page_that_is_read_only_says_so_and_offers_no_writes(engine: Engine) -> None:
    access = Access(8765, read_only=True, allowed_when_read_only=["/theme"])
    browser = Browser(make_app(Views(engine), IDENTITY, access))  # type: ignore[arg-type]
    browser.get(f"/?token={access.start_token}")
    text = browser.get("/jobs?whole=1").text
    assert "Read only" in text
    assert "Package a folder" not in text


def test_refusal_shows_nothing_of_the_engine(engine: Engine, access: Access) -> None:
    browser = Browser(make_app(Views(engine), IDENTITY, access))  # type: ignore[arg-type]
    answer = browser.htmx("/jobs/list")
    assert answer.status == 403
    assert IDENTITY.stack_name not in answer.text
    assert answer.headers["hx-refresh"] == "true"


def test_page_is_small(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job(f"{n:02}", outcome=State.CREATED) for n in range(50)]
    assert len(browser.get("/jobs").text) < 16_000


def update(browser: Browser, engine: Engine, url: str, jobs: object) -> Answer:
    """Poll again after the cache has expired."""
    engine.jobs = jobs  # type: ignore[assignment]
    engine.grow_old()
    return browser.htmx(url)


def test_list_is_exported_as_csv_without_formulas(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("1"), make_failed("2", package_name="=cmd()")]
    answer = browser.get("/jobs?format=csv&q=cmd")
    assert answer.headers["content-disposition"] == 'attachment; filename="jobs.csv"'
    header, row = answer.text.splitlines()
    assert header.startswith("id,outcome,package_name")
    assert row.startswith("2,rejected,'=cmd(),")


def test_list_is_exported_as_json(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("1"), make_failed("2")]
    exported = json.loads(browser.get("/jobs?format=json&outcome=rejected").text)
    assert [each["id"] for each in exported] == ["2"]


def test_job_that_waits_for_files_is_told_apart(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_running("1", progress=Progress("waiting", 0))]
    assert "Waiting" in browser.htmx("/jobs/list?outcome=waiting").text
    assert rows_of(browser.htmx("/jobs/list?outcome=running")) == []


def test_job_held_for_review_is_told_apart(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_failed("1", code="HeldForReview"), make_failed("2")]
    assert len(rows_of(browser.htmx("/jobs/list?outcome=held"))) == 1
    assert len(rows_of(browser.htmx("/jobs/list?outcome=rejected"))) == 1


def test_warnings_are_shown_and_filtered(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("1", remark="Left out 2 parts."), make_job("2")]
    answer = browser.htmx("/jobs/list?outcome=warnings")
    assert len(rows_of(answer)) == 1
    assert "Left out 2 parts." in answer.text


def test_bars_lead_to_their_jobs(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("1", started=ago(hours=3))]
    text = browser.htmx("/jobs/list").text
    (link,) = re.findall(r'<a href="(/jobs\?range=custom[^"]*)"', text)
    assert len(rows_of(browser.htmx(html.unescape(link).replace("/jobs?", "/jobs/list?")))) == 1


def test_address_opens_the_charts(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job()]
    text = browser.get("/jobs?whole=1&charts=open").text
    assert "<details open><summary>Charts" in text
    assert 'href="/jobs?outcome=created&amp;charts=open"' in text
    assert "not used" not in text
    assert "<details open>" not in browser.get("/jobs?whole=1").text
