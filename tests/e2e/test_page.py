"""Actions on the page in a real browser, and their effects on the engine."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from playwright.sync_api import Locator, Page, expect

from quilt_packager.cli.demo import failure_scenarios
from quilt_packager.local.engine import BUCKET
from quilt_packager.local.page import Page as Served
from tests.e2e.browsing import Person, settle, tab_to
from tests.e2e.page_stack import HOSTILE_NAME, Stack, wait_until
from tests.operations import job_lines

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("page"), pytest.mark.timeout(300)]

SCRIPTS = pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
"""All actions work with and without scripts."""

EMPTY = "/failures?code=EmptySource"


def source_of(folder: str) -> str:
    return f"s3://{BUCKET}/{folder}"


def open_job(person: Person, name: str) -> Page:
    page = person.go(f"/jobs?q={name}")
    page.locator("#rows").get_by_role("link", name=name).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    return settle(page)


def find_button(person: Person, name: str) -> Locator:
    """Find a button beside a failure. Messages that another process is reading are not listed."""
    button = person.page.get_by_role("button", name=name)

    def is_listed() -> bool:
        settle(person.go(EMPTY))
        return button.count() == 1

    wait_until(is_listed, name)
    return button


# Jobs.


def test_jobs_of_every_outcome_are_listed_with_their_reasons(person: Person) -> None:
    page = person.page
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    for outcome in ("Created", "Unchanged", "Rejected", "Failed"):
        expect(page.locator("#rows .badge", has_text=outcome).first).to_be_visible()
    row = page.get_by_role("row", name=failure_scenarios.SLIDE.prefix.strip("/"))
    expect(row).to_contain_text("The state machine gave up")


def test_filter_is_part_of_the_address(person: Person) -> None:
    page = person.page
    page.get_by_role("searchbox").fill("nextflow/*")
    expect(page).to_have_url(re.compile(r"\?q=nextflow%2F%2A$"))
    page.get_by_role("link", name=re.compile("^Created")).click()
    expect(page).to_have_url(re.compile("outcome=created"))
    expect(page.locator("#rows tbody tr")).to_have_count(1)
    page.reload()
    expect(page.locator("#rows tbody tr")).to_have_count(1)
    expect(page.get_by_role("searchbox")).to_have_value("nextflow/*")


def test_older_jobs_are_on_further_pages(person: Person) -> None:
    page = person.page
    expect(page.locator("#rows tbody tr")).to_have_count(50)
    page.get_by_role("link", name="Older jobs").click()
    expect(page.locator(".pager")).to_contain_text("51 to 100 of")
    expect(page).to_have_url(re.compile("before="))


def test_new_job_appears_after_a_click(person: Person, stack: Stack) -> None:
    page = person.page
    first = page.locator("#rows tbody tr").first
    before = first.get_attribute("id")
    stack.upload("live/run-1/")
    stack.send({"source_prefix": source_of("live/run-1/")})
    newer = page.locator("#newer-link")
    expect(newer).to_be_visible()
    # Nothing moved below the pointer.
    expect(first).to_have_attribute("id", before or "")
    newer.click()
    expect(page.get_by_role("row", name="live/run-1")).to_contain_text("Created")


def test_page_of_a_job_has_its_checks_its_time_its_log_and_its_metadata(person: Person) -> None:
    page = open_job(person, "nextflow/rnaseq-7")
    expect(page.locator("#promise")).to_contain_text("Nothing changed meanwhile.")
    expect(page.locator("#time")).to_contain_text("Message to package")
    expect(page.locator("#metadata")).to_contain_text("Nextflow 24.10.2")
    expect(page.locator("#log")).to_contain_text("package created")
    page.locator("#log").get_by_role("link", name="Errors").click()
    expect(page.locator("#log")).to_contain_text("No lines of this level.")
    page.get_by_role("link", name="All revisions").click()
    expect(page.locator("#entries")).to_contain_text("multiqc/multiqc report #1 (50% ä+b).html")


def test_large_job_shows_the_shards_that_its_workers_have_hashed(
    person: Person, stack: Stack
) -> None:
    job, now = str(uuid4()), datetime.now(UTC)
    begun = [
        job_lines.started(job, now, "large/job", registry=BUCKET),
        job_lines.progress(job, now, "listing", total=None),
        job_lines.large_job_started(job, now, shards=8),
    ]
    stack.write_log("packager", begun)
    page = settle(person.go(f"/jobs/{job}"))
    bar = page.get_by_role("progressbar", name="Checksums")
    expect(bar).to_have_attribute("value", "0")
    hashed = [job_lines.shard_hashed(job, datetime.now(UTC), shard) for shard in range(4)]
    stack.write_log("checksum", hashed)
    expect(bar).to_have_attribute("value", "4")
    expect(page.locator("#time")).to_contain_text("4 of 8 shards")
    ended = job_lines.succeeded(job, datetime.now(UTC), "unchanged", "large/job", registry=BUCKET)
    stack.write_log("packager", [ended])
    expect(page.locator("#time")).to_contain_text("Where the time went")
    expect(bar).to_have_count(0)


def test_page_of_a_failed_job_begins_with_error_cause_and_remedy(person: Person) -> None:
    page = open_job(person, "not_uploaded/yet")
    why = page.locator("#promise")
    expect(why).to_contain_text("s3://quilt-demo/not/uploaded/yet/ has no objects.")
    expect(why).to_contain_text("The upload has not begun")
    expect(why).to_contain_text("Check the folder")


def test_untrusted_markup_is_text(person: Person) -> None:
    page = open_job(person, HOSTILE_NAME)
    expect(page.locator("#metadata")).to_contain_text("</dd><script>document.title='taken'")
    page.get_by_role("link", name="All revisions").click()
    expect(page.locator("#entries")).to_contain_text("<script>document.title='taken'</script>.txt")
    expect(page.locator("#entries")).to_contain_text("{{ 7*7 }}.json")
    assert page.locator("main script, main img").count() == 0
    expect(page).not_to_have_title("taken")


# Failures.


def test_failures_are_grouped_by_reason(person: Person) -> None:
    page = settle(person.go("/failures"))
    for title in ("Source folder is empty", "Large job failed", "Invalid message"):
        card = page.locator("section", has=page.get_by_role("heading", name=title))
        expect(card).to_contain_text("What to do")
    # The tab shows the number of failures.
    expect(page.locator("#count-failures .count")).to_be_visible()


@SCRIPTS
def test_retried_message_becomes_a_package(
    meet: Callable[..., Person], served: Served, failed: Stack, scripts: bool
) -> None:
    name = f"late/folder-{scripts:d}"
    failed.upload(f"{name}/")
    person = meet(served, java_script_enabled=scripts)
    page = person.page
    find_button(person, f"Retry {name}").click()
    question = page.get_by_role("dialog") if scripts else page.locator(".confirm")
    expect(question).to_contain_text("Retry 1 message?")
    expect(question).to_contain_text(source_of(f"{name}/"))
    question.get_by_role("button", name="Retry 1 message").click()
    expect(page.locator(".toast")).to_contain_text("1 message sent to the queue again.")
    expect(page.get_by_role("button", name=f"Retry {name}")).to_have_count(0)
    wait_until(lambda: failed.has_package(name), "the package")
    assert source_of(f"{name}/") not in failed.dead_letters()
    page.locator(".toast").get_by_role("link", name="Follow").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


@SCRIPTS
def test_message_is_discarded_after_confirmation(
    meet: Callable[..., Person], served: Served, failed: Stack, scripts: bool
) -> None:
    name = f"unwanted/folder-{scripts:d}"
    person = meet(served, java_script_enabled=scripts)
    page = person.page
    find_button(person, f"Discard {name}").click()
    question = page.get_by_role("dialog") if scripts else page.locator(".confirm")
    expect(question).to_contain_text("The files in S3 are kept.")
    question.get_by_text("Keep it", exact=True).click()
    expect(question).to_have_count(0)
    person.arrive(page)
    assert source_of(f"{name}/") in failed.dead_letters()
    find_button(person, f"Discard {name}").click()
    question.get_by_role("button", name="Discard 1 message").click()
    expect(page.locator(".toast")).to_contain_text("1 message discarded.")
    assert source_of(f"{name}/") not in failed.dead_letters()


def test_all_of_a_reason_are_retried_at_once(person: Person, stack: Stack) -> None:
    page = settle(person.go("/failures"))
    page.get_by_role("button", name="Retry 1, LargeJobFailed").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry 1 message").click()
    expect(page.locator(".toast")).to_be_visible()
    wait_until(lambda: stack.has_package("microscope/slide-12"), "the package of the slide")


def test_failures_are_handled_with_the_keyboard_only(person: Person, failed: Stack) -> None:
    page = person.page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    tab_to(page, page.get_by_role("navigation").get_by_role("link", name="Failures"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Failures")
    card = settle(page).locator("section", has=page.get_by_text("EmptySource", exact=True))
    discard = card.get_by_role("button", name="Discard typed/folder")
    if not discard.is_visible():
        tab_to(page, card.locator("details.msgs > summary"))
        page.keyboard.press("Enter")
    tab_to(page, discard)
    page.keyboard.press("Enter")
    # The focus begins at the safe choice.
    expect(page.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Escape")
    expect(discard).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("1 message discarded.")
    assert source_of("typed/folder/") not in failed.dead_letters()


# Settings.


@SCRIPTS
def test_source_is_disabled_after_confirmation_and_enabled_at_once(
    meet: Callable[..., Person], served: Served, stack: Stack, scripts: bool
) -> None:
    page = meet(served, java_script_enabled=scripts).go("/settings")
    switch = page.get_by_role("switch", name="Nextflow runs")
    expect(switch).to_have_attribute("aria-checked", "true")
    switch.click()
    question = page.get_by_role("dialog") if scripts else page.locator(".confirm")
    expect(question).to_contain_text("Turn off Nextflow runs?")
    expect(question).to_contain_text("Events that arrive while it is off are lost")
    # Not yet confirmed.
    assert stack.rule_state("ro-crate-metadata.json") == "ENABLED"
    question.get_by_role("button", name="Turn off Nextflow runs").click()
    expect(page.locator(".toast")).to_contain_text("Nextflow runs: turned off.")
    expect(switch).to_have_attribute("aria-checked", "false")
    assert stack.rule_state("ro-crate-metadata.json") == "DISABLED"
    expect(page.locator("#sources .callout").first).to_contain_text(
        'unless cdk.json says "quilt:wrroc": false'
    )
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "true")
    assert stack.rule_state("ro-crate-metadata.json") == "ENABLED"


def test_sources_show_their_events_and_their_activity(person: Person) -> None:
    page = settle(person.go("/settings"))
    source = page.locator(".src", has=page.get_by_role("heading", name="HealthOmics runs"))
    expect(source).to_contain_text("A HealthOmics run reaches COMPLETED.")
    expect(source.locator("[id^=act-]")).to_contain_text("job")
    edp = page.locator(".src", has=page.get_by_role("heading", name="EDP"))
    expect(edp).to_contain_text("differs from now")
    expect(page.locator("#engine")).to_contain_text(BUCKET)
    expect(page.locator("#flags pre")).to_contain_text('"quilt:edp": ""')


@SCRIPTS
def test_engine_is_checked_and_a_folder_explained_with_the_keyboard(
    meet: Callable[..., Person], served: Served, scripts: bool
) -> None:
    page = meet(served, java_script_enabled=scripts).go("/settings")
    page.get_by_role("button", name=re.compile("^Check")).press("Enter")
    check = page.locator("#check")
    expect(check.locator(".checks li").first).to_be_visible(timeout=30_000)
    expect(page.get_by_role("button", name="Check again")).to_be_visible()
    if scripts:
        expect(page.get_by_role("button", name="Check again")).to_be_focused()
        expect(page.locator("#announce")).to_contain_text("checks: ")
    folder = page.get_by_label("Folder", exact=True)
    folder.fill(source_of("nextflow/rnaseq-7"))
    folder.press("Enter")
    reasons = page.locator("#explain .checks")
    expect(reasons).to_contain_text("It is the package nextflow/rnaseq-7", timeout=30_000)
    expect(reasons).to_contain_text("Nextflow runs")


# Packages.


def test_packages_are_filtered_and_show_what_their_revisions_changed(person: Person) -> None:
    page = settle(person.go("/packages"))
    page.get_by_label("Made by").focus()
    page.get_by_label("Made by").select_option("Engine")
    expect(page).to_have_url(re.compile("by=engine$"))
    expect(page.get_by_label("Made by")).to_be_focused()
    page.get_by_role("searchbox").fill("nextflow/*")
    page.get_by_role("searchbox").press("Enter")
    page.get_by_role("link", name="nextflow/rnaseq-7").click()
    expect(page.locator("#changes-0")).to_contain_text("entr")
    expect(page.locator("#audit")).to_contain_text("Not audited")


# New package.


def test_form_is_checked_while_the_user_types(person: Person) -> None:
    page = person.go("/new")
    page.get_by_label("Folder", exact=True).fill("s3://other-bucket/runs/1/")
    expect(page.locator("#note-source_prefix")).to_contain_text("other-bucket")
    package = page.get_by_role("button", name="Package", exact=True)
    expect(package).to_have_attribute("aria-disabled", "true")
    page.get_by_label("Folder", exact=True).fill(source_of("new/run-7/"))
    expect(page.locator("#note-source_prefix")).not_to_contain_text("other-bucket")
    page.get_by_label("Package name").fill("no-slash")
    expect(page.locator("#note-package_name")).to_contain_text("A package name is prefix/suffix")
    expect(page.get_by_label("Package name")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Package name").fill("")
    page.get_by_text("Same thing in the terminal").click()
    expect(page.locator("#command")).to_contain_text("quilt-packager send")
    expect(package).not_to_have_attribute("aria-disabled", "true")
    # The address has the form: a reload shows it again.
    page.get_by_label("Workflow", exact=True).select_option("None")
    expect(page).to_have_url(re.compile("/new\\?source_prefix=s3://[^&]*/new/run-7/&workflow=$"))
    page.reload()
    expect(page.get_by_label("Workflow", exact=True)).to_have_value("")


@SCRIPTS
def test_package_is_planned_requested_and_followed(
    meet: Callable[..., Person], served: Served, stack: Stack, scripts: bool
) -> None:
    name = f"new/run-{scripts:d}"
    stack.upload(f"{name}/")
    person = meet(served, java_script_enabled=scripts)
    page = person.go("/new")
    page.get_by_label("Folder", exact=True).fill(source_of(f"{name}/"))
    page.get_by_role("button", name="Check").first.click()
    person.arrive(page)
    expect(page.locator("#verdict")).to_contain_text("Can be packaged")
    expect(page.locator("#verdict .facts")).to_contain_text("Objects")
    assert not stack.has_package(name)
    page.get_by_role("button", name="Package", exact=True).first.click()
    expect(page).to_have_url(re.compile("/jobs/[0-9a-f-]{36}"))
    person.arrive(page)
    badge = page.locator(".head .badge")
    if not scripts:
        # Without scripts the user reloads the page.
        wait_until(lambda: page.reload() and badge.inner_text() == "Created", "the package")
    expect(badge).to_have_text("Created")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    assert stack.has_package(name)


def test_plan_shows_the_reason_of_a_rejection(person: Person) -> None:
    page = person.go("/new")
    page.get_by_label("Folder", exact=True).fill(source_of("not/there/"))
    page.get_by_label("Folder", exact=True).press("Enter")
    expect(page.locator("#verdict")).to_contain_text("This would be rejected")
    expect(page.locator("#verdict")).to_contain_text("EmptySource")


@SCRIPTS
def test_whole_bucket_needs_a_tick_and_a_warning_has_its_cure(
    meet: Callable[..., Person], served: Served, scripts: bool
) -> None:
    person = meet(served, java_script_enabled=scripts)
    page = person.go("/new?source_prefix=s3://quilt-demo/&package_name=a/b")
    person.arrive(page)
    expect(page.locator("#verdict")).to_contain_text("This is a whole bucket")
    row = page.locator("#found").get_by_role("row", name="nextflow/")
    expect(row).to_contain_text("Folder of files")
    page.get_by_role("button", name="Package the bucket").first.click()
    expect(page).to_have_url(re.compile("/new"))  # the browser asks for the tick
    expect(page.get_by_role("checkbox")).not_to_be_checked()
    page = person.go("/new?source_prefix=s3://quilt-demo/nextflow/rnaseq-7")
    page.get_by_role("link", name="Use …/nextflow/rnaseq-7/").click()
    person.arrive(page)
    expect(page.locator("#verdict")).not_to_contain_text("This is the folder above.")
    expect(page.get_by_label("Folder", exact=True)).to_have_value(re.compile("rnaseq-7/$"))


# All of them.


def test_theme_is_kept_after_a_reload(person: Person) -> None:
    page = person.page
    with page.expect_response("**/theme"):
        page.locator("label[for=theme-dark]").click()
    expect(page.get_by_role("radio", name="Dark theme")).to_be_checked()
    background = "getComputedStyle(document.body).backgroundColor"
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate(background) == "rgb(14, 18, 23)"
