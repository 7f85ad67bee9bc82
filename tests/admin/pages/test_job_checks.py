"""The checks of a job: what its outcome, its log and its revision say of its promises."""

from pathlib import Path
from typing import Any

import pytest
import quilt_packager_runtime

from quilt_packager.admin.pages.job_checks import REMARKS, Check, list_checks
from quilt_packager.operations.jobs.job import Job, Phase, State
from quilt_packager.operations.jobs.log_lines import LogLine
from quilt_packager.operations.jobs.record import JobRecord
from quilt_packager.operations.revisions.contents import RevisionContents
from tests.admin.engine import TOP_HASH, ago, make_failed, make_job, make_line

CONTENTS = RevisionContents({}, None, "ngs-v3", (), has_more=False)


def check(job: Job, *lines: LogLine, contents: RevisionContents | None = None) -> list[Check]:
    return list_checks(JobRecord(job, lines, ()), contents)


def subjects(found: list[Check]) -> list[tuple[str, str]]:
    return [(each.kind, each.subject) for each in found]


def make_passes(*names: str) -> Any:
    return tuple(Phase(name, ago(minutes=1)) for name in names)


def test_workflow_is_the_one_of_the_manifest() -> None:
    assert ("ok", "Workflow ngs-v3.") in subjects(check(make_job(), contents=CONTENTS))


def test_required_files_and_checksum_lists_are_counted() -> None:
    facts: dict[str, Any] = {
        "required": 12,
        "verified": 128,
        "verified_by_reading": 7,
        "objects": None,
    }
    assert check(make_job(checksum_lists='"md5sum.txt"', **facts)) == [
        Check("ok", "Complete.", "All 12 required files are there."),
        Check(
            "ok",
            "Verified.",
            '128 files match "md5sum.txt".',
            "121 by known checksums, 7 read",
        ),
    ]


def test_created_package_is_what_the_folder_holds() -> None:
    job = make_job(phases=make_passes("listing", "checksums", "publishing"))
    assert ("ok", "Nothing changed meanwhile.") in subjects(check(job))


def test_another_pass_shows_that_the_folder_changed() -> None:
    job = make_job(phases=make_passes("listing", "publishing", "listing", "publishing"))
    (found,) = check(job)
    assert (found.subject, found.end) == ("Changed while packaged.", "2 passes")


def test_retry_of_the_last_step_is_no_change() -> None:
    job = make_job(phases=make_passes("listing", "publishing", "listing", "publishing"))
    failure = dict.fromkeys(("step", "code", "reason", "happened", "why", "remedy"), "x")
    failed = make_line("step failed", round=0, **failure)
    assert subjects(check(job, failed)) == [("ok", "Nothing changed meanwhile.")]


def test_listing_after_a_wait_is_no_change() -> None:
    job = make_job(phases=make_passes("listing", "waiting", "listing", "publishing"))
    assert subjects(check(job)) == [("ok", "Nothing changed meanwhile.")]


def test_unchanged_package_is_up_to_date() -> None:
    job = make_job(outcome=State.UNCHANGED, previous_top_hash=TOP_HASH)
    assert subjects(check(job)) == [("ok", "Up to date.")]


@pytest.mark.parametrize(
    ("remark", "expected"),
    [
        (
            "Left out parts of the crate that are missing: a. Carried x of 5d10.",
            [("warn", "Left out."), ("ok", "Changes of another writer are kept.")],
        ),
        (
            "Something new. It has two sentences. Files differ from their checksum lists: a.",
            [("warn", "Remark."), ("warn", "Checksums differ.")],
        ),
    ],
)
def test_remarks_are_one_check_each(remark: str, expected: list[tuple[str, str]]) -> None:
    found = check(make_job(remark=remark, objects=None))
    assert subjects(found) == expected
    assert " ".join(each.text for each in found) == remark


@pytest.mark.parametrize("beginning", [each[0] for each in REMARKS])
def test_beginning_of_a_remark_is_one_of_the_runtime(beginning: str) -> None:
    sources = Path(quilt_packager_runtime.__file__).parent.rglob("*.py")
    assert any(beginning in source.read_text("utf-8") for source in sources)


def test_ignored_message_names_the_reason() -> None:
    job = make_job(outcome=State.IGNORED, top_hash=None, why="another job waits")
    assert check(job) == [Check("info", "No package was requested.", "another job waits")]


def test_refused_event_is_shown() -> None:
    line = make_line("outcome not published", destination="topic", reason="Denied.")
    assert Check("warn", "Not announced.", "Denied.", "topic") in check(make_failed(), line)
