"""Creates the pictures and recordings of the documentation: `make pictures`.

They show a demo that is kept, with a day of jobs before it.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from playwright.sync_api import Page, expect

from quilt_packager.cli.demo import scenario
from quilt_packager.local import samples
from quilt_packager.local.engine import BUCKET
from quilt_packager.local.page import Page as Served
from tests.e2e import browsing, page_stack
from tests.e2e.browsing import Person, settle
from tests.e2e.page_stack import Stack
from tests.e2e.terminals import type_in

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
MANUAL = ROOT / "docs" / "how-to" / "operate.md"
PROGRAM = str(Path(sys.executable).with_name("quilt-packager"))

BLOCK = re.compile(r"^```console\n.*?^```$", re.MULTILINE | re.DOTALL)
SCREEN = {"width": 1280, "height": 900}
PHONE = {"width": 375, "height": 1100}

ASSAYS = tuple(samples.plate(f"elisa/2026-11-{day}/") for day in (21, 22, 23))
"""Folders without an event: one is sent, one is packaged here, and one is found."""


PRODUCTION = "production"
"""A second registry."""


class Typed(NamedTuple):
    """Input of a user.

    Attributes:
        line: The command; `ID` is replaced by the job of the Nextflow run.
        answer: The answer to its question, if any.
    """

    line: str
    answer: str = ""


SESSIONS = (
    Typed("quilt-packager check"),
    Typed("quilt-packager status"),
    Typed(f"quilt-packager explain s3://{BUCKET}/{ASSAYS[0].prefix}"),
    Typed("quilt-packager jobs --since 10m"),
    Typed("quilt-packager jobs show ID"),
    Typed("quilt-packager failures"),
    Typed("quilt-packager failures retry --code LargeJobFailed", "y"),
    Typed("quilt-packager failures discard --code InvalidMessage", "1"),
    Typed("quilt-packager sources"),
    Typed("quilt-packager sources disable omics", "y"),
    Typed(f"quilt-packager plan s3://{BUCKET}/{ASSAYS[0].prefix}"),
    Typed(f"quilt-packager send s3://{BUCKET}/{ASSAYS[0].prefix} --wait"),
    Typed(f"quilt-packager package s3://{BUCKET}/{ASSAYS[1].prefix}"),
    Typed(f"quilt-packager discover s3://{BUCKET}/"),
    Typed(f"quilt-packager backfill s3 s3://{BUCKET}/elisa/ --sentinel wells.csv --dry-run"),
    Typed("quilt-packager packages"),
    Typed(f"quilt-packager show {scenario.MESSAGE_NAME}"),
    Typed(f"quilt-packager diff {scenario.MESSAGE_NAME} --registry {BUCKET}"),
    Typed("quilt-packager verify assays/elisa-8"),
    Typed("quilt-packager lineage reports/rnaseq-7"),
    Typed(f"quilt-packager promote {scenario.MESSAGE_NAME} --to {PRODUCTION}"),
)
"""Commands in the order of the manual's blocks, which begin with them."""


def main() -> None:
    """Deploy an engine, and update the pictures and recordings."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with page_stack.deployed(folder) as stack:
            with Served(folder, stack.environment) as served:
                take_pictures(served)
            record(stack)


def take_pictures(served: Served) -> None:
    """Write each picture of the page, in light and dark mode."""
    expect.set_options(timeout=60_000)
    for browser in browsing.start_chromium():
        for scheme in ("light", "dark"):
            person = Person(browser, served.url, color_scheme=scheme, viewport=SCREEN)
            for name, page in show_all(person):
                page.screenshot(path=IMAGES / f"{name}-{scheme}.png")
            person.context.close()
            phone = Person(browser, served.url, color_scheme=scheme, viewport=PHONE)
            settle(phone.page).screenshot(path=IMAGES / f"jobs-phone-{scheme}.png")
            phone.context.close()


def show_all(person: Person) -> Iterator[tuple[str, Page]]:
    """Yield each page with the name of its picture."""
    yield "jobs", settle(person.go("/jobs"))
    person.go("/jobs?q=nextflow/rnaseq-7").locator("#rows a.pkg").first.click()
    expect(person.page.locator("#time tbody tr").first).to_be_visible()
    yield "job", settle(person.page)
    yield "failures", settle(person.go("/failures"))
    yield "packages", settle(person.go("/packages"))
    person.go(f"/packages/{BUCKET}/{quote(scenario.MESSAGE_NAME, safe='')}")
    expect(person.page.locator("#entries tbody tr").first).to_be_visible()
    yield "package", settle(person.page)
    yield "new-package", plan(person)
    yield "settings", settle(person.go("/settings"))


def plan(person: Person) -> Page:
    page = person.go("/new")
    page.get_by_label("Folder", exact=True).fill(f"s3://{BUCKET}/nextflow/rnaseq-7/")
    page.get_by_label("Package name").fill("rnaseq/first-run")
    page.get_by_role("button", name="Check").first.click()
    expect(page.locator("#verdict .facts")).to_be_visible()
    page.evaluate("scrollTo(0, 0)")
    return settle(page)


def record(stack: Stack) -> None:
    """Replace the recordings in the manual by the current output of each command."""
    environment = dict(stack.environment)
    environment["PATH"] = os.pathsep.join([str(Path(PROGRAM).parent), environment["PATH"]])
    for assay in ASSAYS:
        stack.engine.upload(assay)
    prepare_packages(stack)
    recordings = [play(typed, environment) for typed in SESSIONS]
    text = MANUAL.read_text("utf-8")
    blocks = BLOCK.findall(text)
    if len(blocks) != len(recordings):
        raise SystemExit(f"{MANUAL.name} has {len(blocks)} recordings, not {len(recordings)}")
    outputs = iter(recordings)
    MANUAL.write_text(BLOCK.sub(lambda _: f"```console\n{next(outputs)}\n```", text), "utf-8")


def prepare_packages(stack: Stack) -> None:
    """Create a second revision, a damaged package, and one that was made from another."""
    stack.deployment.s3.create_bucket(Bucket=PRODUCTION)
    stack.engine.send_message({**scenario.MESSAGE, "exclude": ["metadata.json"]})
    scenario.send_report(stack.engine)
    scenario.send_damaged(stack.engine)
    expected = {scenario.MESSAGE_NAME: 2, scenario.REPORT_NAME: 1, scenario.DAMAGED_NAME: 1}
    page_stack.wait_until(
        lambda: all(count_revisions(stack, name) >= count for name, count in expected.items()),
        "the revisions of the recordings",
    )
    stack.engine.delete_version(scenario.DAMAGED, scenario.DAMAGED_FILE)


def play(typed: Typed, environment: dict[str, str]) -> str:
    line = typed.line.replace("ID", find_job(environment)) if "ID" in typed.line else typed.line
    output = type_in(shlex.split(line), environment, typed.answer)
    return f"$ {line}\n{output}".rstrip()


def find_job(environment: dict[str, str]) -> str:
    command = [PROGRAM, "jobs", "--name", "nextflow/*", "--json"]
    listed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: str = json.loads(listed.stdout.splitlines()[0])["id"]
    return found[:8]


def count_revisions(stack: Stack, name: str) -> int:
    prefix = f".quilt/named_packages/{name}/"
    found = stack.deployment.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
    # One of them is the pointer to the latest.
    return max(found["KeyCount"] - 1, 0)


if __name__ == "__main__":
    main()
