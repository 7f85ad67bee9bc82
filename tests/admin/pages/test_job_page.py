"""A job's page: how it went, why it failed, what is in its package, and what may be none of it."""

import html
import json
import re

import pytest
from botocore.exceptions import ClientError
from quilt_packager_runtime.errors import AwsError
from quilt_packager_runtime.formats.manifest_lines import ManifestLine
from quilt_packager_runtime.formats.outcome import OutcomeFields
from quilt_packager_runtime.requests.sources import MessageSource
from quilt_packager_runtime.settings import Settings

from quilt_packager.admin.model.package_views import Comparison
from quilt_packager.admin.pages.job_page import rebuild_message
from quilt_packager.operations.deployment.configurations import Configuration
from quilt_packager.operations.jobs.job import Attempt, State
from quilt_packager.operations.revisions.contents import RevisionContents
from quilt_packager.operations.revisions.diff import Added, Summary
from tests.admin.browser import Browser
from tests.admin.engine import (
    TOP_HASH,
    Engine,
    ago,
    make_failed,
    make_job,
    make_line,
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
    assert "vcf/NA17.vcf" in text
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


def test_log_shows_levels_and_fields(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1")]
    engine.lines = [
        make_line("package started", source="s3://b/c d/", registry="b", delivery=1),
        make_line("boom", "ERROR", exception="Traceback:\n  File 3"),
        make_line("message not deferred", "ERROR", reason="?", exception="Traceback:\n  File 4"),
    ]
    text = html.unescape(browser.htmx("/jobs/a1/body").text)
    assert "<span>package started</span><span><i>delivery=</i>1 <i>source=</i>" in text
    assert '<i>source=</i>"s3://b/c d/" <i>registry=</i>b' in text
    assert '<span class="raw">{' in text
    assert "<i>reason=</i>? <pre>Traceback:\n  File 4</pre>" in text
    assert "All 3" in text


def test_log_is_searched_on_the_server(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_running("a1")]
    engine.lines = [make_line("package progress", phase=name, done=0) for name in ("listing", "x")]
    text = browser.htmx("/jobs/a1/body?q=LISTING").text
    assert text.count('<li class="INFO') == 1
    assert "/jobs/a1/body?q=LISTING" in text
    assert "No lines with “nowhere”." in browser.htmx("/jobs/a1/body?q=nowhere").text


@pytest.mark.parametrize(("level", "shown"), [("", 3), ("warning", 2), ("error", 1), ("odd", 3)])
def test_log_is_filtered_on_the_server(
    browser: Browser, engine: Engine, level: str, shown: int
) -> None:
    engine.jobs = [make_job("a1")]
    engine.lines = [make_line(name, name) for name in ("INFO", "WARNING", "ERROR")]
    text = browser.htmx(f"/jobs/a1/body?level={level}").text
    assert text.partition('id="log"')[2].count("<li class=") == shown


def test_metadata_and_workflow_come_from_the_manifest(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1")]
    text = browser.htmx("/jobs/a1/body").text
    assert "<dt>workflow_name</dt><dd>germline-wgs</dd>" in text
    assert "Workflow ngs-v3." in text
    assert "Packaged from s3://omics-out/3395667/" in text


def test_package_is_opened_at_just_this_revision(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1")]
    text = html.unescape(browser.htmx("/jobs/a1/body").text)
    assert f'registry="s3://quilt-prod",\n    top_hash="{TOP_HASH}")' in text
    assert f'href="/packages/quilt-prod/omics-quilt/3395667?revision={TOP_HASH}"' in text


def test_revision_is_compared_with_the_one_before(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1")]
    text = browser.htmx("/jobs/a1/related").text
    assert "<b>14</b> added" in text
    assert "vcf/NA17.vcf" in text
    assert "/packages/quilt-prod/omics-quilt/3395667?a=5d10" in text


def test_large_revisions_are_compared_on_request(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1", objects=1_000_000)]
    assert "compared on request" in browser.htmx("/jobs/a1/related").text
    assert "comparison" not in engine.asked


def test_missing_manifest_is_explained_in_place(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1")]
    engine.contents = ClientError({"Error": {"Code": "NoSuchKey", "Message": "Gone."}}, "GetObject")
    answer = browser.htmx("/jobs/a1/body")
    assert answer.status == 200
    assert "GetObject failed with NoSuchKey." in answer.text


def test_job_without_a_package_has_no_contents(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_failed("a1")]
    text = browser.htmx("/jobs/a1/body").text
    assert 'id="metadata"' not in text
    assert "/related" not in text
    assert "contents" not in engine.asked


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


def test_folder_of_a_job_can_be_packaged(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1")]
    query = "source_prefix=s3%3A%2F%2Fomics-out%2F3395667%2F&amp;registry=quilt-prod"
    assert f'href="/new?{query}&amp;package_name=' in browser.htmx("/jobs/a1/body").text


def test_remark_is_a_warning(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1", remark="The metadata lacks tags of the run.")]
    text = browser.htmx("/jobs/a1/body").text
    assert "<b>Metadata incomplete.</b> The metadata lacks tags of the run." in text
    assert "kept, 1 remark" in text


def test_verified_objects_are_counted_with_their_lists(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1", computed=1, verified=12, checksum_lists='"md5sum.txt"')]
    text = browser.htmx("/jobs/a1/body").text
    assert "<b>Verified.</b> 12 files match &#34;md5sum.txt&#34;." in text


def test_package_of_a_run_links_to_it(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1")]
    metadata = {"run_id": "3395667", "workflow_id": "1"}
    engine.contents = RevisionContents(metadata, None, None, (), has_more=False)
    assert "#/runs/3395667" in browser.htmx("/jobs/a1/body").text


def test_large_job_links_to_its_execution(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1", execution="a1")]
    text = browser.htmx("/jobs/a1/body").text
    assert "execution:LargeJobs:a1" in text
    assert "CloudWatch log" in text


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
        make_job("a3"),
    ]
    engine.comparison = Comparison(
        (Added(HOSTILE, 1),), Summary(1, 0, 0, 0, metadata_changed=False)
    )
    engine.lines = [make_line(HOSTILE, HOSTILE, **{HOSTILE: HOSTILE, "exception": HOSTILE})]
    engine.attempts = [Attempt(started=ago(minutes=1), reason=HOSTILE, code=HOSTILE)] * 2
    engine.contents = RevisionContents(
        {HOSTILE: HOSTILE, "deep": {HOSTILE: [HOSTILE]}, "list": [HOSTILE]},
        HOSTILE,
        HOSTILE,
        (ManifestLine(HOSTILE, size=1),),
        has_more=False,
    )
    for url in ("/jobs/a1?whole=1", "/jobs/a2?whole=1", "/jobs/a1/body", "/jobs/a3/related"):
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
    assert "Package again" not in text
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
    text = browser.htmx("/jobs/a1/related").text
    lineage = text.partition('id="lineage"')[2]
    assert (
        '<li><a href="/packages/quilt-raw/reads/6">reads/6</a>'
        "<small>quilt-raw, c85d21f6</small></li><li>and 2 more</li>" in lineage
    )
    assert "<small>quilt-prod, 4be8107c</small>" in lineage
    assert HOSTILE not in text
    assert lineage.count("<path") == 9


def test_an_engine_without_lineage_shows_none(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1")]
    assert 'id="lineage"' not in browser.htmx("/jobs/a1/related").text
    assert "users" not in engine.asked


def test_users_that_cannot_be_read_leave_the_inputs(browser: Browser, engine: Engine) -> None:
    engine.jobs = [make_job("a1")]
    engine.configuration = Configuration(Settings(lineage_table="lineage"))
    engine.users = AwsError("The table is not available.", why="", remedy="")
    text = browser.htmx("/jobs/a1/related").text
    assert "Unknown: The table is not available." in text
    assert "No known package" in text
