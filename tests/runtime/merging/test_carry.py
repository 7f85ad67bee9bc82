"""A job carries the changes of another writer into its revision."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import HeldForReview, WorkflowViolations
from quilt_packager_runtime.formats.outcome import Outcome, Result
from quilt_packager_runtime.requests.delivery import Delivery
from quilt_packager_runtime.settings import Settings

from tests.other_writers import README, Line, Lines, add, publish_edit, read_package
from tests.package_requests import package_request, request_of
from tests.s3_stub import Bucket, S3Stub

NAME = "runs/42"
FOLDER = "runs/42/"
LATEST = ".quilt/named_packages/runs/42/latest"
METADATA = {"run": 42}
NEWER_SECONDS = 600
"""A message from that far ahead is newer than those without a time, and clocks may differ so."""


@pytest.fixture
def raw(s3_stub: S3Stub) -> Bucket:
    bucket = s3_stub.create_bucket("raw")
    for name in ("a.txt", "b.txt"):
        bucket.put(FOLDER + name, name)
    return bucket


@pytest.fixture(autouse=True)
def packages(s3_stub: S3Stub, raw: Bucket) -> Bucket:
    return s3_stub.create_bucket("packages")


async def run(
    s3: S3,
    delivery: Delivery | None = None,
    *,
    settings: Settings | None = None,
    **fields: Any,
) -> Outcome:
    message = {
        "source_prefix": f"s3://raw/{FOLDER}",
        "registry": "packages",
        "metadata": METADATA,
        "on_foreign_revision": "carry",
        **fields,
    }
    return await package_request(s3, request_of(message), settings, delivery=delivery)


@pytest.fixture(autouse=True)
def sent_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a test's message: the same in all of its attempts."""
    monkeypatch.setattr(attempt, "sent_seconds", time.time() + NEWER_SECONDS, raising=False)


def attempt(number: int) -> Delivery:
    sent_seconds = vars(attempt)["sent_seconds"]
    return Delivery(
        body="", message_id="m", number=number, sent_seconds=sent_seconds, started_seconds=0
    )


def remove(*keys: str) -> Callable[[Lines, Line], None]:
    def change(entries: Lines, _header: Line) -> None:
        for key in keys:
            del entries[key]

    return change


def point_elsewhere(entries: Lines, _header: Line) -> None:
    entries["a.txt"] |= {
        "physical_keys": ["s3://packages/fixed/a.txt?versionId=v1"],
        "size": 3,
        "hash": {"type": "SHA256", "value": "cd" * 32},
    }


def approve(_entries: Lines, header: Line) -> None:
    header["user_meta"] = {**header["user_meta"], "approved_by": "a person"}


class TestChange:
    async def test_of_entries_is_carried_as_it_is(self, s3: S3, packages: Bucket) -> None:
        await run(s3)
        foreign = publish_edit(packages, NAME, add(README))
        outcome = await run(s3)
        header, entries = read_package(packages, NAME)
        assert entries["README.md"] == README
        assert (outcome.foreign_top_hash, outcome.carried_entries) == (foreign, 1)
        assert (outcome.objects, outcome.bytes) == (3, 17)
        assert header["message"].endswith(f"(with 1 entry of {foreign})")
        assert outcome.remark is not None
        assert f"Carried 1 entry of {foreign}" in outcome.remark

    async def test_of_metadata_is_carried(self, s3: S3, raw: Bucket, packages: Bucket) -> None:
        await run(s3)
        publish_edit(packages, NAME, approve)
        outcome = await run(s3, metadata={"run": 43})
        header, _ = read_package(packages, NAME)
        assert header["user_meta"] == {"run": 43, "approved_by": "a person"}
        assert (outcome.carried_entries, outcome.carried_fields) == (0, 1)
        assert outcome.remark is not None
        assert "a person" not in outcome.remark
        raw.put(f"{FOLDER}c.txt", "c")
        await run(s3, metadata={"run": 44})
        header, _ = read_package(packages, NAME)
        assert header["user_meta"] == {"run": 44, "approved_by": "a person"}

    @pytest.mark.parametrize("change", [point_elsewhere, remove("a.txt")])
    async def test_stays_until_its_source_changes(
        self, s3: S3, raw: Bucket, packages: Bucket, change: Callable[[Lines, Line], None]
    ) -> None:
        await run(s3)
        publish_edit(packages, NAME, change)
        edited = read_package(packages, NAME)[1].get("a.txt")
        raw.put(f"{FOLDER}a.txt", "a.txt")  # the same bytes as a new version
        raw.put(f"{FOLDER}c.txt", "c")
        outcome = await run(s3)
        assert (outcome.carried_entries, outcome.conflicts) == (1, None)
        assert read_package(packages, NAME)[1].get("a.txt") == edited
        raw.put(f"{FOLDER}a.txt", "new")
        outcome = await run(s3)
        assert (outcome.carried_entries, outcome.conflicts) == (0, '"a.txt"')
        assert outcome.foreign_top_hash is None
        assert outcome.remark is not None
        assert '"a.txt"' in outcome.remark
        header, entries = read_package(packages, NAME)
        assert (entries["a.txt"]["size"], "carried" in header) == (3, False)

    @pytest.mark.parametrize(
        "line",
        [
            {**README, "hash": None},
            {**README, "hash": {"type": "SHA256", "value": "ab"}},
            {**README, "hash": {"type": "sha2-256-chunked", "value": "ab" * 32}},
            {**README, "logical_key": ""},
            {**README, "logical_key": "../README.md"},
            {**README, "logical_key": "docs/"},
            {**README, "physical_keys": ["s3://b/1", "s3://b/2"]},
            {**README, "physical_keys": ["file:///home/README.md"]},
            {**README, "meta": {"user_meta": ["list"]}},
            {**README, "logical_key": "a.txt/README.md"},
            {"logical_key": "docs/", "physical_keys": None, "meta": {"user_meta": {"x": 1}}},
        ],
        ids=[
            "no hash",
            "half a hash",
            "hash of another type",
            "no key",
            "above the package",
            "folder",
            "two objects",
            "local",
            "metadata",
            "below a file",
            "of a folder",
        ],
    )
    async def test_that_no_manifest_may_have_is_named(
        self, s3: S3, packages: Bucket, line: Line
    ) -> None:
        await run(s3)
        foreign = publish_edit(packages, NAME, add(line))
        outcome = await run(s3)
        assert outcome.conflicts == json.dumps(line["logical_key"])
        assert (outcome.foreign_top_hash, outcome.carried_entries) == (foreign, 0)
        assert read_package(packages, NAME)[1].keys() == {"a.txt", "b.txt"}

    async def test_of_nothing_leaves_the_folder(self, s3: S3, packages: Bucket) -> None:
        created = await run(s3)
        foreign = publish_edit(packages, NAME, lambda _entries, header: header.update(message="x"))
        outcome = await run(s3)
        assert (outcome.top_hash, outcome.foreign_top_hash) == (created.top_hash, foreign)


class TestNextJob:
    async def test_is_unchanged_and_reads_one_manifest_more(
        self, s3: S3, s3_stub: S3Stub, packages: Bucket
    ) -> None:
        await run(s3)
        publish_edit(packages, NAME, add(README))
        await run(s3)
        s3_stub.forget_requests()
        outcome = await run(s3)
        assert (outcome.outcome, outcome.reused) == (Result.UNCHANGED, 2)
        # latest, its manifest, the base, the workflows, the newest pointer
        assert s3_stub.counts == {"GetObject": 5, "ListObjectVersions": 1, "ListObjectsV2": 1}

    async def test_hashes_only_what_is_new(self, s3: S3, raw: Bucket, packages: Bucket) -> None:
        await run(s3)
        publish_edit(packages, NAME, point_elsewhere)
        raw.put(f"{FOLDER}c.txt", "c")
        outcome = await run(s3)
        assert (outcome.reused, outcome.computed) == (2, 1)

    async def test_carries_a_second_edit_and_lets_the_first_be_removed(
        self, s3: S3, raw: Bucket, packages: Bucket
    ) -> None:
        await run(s3)
        publish_edit(packages, NAME, add(README))
        await run(s3)
        publish_edit(packages, NAME, approve)
        raw.put(f"{FOLDER}c.txt", "c")
        outcome = await run(s3)
        assert (outcome.carried_entries, outcome.carried_fields) == (1, 1)
        publish_edit(packages, NAME, remove("README.md"))
        outcome = await run(s3)
        assert (outcome.carried_entries, outcome.carried_fields) == (0, 1)
        assert "README.md" not in read_package(packages, NAME)[1]

    async def test_names_what_a_person_has_removed(self, s3: S3, packages: Bucket) -> None:
        await run(s3)
        publish_edit(packages, NAME, remove("b.txt"))
        remark = (await run(s3)).remark
        assert remark is not None
        assert remark.endswith(', without "b.txt".')

    async def test_with_hold_keeps_what_was_carried(
        self, s3: S3, raw: Bucket, packages: Bucket
    ) -> None:
        await run(s3)
        publish_edit(packages, NAME, add(README))
        with pytest.raises(HeldForReview):
            await run(s3, on_foreign_revision="hold")
        await run(s3)
        raw.put(f"{FOLDER}c.txt", "c")
        assert (await run(s3, on_foreign_revision="hold")).carried_entries == 1

    async def test_with_replace_drops_what_was_carried_and_names_it(
        self, s3: S3, packages: Bucket
    ) -> None:
        created = await run(s3)
        publish_edit(packages, NAME, add(README))
        merged = await run(s3)
        outcome = await run(s3, on_foreign_revision="replace")
        assert outcome.top_hash == created.top_hash
        assert outcome.foreign_top_hash == merged.top_hash


class TestHeld:
    async def test_without_an_earlier_revision_of_the_engine(
        self, s3: S3, packages: Bucket
    ) -> None:
        packages.put(".quilt/packages/" + "f" * 64, '{"version": "v0"}\n')
        packages.put(LATEST, "f" * 64)
        with pytest.raises(HeldForReview, match="no earlier revision"):
            await run(s3)

    @pytest.mark.parametrize("is_carried", [False, True])
    async def test_without_the_manifest_of_the_base(
        self, s3: S3, packages: Bucket, *, is_carried: bool
    ) -> None:
        base = await run(s3)
        foreign = publish_edit(packages, NAME, add(README))
        if is_carried:
            foreign = (await run(s3)).top_hash or ""
        packages.delete(f".quilt/packages/{base.top_hash}")
        with pytest.raises(HeldForReview, match=f"{base.top_hash}.*missing") as held:
            await run(s3)
        assert foreign in held.value.happened
        latest = packages.get(LATEST)
        assert latest
        assert latest.data.decode() == foreign

    @pytest.mark.parametrize("data", ["", "[]\n", '{"user_meta": 1}\n', '{}\n{"logical_key": 1}\n'])
    async def test_with_a_malformed_manifest(self, s3: S3, packages: Bucket, data: str) -> None:
        await run(s3)
        foreign = publish_edit(packages, NAME, add(README))
        packages.put(f".quilt/packages/{foreign}", data)
        with pytest.raises(HeldForReview, match="cannot be read"):
            await run(s3)


class TestRace:
    async def test_with_a_person_compares_with_the_revision_that_the_person_edited(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket, packages: Bucket
    ) -> None:
        """The job has announced its revision, and the person has not seen the new file."""
        await run(s3)
        raw.put(f"{FOLDER}c.txt", "c")
        pause = s3_stub.on("PutObject", key=LATEST, nth=2).pause_before()
        running = asyncio.create_task(run(s3, attempt(1)))
        held = await pause.reached()
        foreign = publish_edit(packages, NAME, add(README))
        held.release()
        outcome = await running
        assert (outcome.foreign_top_hash, outcome.carried_entries) == (foreign, 1)
        names = {"README.md", "a.txt", "b.txt", "c.txt"}
        assert read_package(packages, NAME)[1].keys() == names

    async def test_that_ended_with_a_refusal_does_not_move_the_base(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket, packages: Bucket
    ) -> None:
        await run(s3)
        raw.put(f"{FOLDER}c.txt", "c")
        pause = s3_stub.on("PutObject", key=LATEST, nth=1).pause_before()
        running = asyncio.create_task(run(s3, attempt(1), on_foreign_revision="hold"))
        held = await pause.reached()
        publish_edit(packages, NAME, add(README))
        held.release()
        with pytest.raises(HeldForReview):
            await running
        assert (await run(s3)).carried_entries == 1
        assert "c.txt" in read_package(packages, NAME)[1]

    async def test_with_a_crash_names_the_same_conflicts(
        self, s3: S3, raw: Bucket, packages: Bucket
    ) -> None:
        await run(s3)
        foreign = publish_edit(packages, NAME, point_elsewhere)
        raw.put(f"{FOLDER}a.txt", "new")
        await run(s3, attempt(1))  # and the function dies before it reports
        outcome = await run(s3, attempt(2))
        assert (outcome.outcome, outcome.conflicts) == (Result.CREATED, '"a.txt"')
        assert outcome.foreign_top_hash == foreign


class TestWorkflow:
    """The rules of the registry apply to the merged package."""

    @pytest.fixture(autouse=True)
    def rules(self, packages: Bucket) -> None:
        schema = {"contains": {"properties": {"logical_key": {"const": "README.md"}}}}
        packages.put("schema.json", json.dumps(schema))
        packages.put(
            ".quilt/workflows/config.yml",
            "version: {base: '1', catalog: '1'}\n"
            "is_workflow_required: false\n"
            "workflows: {w: {name: W, entries_schema: s}}\n"
            "schemas: {s: {url: s3://packages/schema.json}}\n",
        )

    async def test_accepts_what_a_person_has_added(self, s3: S3, packages: Bucket) -> None:
        await run(s3, workflow=None)
        publish_edit(packages, NAME, add(README))
        assert (await run(s3, workflow="w")).carried_entries == 1
        assert read_package(packages, NAME)[0]["workflow"]["id"] == "w"

    async def test_refuses_the_folder_alone(self, s3: S3, packages: Bucket) -> None:
        await run(s3, workflow=None)
        publish_edit(packages, NAME, add(README))
        with pytest.raises(WorkflowViolations):
            await run(s3, workflow="w", on_foreign_revision="replace")

    async def test_quarantines_the_folder_alone(
        self, s3: S3, s3_stub: S3Stub, packages: Bucket
    ) -> None:
        quarantine = s3_stub.create_bucket("quarantine")
        await run(s3, workflow=None)
        foreign = publish_edit(packages, NAME, approve)  # which adds no README
        settings = Settings(quarantine_registry="quarantine")
        with pytest.raises(WorkflowViolations):
            await run(s3, settings=settings, workflow="w")
        latest = packages.get(LATEST)
        assert latest
        assert latest.data.decode() == foreign
        header, entries = read_package(quarantine, NAME)
        assert entries.keys() == {"a.txt", "b.txt"}
        assert "approved_by" not in header["user_meta"]
