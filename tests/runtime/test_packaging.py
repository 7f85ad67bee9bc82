"""The story of a job, from a request to a revision, against S3's stub."""

import asyncio
import json
import sqlite3
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest
from quilt_packager_runtime import packaging
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import (
    AccessDenied,
    ArchivedObjects,
    BucketNotAllowed,
    DiskFull,
    EmptySource,
    InvalidCrate,
    InvalidKeys,
    InvalidMetadata,
    ManifestLineTooLong,
    NoSuchBucket,
    PackagerError,
    SourceChanged,
    UnreadableObjects,
    WorkflowViolations,
    WriteConflict,
)
from quilt_packager_runtime.formats.json_documents import MAX_METADATA_BYTES
from quilt_packager_runtime.formats.manifest import ManifestWriter
from quilt_packager_runtime.formats.objects import Checksum, Entry
from quilt_packager_runtime.formats.outcome import Outcome, Result
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.packaging import MAX_PASSES
from quilt_packager_runtime.requests.delivery import Delivery
from quilt_packager_runtime.requests.package_request import UnresolvedRequest
from quilt_packager_runtime.requests.resolve import resolve
from quilt_packager_runtime.settings import Settings

from tests.cancelling import ManyItems, check_is_cancelled_within
from tests.package_requests import package_request, request_of
from tests.s3_stub import Bucket, S3Stub, Versioning

FULL_DEVICE = Path("/dev/full")
LATEST = ".quilt/named_packages/runs/42/latest"
WORKFLOWS = """
version: "1"
workflows:
  strict:
    name: Strict
    is_message_required: true
    handle_pattern: ^strict/
default_workflow: strict
"""


@pytest.fixture
def raw(s3_stub: S3Stub) -> Bucket:
    bucket = s3_stub.create_bucket("raw")
    bucket.put("runs/42/a.txt", b"hello", stored=["SHA256"])
    bucket.put("runs/42/b/c.txt", b"", stored=["SHA256"])
    return bucket


@pytest.fixture
def packages(s3_stub: S3Stub) -> Bucket:
    return s3_stub.create_bucket("packages")


def request(**fields: Any) -> UnresolvedRequest:
    message = {"source_prefix": "s3://raw/runs/42/", "registry": "packages", **fields}
    return request_of(message)


async def run(s3: S3, settings: Settings | None = None, **fields: Any) -> Outcome:
    return await package_request(s3, request(**fields), settings)


def latest_manifest(bucket: Bucket) -> list[Any]:
    """The lines of the newest revision's manifest."""
    top_hash = data(bucket, LATEST)
    return [json.loads(line) for line in data(bucket, f".quilt/packages/{top_hash}").splitlines()]


def data(bucket: Bucket, key: str) -> str:
    version = bucket.get(key)
    assert version
    return version.data.decode()


class TestDeadline:
    """A deadline cancels a job, independent of the number of objects."""

    @pytest.mark.parametrize(
        ("method", "item"),
        [
            pytest.param("paths", (b"k", 1), id="checking the keys"),
            pytest.param(
                "entries", Entry("k", "s3://b/k", 0, Checksum("SHA256", "")), id="the manifest"
            ),
        ],
    )
    async def test_cancels(
        self,
        s3: S3,
        raw: Bucket,
        packages: Bucket,
        *,
        method: str,
        item: object,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        items = ManyItems(item)
        monkeypatch.setattr(Inventory, method, lambda _: iter(items))
        monkeypatch.setattr(ManifestWriter, "add", lambda *_: None)
        await check_is_cancelled_within(items, run(s3))
        assert not packages.keys()


class TestFullDisk:
    """A full disk is reported by its code, not as a crash."""

    async def test_of_too_many_objects_is_reported(
        self, s3: S3, raw: Bucket, packages: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in range(100):
            raw.put(f"runs/42/{number}", b"x", stored=["SHA256"])
        connect = sqlite3.connect

        def connect_small(*arguments: Any, **options: Any) -> sqlite3.Connection:
            database: sqlite3.Connection = connect(*arguments, **options)
            database.execute("PRAGMA max_page_count = 3")
            return database

        monkeypatch.setattr(sqlite3, "connect", connect_small)
        with pytest.raises(DiskFull):
            await run(s3)
        assert not packages.keys()

    @pytest.mark.skipif(not FULL_DEVICE.exists(), reason="there is no /dev/full")
    async def test_of_a_long_manifest_is_reported(
        self, s3: S3, raw: Bucket, packages: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "manifest.jsonl").symlink_to(FULL_DEVICE)
        monkeypatch.setattr(packaging, "TemporaryDirectory", lambda: nullcontext(tmp_path))
        with pytest.raises(DiskFull):
            await run(s3)
        assert not packages.keys()


class TestFolder:
    @pytest.fixture(autouse=True)
    def buckets(self, raw: Bucket, packages: Bucket) -> None:
        pass

    async def test_becomes_a_package(self, s3: S3, packages: Bucket) -> None:
        outcome = await run(s3)
        assert outcome == Outcome(
            outcome=Result.CREATED,
            package_name="runs/42",
            registry="packages",
            top_hash=data(packages, LATEST),
            objects=2,
            bytes=5,
            reused=0,
            stored=2,
            computed=0,
        )

    async def test_is_described_by_its_manifest(
        self, s3: S3, raw: Bucket, packages: Bucket
    ) -> None:
        await run(s3, metadata={"run": 42}, commit_message="Nightly")
        header, first, second = latest_manifest(packages)
        assert header == {
            "version": "v0",
            "user_meta": {"run": 42},
            "message": "Nightly",
            "source": "s3://raw/runs/42/",
        }
        version = raw.get("runs/42/a.txt")
        assert version
        assert first["logical_key"] == "a.txt"
        assert first["physical_keys"] == [f"s3://raw/runs/42/a.txt?versionId={version.version_id}"]
        assert (first["size"], first["hash"]["type"]) == (5, "sha2-256-chunked")
        assert second["logical_key"] == "b/c.txt"

    async def test_becomes_a_package_of_its_own_bucket(self, s3: S3, raw: Bucket) -> None:
        await run(s3, registry="raw")
        assert len(latest_manifest(raw)) == 3

    async def test_may_be_in_buckets_from_before_2018(self, s3: S3, s3_stub: S3Stub) -> None:
        source = s3_stub.create_bucket("data_bucket")
        source.put("runs/42/a.txt", b"hello")
        registry = s3_stub.create_bucket("LabData.2016")
        s3_stub.create_bucket("Meta_data").put("entry.json", b'{"a": 1}')
        made = await run(
            s3,
            source_prefix="s3://data_bucket/runs/42/",
            registry="s3://LabData.2016",
            metadata_uri="s3://Meta_data/entry.json",
        )
        assert made.registry == "LabData.2016"
        _, entry = latest_manifest(registry)
        assert entry["physical_keys"][0].startswith("s3://data_bucket/runs/42/a.txt?versionId=")

    async def test_of_an_unversioned_bucket_has_uris_without_versions(
        self, s3: S3, s3_stub: S3Stub, packages: Bucket
    ) -> None:
        s3_stub.create_bucket("plain", versioning=Versioning.OFF).put("runs/42/a", "x")
        await run(s3, source_prefix="s3://plain/runs/42/")
        assert latest_manifest(packages)[1]["physical_keys"] == ["s3://plain/runs/42/a"]

    async def test_that_is_a_whole_bucket_excludes_the_registry(self, s3: S3, raw: Bucket) -> None:
        fields: dict[str, Any] = {
            "source_prefix": "s3://raw",
            "registry": "raw",
            "package_name": "runs/42",
        }
        assert (await run(s3, **fields)).outcome is Result.CREATED
        assert (await run(s3, **fields)).outcome is Result.UNCHANGED

    async def test_is_listed_after_latest_was_read(self, s3: S3, s3_stub: S3Stub) -> None:
        await run(s3)
        first, *others = s3_stub.requests
        assert (first.operation, first.key) == ("GetObject", LATEST)
        assert "ListObjectVersions" in [other.operation for other in others]

    async def test_reports_its_progress(self, s3: S3) -> None:
        reported: list[tuple[str, int, int | None]] = []
        await package_request(s3, request(), on_progress=lambda *step: reported.append(step))
        phases = list(dict.fromkeys(phase for phase, _, _ in reported))
        assert phases == ["listing", "checksums", "publishing"]
        assert reported[:2] == [("listing", 0, None), ("listing", 2, None)]
        assert [done for phase, done, _ in reported if phase == "checksums"] == [0, 1, 2]
        assert ("checksums", 2, 2) in reported


class TestUnchanged:
    async def test_folder_writes_nothing(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket, packages: Bucket
    ) -> None:
        first = await run(s3)
        s3_stub.forget_requests()
        again = await run(s3)
        assert (again.outcome, again.top_hash) == (Result.UNCHANGED, first.top_hash)
        assert not s3_stub.counts.keys() - {"GetObject", "ListObjectVersions", "ListObjectsV2"}
        assert s3_stub.counts["ListObjectVersions"] == s3_stub.counts["ListObjectsV2"] == 1

    async def test_folder_with_another_message_is_another_revision(
        self, s3: S3, raw: Bucket, packages: Bucket
    ) -> None:
        await run(s3)
        assert (await run(s3, commit_message="Again")).outcome is Result.CREATED


class TestRefresh:
    """The same bytes are written again, as a pipeline does that resumes."""

    async def test_names_the_versions_that_exist(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket, packages: Bucket
    ) -> None:
        first = await run(s3)
        raw.put("runs/42/a.txt", b"hello", stored=["SHA256"])
        s3_stub.forget_requests()

        outcome = await run(s3)
        assert (outcome.outcome, outcome.top_hash) == (Result.UNCHANGED, first.top_hash)
        assert outcome.manifest_refreshed
        newest = raw.get("runs/42/a.txt")
        assert newest
        assert latest_manifest(packages)[1]["physical_keys"] == [
            f"s3://raw/runs/42/a.txt?versionId={newest.version_id}"
        ]
        assert [r.key for r in s3_stub.requests_of("PutObject")] == [
            f".quilt/packages/{first.top_hash}"
        ]

    async def test_lets_the_next_job_reuse_all_checksums(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket, packages: Bucket
    ) -> None:
        await run(s3)
        raw.put("runs/42/a.txt", b"hello", stored=["SHA256"])
        await run(s3)
        s3_stub.forget_requests()
        outcome = await run(s3)
        assert (outcome.reused, outcome.manifest_refreshed) == (2, None)
        assert not s3_stub.counts["HeadObject"]


class TestSource:
    """Two folders of equal bytes have packages of their own."""

    @pytest.fixture
    def copied(self, raw: Bucket) -> Bucket:
        raw.put("runs/tmp/a.txt", b"hello", stored=["SHA256"])
        raw.put("runs/tmp/b/c.txt", b"", stored=["SHA256"])
        return raw

    @pytest.mark.usefixtures("copied", "packages")
    async def test_is_part_of_the_top_hash_if_the_message_does_not_name_it(self, s3: S3) -> None:
        kept = await run(s3, commit_message="Nightly")
        scratch = await run(
            s3,
            commit_message="Nightly",
            source_prefix="s3://raw/runs/tmp/",
            package_name="team/scratch",
        )
        assert kept.top_hash != scratch.top_hash

    @pytest.mark.usefixtures("copied")
    async def test_is_in_the_header(self, s3: S3, packages: Bucket) -> None:
        await run(s3, commit_message="Nightly")
        assert latest_manifest(packages)[0]["source"] == "s3://raw/runs/42/"

    @pytest.mark.usefixtures("copied", "packages")
    async def test_cannot_be_imitated_by_a_message(self, s3: S3) -> None:
        kept = await run(s3)
        imitated = await run(
            s3,
            commit_message="Packaged from s3://raw/runs/42/",
            source_prefix="s3://raw/runs/tmp/",
            package_name="team/scratch",
        )
        assert kept.top_hash != imitated.top_hash

    @pytest.mark.usefixtures("raw")
    async def test_is_named_by_the_default_message_alone(self, s3: S3, packages: Bucket) -> None:
        await run(s3)
        assert latest_manifest(packages)[0].keys() == {"version", "user_meta", "message"}


class TestConfirmation:
    """The folder is listed again after a job has published."""

    async def test_packages_what_came_meanwhile(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket, packages: Bucket
    ) -> None:
        pause = s3_stub.on("PutObject", key=LATEST, nth=2).pause_before()
        running = asyncio.create_task(run(s3))
        held = await pause.reached()
        raw.put("runs/42/new.txt", "x")
        held.release()
        outcome = await running
        assert (outcome.outcome, outcome.objects) == (Result.CREATED, 3)
        assert data(packages, LATEST) == outcome.top_hash

    @pytest.mark.usefixtures("packages")
    async def test_ignores_excluded_files(self, s3: S3, s3_stub: S3Stub, raw: Bucket) -> None:
        pause = s3_stub.on("PutObject", key=LATEST, nth=2).pause_before()
        running = asyncio.create_task(run(s3, exclude=["*.log"]))
        held = await pause.reached()
        raw.put("runs/42/new.log", "x")
        held.release()
        await running
        assert s3_stub.counts["ListObjectVersions"] == 2

    async def test_keeps_the_outcome_if_only_versions_changed_meanwhile(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket, packages: Bucket
    ) -> None:
        before = await run(s3)
        raw.put("runs/42/new.txt", "x")
        pause = s3_stub.on("PutObject", key=LATEST, nth=2).pause_before()
        running = asyncio.create_task(run(s3))
        held = await pause.reached()
        raw.put("runs/42/new.txt", "x")
        held.release()
        outcome = await running
        assert (outcome.outcome, outcome.previous_top_hash) == (Result.CREATED, before.top_hash)

    @pytest.mark.usefixtures("packages")
    async def test_of_a_folder_that_was_deleted_keeps_its_last_revision(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        pause = s3_stub.on("PutObject", key=LATEST, nth=2).pause_after()
        running = asyncio.create_task(run(s3))
        held = await pause.reached()
        for key in raw.keys("runs/42/"):
            raw.delete(key)
        held.release()
        assert (await running).outcome is Result.CREATED

    async def test_of_a_folder_that_never_rests_fails_the_job(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket, packages: Bucket
    ) -> None:
        changes = iter(range(1000))
        put = S3.put_object

        async def put_and_change(self: S3, *args: Any, **options: Any) -> str:
            raw.put("runs/42/log.txt", f"{next(changes)}")
            return await put(self, *args, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(S3, "put_object", put_and_change)
            with pytest.raises(WriteConflict, match=str(MAX_PASSES)):
                await run(s3)


class TestOverlap:
    def delivery(self, name: str, *, sent_seconds: float, number: int = 1) -> Delivery:
        return Delivery(
            body="", message_id=name, number=number, sent_seconds=sent_seconds, started_seconds=0
        )

    async def run(self, s3: S3, delivery: Delivery, **fields: Any) -> Outcome:
        return await package_request(s3, request(**fields), delivery=delivery)

    @pytest.mark.usefixtures("raw")
    async def test_of_equal_messages_creates_one_revision(self, s3: S3, packages: Bucket) -> None:
        now = time.time()
        jobs = [self.run(s3, self.delivery(str(n), sent_seconds=now + n / 1000)) for n in range(8)]
        outcomes = await asyncio.gather(*jobs)
        assert sorted(outcome.outcome for outcome in outcomes) == ["created", *["unchanged"] * 7]
        assert len({outcome.top_hash for outcome in outcomes}) == 1

    @pytest.mark.usefixtures("packages")
    async def test_leaves_the_revision_of_the_newer_message(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        now = time.time()
        newer = await self.run(
            s3, self.delivery("newer", sent_seconds=now), metadata={"run": "newer"}
        )
        s3_stub.forget_requests()
        older = await self.run(
            s3, self.delivery("older", sent_seconds=now - 1), metadata={"run": "older"}
        )
        assert (older.outcome, older.top_hash) == (Result.UNCHANGED, newer.top_hash)
        assert older.remark == "A newer message has published this package."
        assert not s3_stub.counts["ListObjectVersions"]
        assert s3_stub.counts["ListObjectsV2"] == 1  # it searches for no earlier delivery

    @pytest.mark.usefixtures("packages")
    async def test_reports_the_revision_that_a_newer_message_has_replaced(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        now = time.time()
        pause = s3_stub.on("ListObjectVersions", nth=2).pause_before()
        running = asyncio.create_task(self.run(s3, self.delivery("older", sent_seconds=now - 1)))
        held = await pause.reached()
        raw.put("runs/42/new.txt", "x")
        newer = await self.run(s3, self.delivery("newer", sent_seconds=now))
        held.release()
        older = await running
        assert (older.outcome, older.objects) == (Result.CREATED, 2)
        assert (newer.outcome, newer.previous_top_hash) == (Result.CREATED, older.top_hash)

    @pytest.mark.usefixtures("packages")
    async def test_of_a_message_that_settles_later_packages_what_came_meanwhile(
        self, s3: S3, raw: Bucket
    ) -> None:
        now = time.time()
        await self.run(s3, self.delivery("by hand", sent_seconds=now))
        raw.put("runs/42/late.txt", b"late")
        settling = msgspec.structs.replace(request(), settle_seconds=60)
        outcome = await package_request(
            s3, settling, delivery=self.delivery("event", sent_seconds=now - 30)
        )
        assert (outcome.outcome, outcome.objects) == (Result.CREATED, 3)

    @pytest.mark.usefixtures("raw", "packages")
    async def test_reports_the_revision_that_an_earlier_delivery_published(
        self, s3: S3, s3_stub: S3Stub
    ) -> None:
        now = time.time()
        first = await self.run(s3, self.delivery("a", sent_seconds=now - 1))
        s3_stub.forget_requests()
        again = await self.run(s3, self.delivery("a", sent_seconds=now - 1, number=2))
        assert (again.outcome, again.top_hash) == (Result.CREATED, first.top_hash)
        assert again.previous_top_hash is None
        assert s3_stub.counts["ListObjectVersions"] == 1  # it wrote nothing to confirm

    @pytest.mark.usefixtures("packages")
    async def test_reports_the_revision_of_an_earlier_delivery_whose_bytes_were_written_again(
        self, s3: S3, raw: Bucket
    ) -> None:
        now = time.time()
        first = await self.run(s3, self.delivery("a", sent_seconds=now - 1))
        raw.put("runs/42/a.txt", b"hello", stored=["SHA256"])
        again = await self.run(s3, self.delivery("a", sent_seconds=now - 1, number=2))
        assert (again.outcome, again.top_hash) == (Result.CREATED, first.top_hash)
        assert again.manifest_refreshed

    @pytest.mark.usefixtures("packages")
    async def test_reports_the_revision_of_an_earlier_delivery_below_a_newer_one(
        self, s3: S3, raw: Bucket
    ) -> None:
        now = time.time()
        first = await self.run(s3, self.delivery("a", sent_seconds=now - 1))
        raw.put("runs/42/new.txt", "x")
        newer = await self.run(s3, self.delivery("b", sent_seconds=now))
        again = await self.run(s3, self.delivery("a", sent_seconds=now - 1, number=2))
        assert (again.outcome, again.top_hash) == (Result.CREATED, first.top_hash)
        assert again.top_hash != newer.top_hash


class TestBuckets:
    """Messages name buckets; the settings restrict them."""

    @pytest.mark.parametrize(
        ("settings", "fields", "named"),
        [
            (Settings(source_buckets=("other",)), {}, 'source: "raw"'),
            (Settings(registry_buckets=("other",)), {}, 'registry: "packages"'),
            (
                Settings(source_buckets=("raw",)),
                {"metadata_uri": "s3://secrets/m.json"},
                'source: "secrets"',
            ),
            (
                Settings(source_buckets=("x",), registry_buckets=("y",)),
                {"metadata_uri": "s3://secrets/m.json"},
                'source: "raw", "secrets"; registry: "packages"',
            ),
        ],
        ids=["source", "registry", "metadata", "all"],
    )
    async def test_that_are_not_allowed_are_named_before_any_request(
        self, s3: S3, s3_stub: S3Stub, settings: Settings, fields: dict[str, str], named: str
    ) -> None:
        with pytest.raises(BucketNotAllowed) as refused:
            await run(s3, settings, **fields)
        assert named in refused.value.happened
        assert not s3_stub.requests

    async def test_that_are_allowed_are_used(self, s3: S3, raw: Bucket, packages: Bucket) -> None:
        settings = Settings(source_buckets=("raw",), registry_buckets=("packages",))
        assert (await run(s3, settings)).outcome is Result.CREATED

    async def test_that_do_not_exist_are_named(self, s3: S3, packages: Bucket) -> None:
        with pytest.raises(NoSuchBucket, match='"raw"'):
            await run(s3)

    async def test_whose_listing_is_denied_are_named_with_the_action(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket, packages: Bucket
    ) -> None:
        s3_stub.deny("ListObjectVersions")
        with pytest.raises(AccessDenied, match=r"ListObjectVersions.*raw"):
            await run(s3)
        assert not packages.keys()


CRATE = "ro-crate-metadata.json"


class TestCrates:
    """Packages of the parts that a crate lists."""

    @pytest.fixture
    def put(self, raw: Bucket, packages: Bucket) -> Any:
        for key in ("runs/42/unlisted.txt", "runs/42/plots/a.png", "runs/42/plots/b.png"):
            raw.put(key, "x")

        def put_crate(*listed: str, profile: str = "https://w3id.org/quilt/ro-crate/0.2") -> None:
            root = {"@id": "./", "conformsTo": profile, "hasPart": list(listed)}
            file = {"@id": "a.txt", "@type": "File", "contentSize": 5, "name": "A"}
            raw.put(f"runs/42/{CRATE}", json.dumps({"@graph": [root, file]}))

        return put_crate

    async def run(self, s3: S3, **fields: Any) -> Outcome:
        return await run(s3, metadata_uri=CRATE, metadata_format="ro-crate", **fields)

    def entries(self, packages: Bucket) -> dict[str, Any]:
        return {line["logical_key"]: line["meta"] for line in latest_manifest(packages)[1:]}

    async def test_have_exactly_the_parts_and_the_crate(
        self, s3: S3, put: Any, packages: Bucket
    ) -> None:
        put("a.txt", "plots")  # the folder has the type of a file, or none
        await self.run(s3)
        assert self.entries(packages) == {
            "a.txt": {"user_meta": {"contentSize": 5}},
            "plots/a.png": {},
            "plots/b.png": {},
            CRATE: {},
        }

    async def test_are_unchanged_if_only_other_files_change(
        self, s3: S3, put: Any, raw: Bucket
    ) -> None:
        put("a.txt")
        assert (await self.run(s3)).outcome == Result.CREATED
        raw.put("runs/42/unlisted.txt", "y")
        outcome = await self.run(s3)
        assert (outcome.outcome, outcome.reused) == (Result.UNCHANGED, 2)

    @pytest.mark.parametrize(
        ("profile", "fields"),
        [
            ("https://w3id.org/ro/wfrun/process/0.6", {}),
            ("https://w3id.org/quilt/ro-crate/0.2", {"contents": "folder"}),
        ],
    )
    async def test_have_the_whole_folder_otherwise(
        self, s3: S3, put: Any, packages: Bucket, profile: str, fields: dict[str, str]
    ) -> None:
        put("a.txt", "missing.txt", profile=profile)
        await self.run(s3, **fields)
        assert self.entries(packages).keys() > {"a.txt", "unlisted.txt"}
        assert not any(self.entries(packages).values())

    async def test_that_lack_parts_are_rejected(self, s3: S3, put: Any, packages: Bucket) -> None:
        put("a.txt", "missing.txt", "work/")
        with pytest.raises(InvalidCrate, match=r'lacks parts of its crate: "missing\.txt", "work"'):
            await self.run(s3)
        assert not packages.keys()

    async def test_may_lack_parts_and_name_them(self, s3: S3, put: Any, packages: Bucket) -> None:
        put("a.txt", "missing.txt", "s3://other/plate.csv")
        outcome = await self.run(s3, missing_parts="leave_out")
        assert outcome.remark == (
            "Left out parts of the crate that are missing or cannot be packaged: "
            '"missing.txt", "s3://other/plate.csv".'
        )
        metadata = latest_manifest(packages)[0]["user_meta"]
        assert metadata["missing_parts"] == ["missing.txt", "s3://other/plate.csv"]
        assert self.entries(packages).keys() == {"a.txt", CRATE}

    @pytest.fixture
    def other(self, s3_stub: S3Stub) -> Bucket:
        bucket = s3_stub.create_bucket("other", versioning=Versioning.OFF, region="eu-west-1")
        for key in ("work/s1/R1.fq", "work/s2/R1.fq", "work/plots/a.png", "data/x", "data/y/z"):
            bucket.put(key, key)
        return bucket

    async def test_have_parts_of_other_buckets(
        self, s3: S3, put: Any, packages: Bucket, other: Bucket
    ) -> None:
        work = "s3://other/work"
        put("a.txt", f"{work}/s1/R1.fq", f"{work}/s2/R1.fq", f"{work}/plots", "s3://other/data/")
        await self.run(s3)
        physical_keys = {
            line["logical_key"]: line["physical_keys"] for line in latest_manifest(packages)[1:]
        }
        assert set(physical_keys) == {
            *(CRATE, "a.txt", "s1/R1.fq", "s2/R1.fq"),
            *("plots/a.png", "data/x", "data/y/z"),  # plots has no type of a folder
        }
        assert physical_keys["s2/R1.fq"] == ["s3://other/work/s2/R1.fq"]

    async def test_are_unchanged_without_a_read_of_their_parts(
        self, s3: S3, s3_stub: S3Stub, put: Any, other: Bucket
    ) -> None:
        other.versioning = Versioning.ENABLED
        other.put("data/x", "x")
        put("a.txt", "s3://other/data/x")
        await self.run(s3)
        s3_stub.forget_requests()
        outcome = await self.run(s3)
        assert (outcome.outcome, outcome.reused) == (Result.UNCHANGED, 3)
        assert s3_stub.counts["HeadObject"] == 1
        assert s3_stub.counts["ListObjectVersions"] == 1

    async def test_have_the_version_that_the_crate_names(
        self, s3: S3, put: Any, packages: Bucket, other: Bucket
    ) -> None:
        other.versioning = Versioning.ENABLED
        version = other.put("data/x", "old").version_id
        other.put("data/x", "new")
        put(f"s3://other/data/x?versionId={version}")
        await self.run(s3)
        (line,) = [each for each in latest_manifest(packages)[1:] if each["logical_key"] == "x"]
        assert line["physical_keys"] == [f"s3://other/data/x?versionId={version}"]
        assert line["size"] == 3

    @pytest.mark.parametrize(
        "part",
        [
            *("s3://other/gone", "s3://other/gone/", "s3://nowhere/x", "s3://nowhere/y/"),
            "s3://other/data/x?versionId=v0",
        ],
    )
    async def test_that_lack_parts_of_other_buckets_are_rejected_or_leave_them_out(
        self, s3: S3, put: Any, packages: Bucket, other: Bucket, part: str
    ) -> None:
        other.versioning = Versioning.ENABLED
        put("a.txt", part)
        with pytest.raises(InvalidCrate) as caught:
            await self.run(s3)
        assert caught.value.happened == f's3://raw/runs/42/ lacks parts of its crate: "{part}".'
        await self.run(s3, missing_parts="leave_out")
        assert latest_manifest(packages)[0]["user_meta"]["missing_parts"] == [part]

    async def test_with_a_part_that_is_denied_are_rejected(
        self, s3: S3, s3_stub: S3Stub, put: Any, other: Bucket
    ) -> None:
        put("a.txt", "s3://other/data/x")
        s3_stub.deny("*", bucket="other")
        with pytest.raises(AccessDenied, match="s3://other/data/x"):
            await self.run(s3, missing_parts="leave_out")

    async def test_with_a_part_that_needs_a_key_are_rejected(
        self, s3: S3, s3_stub: S3Stub, put: Any, other: Bucket
    ) -> None:
        put("a.txt", "s3://other/data/x")
        s3_stub.on("*", bucket="other", times=None).answer(400, "InvalidRequest")
        with pytest.raises(UnreadableObjects, match="s3://other/data/x"):
            await self.run(s3)

    async def test_start_over_if_a_part_elsewhere_changes(
        self, s3: S3, s3_stub: S3Stub, put: Any, packages: Bucket, other: Bucket
    ) -> None:
        put("s3://other/data/x")
        pause = s3_stub.on("PutObject", key=LATEST).pause_before()
        job = asyncio.create_task(self.run(s3))
        held = await pause.reached()
        other.put("data/x", "changed")
        held.release()
        await job
        sizes = {line["logical_key"]: line["size"] for line in latest_manifest(packages)[1:]}
        assert sizes["x"] == len("changed")

    async def test_with_two_files_of_one_name_are_rejected(
        self, s3: S3, put: Any, raw: Bucket, other: Bucket
    ) -> None:
        raw.put("runs/42/s1/R1.fq", "x")
        put("s1", "s3://other/work/s1/R1.fq", "s3://other/work/s2/R1.fq")
        with pytest.raises(InvalidKeys) as caught:
            await self.run(s3)
        assert caught.value.happened == (
            '1 logical key has two objects: "s1/R1.fq" (s3://other/work/s1/R1.fq and '
            "s3://raw/runs/42/s1/R1.fq)."
        )

    async def test_have_at_least_one_part(self, s3: S3, put: Any) -> None:
        put("missing.txt")
        with pytest.raises(InvalidCrate, match="none of the parts"):
            await self.run(s3, missing_parts="leave_out")

    async def test_wait_for_another_attempt_if_the_crate_is_replaced(
        self, s3: S3, put: Any, raw: Bucket
    ) -> None:
        put("a.txt")
        fields = {"metadata_uri": CRATE, "metadata_format": "ro-crate"}
        settings = Settings()
        resolved = await resolve(request(**fields), settings=settings, s3=s3)
        raw.put(f"runs/42/{CRATE}", "{}")
        with pytest.raises(SourceChanged, match="was replaced or deleted after it was read"):
            await packaging.package(resolved, settings=settings, s3=s3)


@pytest.mark.usefixtures("packages")
class TestMetadataUri:
    async def test_leads_to_the_metadata(self, s3: S3, raw: Bucket, packages: Bucket) -> None:
        raw.put("entry.json", '{"run": 42}')
        await run(s3, metadata_uri="../../entry.json")
        assert latest_manifest(packages)[0]["user_meta"] == {"run": 42}

    async def test_leads_to_the_version_it_names(
        self, s3: S3, raw: Bucket, packages: Bucket
    ) -> None:
        version = raw.put("entry.json", '{"run": 1}')
        raw.put("entry.json", '{"run": 2}')
        await run(s3, metadata_uri=f"/entry.json?versionId={version.version_id}")
        assert latest_manifest(packages)[0]["user_meta"] == {"run": 1}

    async def test_leads_to_another_bucket(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket, packages: Bucket
    ) -> None:
        s3_stub.create_bucket("notes").put("entry.json", '{"run": 42}')
        await run(s3, metadata_uri="s3://notes/entry.json")
        assert latest_manifest(packages)[0]["user_meta"] == {"run": 42}

    async def test_of_a_missing_object_is_rejected(self, s3: S3, raw: Bucket) -> None:
        with pytest.raises(InvalidMetadata, match=r'no object "s3://raw/runs/42/entry\.json"'):
            await run(s3, metadata_uri="entry.json")

    async def test_of_a_missing_bucket_is_rejected(self, s3: S3, raw: Bucket) -> None:
        with pytest.raises(NoSuchBucket, match='"nowhere"'):
            await run(s3, metadata_uri="s3://nowhere/entry.json")

    @pytest.mark.parametrize(
        "text", ["", "[]", '"text"', "{", "NaN", '{"a": 1e999}', "[" * 100_000, "\ufeff"]
    )
    async def test_of_other_content_than_a_json_object_is_rejected(
        self, s3: S3, raw: Bucket, text: str
    ) -> None:
        raw.put("runs/42/entry.json", text)
        with pytest.raises(InvalidMetadata, match=r"s3://raw/runs/42/entry\.json"):
            await run(s3, metadata_uri="entry.json")

    async def test_of_a_large_object_is_rejected_after_its_first_bytes(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        raw.put("entry.json", '{"a": 1}' + " " * 3 * MAX_METADATA_BYTES)
        with pytest.raises(InvalidMetadata, match="1,000,000 bytes"):
            await run(s3, metadata_uri="/entry.json")
        (read,) = [r for r in s3_stub.requests_of("GetObject") if r.key == "entry.json"]
        assert read.headers["range"] == f"bytes=0-{MAX_METADATA_BYTES}"

    async def test_of_a_denied_object_is_rejected(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        raw.put("entry.json", "{}")
        s3_stub.deny("GetObject", key="entry.json")
        with pytest.raises(AccessDenied, match=r"GetObject.*entry\.json"):
            await run(s3, metadata_uri="/entry.json")

    async def test_of_an_archived_object_is_rejected(self, s3: S3, raw: Bucket) -> None:
        raw.put("entry.json", "{}", storage_class="GLACIER")
        with pytest.raises(InvalidMetadata, match="InvalidObjectState"):
            await run(s3, metadata_uri="/entry.json")

    async def test_of_an_invalid_version_is_rejected(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        raw.put("entry.json", "{}")
        s3_stub.on("GetObject", key="entry.json").answer(400, "InvalidArgument")
        with pytest.raises(InvalidMetadata, match="InvalidArgument"):
            await run(s3, metadata_uri="/entry.json?versionId=x")

    async def test_is_read_again_when_s3_is_down(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        raw.put("entry.json", "{}")
        s3_stub.on("GetObject", key="entry.json", times=2).answer(503, "SlowDown")
        assert (await run(s3, metadata_uri="/entry.json")).outcome is Result.CREATED


@pytest.mark.usefixtures("raw", "packages")
class TestRejectedBeforeHashing:
    """Jobs that are rejected early: nothing is hashed or written."""

    @pytest.fixture(autouse=True)
    def nothing_done(self, s3_stub: S3Stub, packages: Bucket) -> Any:
        yield
        assert not s3_stub.requests_of("HeadObject")
        assert not s3_stub.requests_of("PutObject")

    async def test_is_an_empty_folder(self, s3: S3) -> None:
        with pytest.raises(EmptySource, match="s3://raw/runs/none/"):
            await run(s3, source_prefix="s3://raw/runs/none/")

    @pytest.mark.parametrize(
        ("count", "reported"), [(1, "the only object"), (1500, "all 1,500 objects")]
    )
    async def test_is_a_folder_whose_objects_are_all_excluded(
        self, s3: S3, raw: Bucket, count: int, reported: str
    ) -> None:
        raw.put("runs/none/", b"")
        for n in range(count):
            raw.put(f"runs/none/{n}.tmp", b"x")
        with pytest.raises(EmptySource) as failure:
            await run(s3, source_prefix="s3://raw/runs/none/", exclude=["*.tmp"])
        assert (
            failure.value.happened == f"The exclude globs match {reported} of s3://raw/runs/none/."
        )
        assert "exclude" in failure.value.remedy

    async def test_are_keys_that_are_invalid_in_a_package(self, s3: S3, raw: Bucket) -> None:
        raw.put("runs/42/a.txt/b", "x")
        with pytest.raises(InvalidKeys, match=r"a\.txt"):
            await run(s3)

    async def test_is_a_violation_of_the_workflow(self, s3: S3, packages: Bucket) -> None:
        packages.put(".quilt/workflows/config.yml", WORKFLOWS)
        with pytest.raises(WorkflowViolations):
            await run(s3)

    async def test_is_a_header_that_is_too_long(self, s3: S3) -> None:
        metadata = {"text": "x" * (MAX_METADATA_BYTES - len('{"text": ""}'))}
        with pytest.raises(ManifestLineTooLong, match="metadata"):
            await run(s3, metadata=metadata)


@pytest.mark.usefixtures("raw", "packages")
class TestObjects:
    async def test_that_are_archived_without_a_checksum_are_named(
        self, s3: S3, raw: Bucket, packages: Bucket
    ) -> None:
        raw.put("runs/42/old", "x", storage_class="GLACIER")
        with pytest.raises(ArchivedObjects, match="old"):
            await run(s3)
        assert not packages.keys()

    async def test_that_change_after_the_listing_fail_the_job(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket, packages: Bucket
    ) -> None:
        pause = s3_stub.on("HeadObject").pause_before()
        running = asyncio.create_task(run(s3))
        held = await pause.reached()
        raw.delete("runs/42/a.txt", held.request.query["versionId"])
        held.release()
        with pytest.raises(SourceChanged, match=r"a\.txt"):
            await running
        assert not packages.keys()


@pytest.mark.usefixtures("raw", "packages")
class TestLostRace:
    async def test_starts_over_from_the_listing(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket, packages: Bucket
    ) -> None:
        pause = s3_stub.on("PutObject", key=LATEST, nth=2).pause_before()
        running = asyncio.create_task(run(s3))
        held = await pause.reached()
        packages.put(LATEST, "f" * 64)
        raw.put("runs/42/new.txt", "x")
        held.release()
        outcome = await running
        assert (outcome.outcome, outcome.objects) == (Result.CREATED, 3)
        assert data(packages, LATEST) == outcome.top_hash
        assert s3_stub.counts["ListObjectVersions"] == 3  # two passes, and the confirmation

    async def test_keeps_the_metadata_that_was_read_before_the_job(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket, packages: Bucket
    ) -> None:
        raw.put("entry.json", '{"version": 1}')
        pause = s3_stub.on("PutObject", key=LATEST).pause_before()
        running = asyncio.create_task(run(s3, metadata_uri="/entry.json"))
        held = await pause.reached()
        packages.put(LATEST, "f" * 64)
        raw.put("entry.json", '{"version": 2}')
        held.release()
        await running
        assert latest_manifest(packages)[0]["user_meta"] == {"version": 1}
        assert s3_stub.counts["ListObjectVersions"] == 3  # two passes, and the confirmation

    async def test_to_the_same_revision_leaves_one_pointer(
        self, s3: S3, s3_stub: S3Stub, packages: Bucket
    ) -> None:
        # In different seconds, both would announce it.
        now = time.time()
        s3_stub.store.clock = lambda: now
        pause = s3_stub.on("PutObject", key=LATEST).pause_before()
        running = asyncio.create_task(run(s3))
        held = await pause.reached()
        other = await run(s3)
        held.release()
        assert (await running).top_hash == other.top_hash
        pointers = packages.keys(".quilt/named_packages/runs/42/1")
        assert len(pointers) == 1

    async def test_that_is_lost_in_every_pass_fails_the_job(self, s3: S3, s3_stub: S3Stub) -> None:
        rule = s3_stub.on("PutObject", key=LATEST, times=None)
        rule.answer(409, "ConditionalRequestConflict")
        with pytest.raises(WriteConflict, match=str(MAX_PASSES)):
            await run(s3)
        assert rule.hits == MAX_PASSES + 1  # the first pass alone writes a pointer


@pytest.mark.usefixtures("raw", "packages")
@pytest.mark.parametrize("nth", range(1, 12))
async def test_a_job_that_fails_at_any_request_succeeds_the_next_time(
    s3: S3, s3_stub: S3Stub, packages: Bucket, nth: int
) -> None:
    s3_stub.on(nth=nth, times=None).drop_connection()
    with pytest.raises(PackagerError):
        await run(s3)
    s3_stub.faults.clear()
    outcome = await run(s3)
    assert data(packages, LATEST) == outcome.top_hash
    assert len(packages.keys(".quilt/named_packages/runs/42/1")) == 1


class TestQuarantine:
    SETTINGS = Settings(quarantine_registry="refused")

    @pytest.fixture(autouse=True)
    def refused(self, raw: Bucket, packages: Bucket, s3_stub: S3Stub) -> Bucket:
        packages.put(".quilt/workflows/config.yml", WORKFLOWS)
        return s3_stub.create_bucket("refused")

    async def test_holds_the_package_that_is_rejected(
        self, s3: S3, packages: Bucket, refused: Bucket
    ) -> None:
        with pytest.raises(WorkflowViolations, match="in quarantine: ") as raised:
            await run(s3, self.SETTINGS, metadata={"assay": "ELISA"})
        top_hash = data(refused, LATEST)
        assert raised.value.quarantine == f"quilt+s3://refused#package=runs/42@{top_hash}"
        header, *entries = latest_manifest(refused)
        assert header["user_meta"] == {
            "assay": "ELISA",
            "quarantine_registry": "packages",
            "quarantine_violations": raised.value.happened,
        }
        assert "workflow" not in header
        assert [entry["logical_key"] for entry in entries] == ["a.txt", "b/c.txt"]
        assert not packages.keys(".quilt/packages/")

    async def test_of_an_unchanged_package_writes_nothing(self, s3: S3, refused: Bucket) -> None:
        for _ in range(2):
            with pytest.raises(WorkflowViolations):
                await run(s3, self.SETTINGS)
        assert len(refused.keys(".quilt/packages/")) == 1

    async def test_that_is_missing_is_reported_with_the_violations(self, s3: S3) -> None:
        settings = Settings(quarantine_registry="nowhere")
        with pytest.raises(WorkflowViolations, match="could not be quarantined") as raised:
            await run(s3, settings)
        assert raised.value.quarantine is None

    async def test_stays_empty_without_violations(self, s3: S3, refused: Bucket) -> None:
        outcome = await run(s3, self.SETTINGS, package_name="strict/42")
        assert outcome.outcome is Result.CREATED
        assert not refused.keys()

    async def test_is_not_used_unless_configured(self, s3: S3, refused: Bucket) -> None:
        with pytest.raises(WorkflowViolations):
            await run(s3)
        assert not refused.keys()
