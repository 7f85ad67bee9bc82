"""A job's page: how it went, why it failed, what is in its package, and what may be none of it."""

import html
import json
import re
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError
from quilt_packager_runtime.errors import AwsError
from quilt_packager_runtime.formats.manifest_lines import ManifestLine
from quilt_packager_runtime.formats.outcome import OutcomeFields
from quilt_packager_runtime.requests.sources import MessageSource
from quilt_packager_runtime.settings import Settings

from quilt_packager.admin.pages.job_page import draw_phases, rebuild_message
from quilt_packager.operations.deployment.configurations import Configuration
from quilt_packager.operations.jobs.job import Attempt, Phase, State
from quilt_packager.operations.revisions.contents import RevisionContents
from tests.admin.browser import Browser
from tests.admin.engine import (
    TOP_HASH,
    Engine,
    ago,
    make_failed,
    make_job,
    make_line,
    make_phases,
    make_running,
)

HOSTILE = "<script>alert(1)</script>\"'{{ 7*7 }}"


def test_frame_asks_nothing_of_aws_and_names_a_job_that_was_listed(
    browser: Browser, engine: Engine
) -> None:
    engine.jobs = [make_job("a1")]
    browser.htmx("/jobs/list")
    engine.asked.clear()
    answer = browser.get("/jobs/a1")
    assert "<h1>omics-quilt/3395667</h1>" in answer.text
    assert engine.asked == []


def test_page_is_complete_without_javascript(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1")]
    assert 'content="0; url=?whole=1&amp;"' in browser.get("/jobs/a1").text
    text = browser.get("/jobs/a1?whole=1").text
    assert "germline-wgs" in text
    assert "bam/NA1.cram" in text
    assert 'hx-trigger="load"' not in text


def test_failed_job_begins_with_its_three_sentences(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_failed("a1")]
    text = browser.htmx("/jobs/a1/body").text
    for sentence in ("held no objects.", "The upload had not begun.", "Check the folder."):
        assert sentence in text
    assert text.index("Check the folder.") < text.index("Where the time went")
    assert "EmptySource" in text


def test_job_without_sentences_shows_its_reason(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_failed("a1", happened=None, reason="It broke.")]
    assert "It broke." in browser.htmx("/jobs/a1/body").text


def test_every_attempt_is_shown(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1", attempts=2)]
    engine.attempts = [
        Attempt(
            started=ago(minutes=20), outcome=State.FAILED, code="WriteConflict", reason="Others."
        ),
        Attempt(started=ago(minutes=10), outcome=State.CREATED, seconds=9.0),
    ]
    text = browser.htmx("/jobs/a1/body").text
    assert "WriteConflict" in text
    assert "Others." in text


def test_running_job_is_looked_at_again_and_one_that_is_over_is_not(
    browser: Browser, engine: Engine
) -> None:
    engine.jobs = [make_running("a1"), make_job("a2")]
    assert 'hx-trigger="every 5s, resume"' in browser.htmx("/jobs/a1/body").text
    assert "data-poll" not in browser.htmx("/jobs/a2/body").text


def test_nothing_new_is_no_answer_at_all(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_running("a1")]
    version = browser.htmx("/jobs/a1/body").headers["etag"]
    assert browser.htmx("/jobs/a1/body", if_none_match=version).status == 304


def test_log_shows_levels_and_fields(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1")]
    engine.lines = [
        make_line("package started", source="s3://b/c d/", registry="b", delivery=1),
        make_line("boom", "ERROR", exception="Traceback:\n  File 3"),
        make_line("message not deferred", "ERROR", reason="?", exception="Traceback:\n  File 4"),
    ]
    text = html.unescape(browser.htmx("/jobs/a1/body").text)
    (started,) = re.findall("package started +([^<]*)<", text)
    assert started == 'delivery=1 source="s3://b/c d/" registry=b'
    assert '"message": "boom"' in text
    assert "message not deferred  reason=?\nTraceback:\n  File 4" in text
    assert "All 3" in text


@pytest.mark.parametrize(("level", "shown"), [("", 3), ("warning", 2), ("error", 1), ("odd", 3)])
def test_log_is_filtered_on_the_server(
    browser: Browser, engine: Engine, level: str, shown: int
) -> None:
    engine.jobs = [make_job("a1")]
    engine.lines = [make_line(name, name) for name in ("INFO", "WARNING", "ERROR")]
    text = browser.htmx(f"/jobs/a1/body?level={level}").text
    assert text.count("<li class=") == shown


def test_contents_come_from_the_manifest(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1")]
    text = browser.htmx("/jobs/a1/contents").text
    assert "first 20 of 2,310" in " ".join(text.split())
    assert "ngs-v3" in text
    assert "Packaged from s3://omics-out/3395667/" in text


def test_missing_manifest_is_explained_in_place(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1")]
    engine.contents = ClientError({"Error": {"Code": "NoSuchKey", "Message": "Gone."}}, "GetObject")
    answer = browser.htmx("/jobs/a1/contents")
    assert answer.status == 200
    assert "GetObject failed with NoSuchKey." in answer.text


def test_job_without_a_package_has_no_contents(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_failed("a1")]
    assert "#entries" not in browser.htmx("/jobs/a1/body").text
    assert "This job created no package." in browser.htmx("/jobs/a1/contents").text


def test_catalog_is_linked_if_the_engine_knows_one(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1")]
    engine.configuration = Configuration(Settings(catalog_url="https://catalog.example/"))
    path = f"b/quilt-prod/packages/omics-quilt/3395667/tree/{TOP_HASH}"
    assert f'href="https://catalog.example/{path}"' in browser.htmx("/jobs/a1/body").text


@pytest.mark.parametrize("configuration", [Configuration(), OSError("No network.")])
def test_page_does_without_a_catalog(
    browser: Browser, engine: Engine, configuration: Configuration | Exception
) -> None:
    engine.jobs = [make_job("a1")]
    engine.configuration = configuration
    assert "Open in the catalog" not in browser.htmx("/jobs/a1/body").text


def test_rebuilt_message_lists_the_missing_fields(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1")]
    text = browser.htmx("/jobs/a1/body").text
    assert "Rebuilt from the log, which contains the folder, the registry and the name" in text
    assert "no metadata, workflow, exclusions or commit message" in text
    assert "To package this folder from a terminal:" in text
    assert "again" not in text
    assert "The same" not in text


def test_folder_of_a_job_can_be_packaged(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1")]
    query = "source_prefix=s3%3A%2F%2Fomics-out%2F3395667%2F&amp;registry=quilt-prod"
    assert f'href="/new?{query}&amp;package_name=' in browser.htmx("/jobs/a1/body").text


def test_remark_is_a_warning(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1", remark="The metadata lacks tags of the run.")]
    text = browser.htmx("/jobs/a1/body").text
    assert re.search(r'class="callout warn[^>]*>.*<p>The metadata lacks tags of the run.</p>', text)


def test_verified_objects_are_counted_with_their_lists(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1", computed=1, verified=12, checksum_lists='"md5sum.txt"')]
    text = browser.htmx("/jobs/a1/body").text
    assert '<small title="&#34;md5sum.txt&#34;">12 verified by checksum lists</small>' in text


def test_large_job_links_to_its_execution(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1", execution="a1")]
    text = browser.htmx("/jobs/a1/body").text
    assert "execution:LargeJobs:a1" in text
    assert "Log in CloudWatch" in text


def test_unknown_job_is_an_error(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1")]
    assert "No job a2." in browser.htmx("/jobs/a2/body").text
    answer = browser.get("/jobs/a2?whole=1")
    assert answer.status == 404
    assert "No job a2." in answer.text


def test_text_of_others_is_text(browser: Browser, engine: Engine) -> None:
    names = ("package_name", "registry", "source", "trigger", "event_id", "execution")
    facts = dict.fromkeys(names, HOSTILE)
    engine.jobs = [
        make_job("a1", remark=HOSTILE, quarantine=HOSTILE, **facts),
        make_failed("a2", code=HOSTILE, happened=HOSTILE, why=HOSTILE, remedy=HOSTILE, **facts),
    ]
    engine.lines = [make_line(HOSTILE, HOSTILE, **{HOSTILE: HOSTILE, "exception": HOSTILE})]
    engine.attempts = [Attempt(started=ago(minutes=1), reason=HOSTILE, code=HOSTILE)] * 2
    engine.contents = RevisionContents(
        {HOSTILE: HOSTILE, "deep": {HOSTILE: [HOSTILE]}, "list": [HOSTILE]},
        HOSTILE,
        HOSTILE,
        (ManifestLine(HOSTILE, size=1),),
        has_more=False,
    )
    for url in ("/jobs/a1?whole=1", "/jobs/a2?whole=1", "/jobs/a1/body", "/jobs/a1/contents"):
        text = browser.get(url).text
        assert "<script>alert" not in text
        assert not re.search(r'="[^"]*<script', text)
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
        assert "{{ 7*7 }}" in html.unescape(text)


@pytest.mark.parametrize("job_id", ["..", "%3Cscript%3E", "a%2Fb", "a b"])
def test_unusual_ids_are_errors(browser: Browser, engine: Engine, job_id: str) -> None:
    engine.jobs = [make_job("a1")]
    answer = browser.get(f"/jobs/{job_id}?whole=1")
    assert answer.status == 404
    assert "<script>" not in answer.text.replace('<script src="/static/', "")


def test_phases_lie_one_after_the_other() -> None:
    bars = draw_phases(make_phases(ago(minutes=1)))
    assert [(bar.name, bar.x, bar.width) for bar in bars] == [
        ("Listing", 0.0, 10.7),
        ("Checksums", 10.7, 66.7),
        ("Publishing", 77.4, 22.6),
    ]


def test_phase_that_lasts_and_one_that_took_no_time_can_be_seen() -> None:
    started = ago(minutes=1)
    later = started + timedelta(seconds=10)
    bars = draw_phases([Phase("listing", started, 10.0), Phase("checksums", later)])
    assert bars[1].width > 0
    assert bars[1].x + bars[1].width <= 100
    assert bars[1].seconds is None
    assert draw_phases([]) == []


def test_command_names_the_engine(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1")]
    text = html.unescape(browser.htmx("/jobs/a1/body").text)
    assert re.search(r">quilt-packager send '\{[^<]*\}' --stack prod-packager<", text)


def test_message_is_rebuilt_from_the_known_fields() -> None:
    assert json.loads(rebuild_message(make_job(registry=None))) == {
        "source_prefix": "s3://omics-out/3395667/",
        "package_name": "omics-quilt/3395667",
    }


def test_all_sources_are_shown_and_rebuilt(browser: Browser, engine: Engine) -> None:
    job = make_job("a1", sources=(MessageSource("s3://raw/1/"), MessageSource("s3://b/", "x/")))
    engine.jobs = [job]
    text = browser.htmx("/jobs/a1/body").text
    assert '<span class="mono">s3://b/</span> as <span class="mono">x/</span>' in text
    assert "Package this folder" not in text
    rebuilt = json.loads(rebuild_message(job))
    assert "source_prefix" not in rebuilt
    assert rebuilt["sources"] == [
        {"prefix": "s3://raw/1/", "into": ""},
        {"prefix": "s3://b/", "into": "x/"},
    ]


def test_lineage_shows_one_step_in_both_directions(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1")]
    engine.contents = RevisionContents(
        {
            "input_packages": [
                f"quilt+s3://quilt-raw#package=reads/{n}@c85d21f6aa" for n in range(9)
            ]
        },
        None,
        None,
        (),
        has_more=False,
    )
    engine.users = [
        OutcomeFields(registry="quilt-prod", package_name=HOSTILE, top_hash="4be8107caa")
    ]
    engine.configuration = Configuration(Settings(lineage_table="lineage"))
    text = browser.htmx("/jobs/a1/contents").text
    lineage = text.partition('id="lineage"')[2]
    assert "<li>reads/6<small>quilt-raw, c85d21f6</small></li><li>and 2 more</li>" in lineage
    assert "<small>quilt-prod, 4be8107c</small>" in lineage
    assert HOSTILE not in text
    assert lineage.count("<path") == 9


def test_an_engine_without_lineage_shows_none(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1")]
    assert 'id="lineage"' not in browser.htmx("/jobs/a1/contents").text
    assert "users" not in engine.asked


def test_users_that_cannot_be_read_leave_the_inputs(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1")]
    engine.configuration = Configuration(Settings(lineage_table="lineage"))
    engine.users = AwsError("The table is not available.", why="", remedy="")
    text = browser.htmx("/jobs/a1/contents").text
    assert "Unknown: The table is not available." in text
    assert "No known package" in text
