"""The writer of the newest revision decides whether a job may replace it."""

import asyncio
import hashlib
import json
import time
from typing import Any, ClassVar

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import HeldForReview, InvalidMessage, PackageNameTaken
from quilt_packager_runtime.formats.manifest import WRITTEN_BY_US
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.formats.outcome import Outcome, Result
from quilt_packager_runtime.registry.ownership import folder_of
from quilt_packager_runtime.registry.publish import MANIFEST_SHA256
from quilt_packager_runtime.requests.delivery import Delivery
from quilt_packager_runtime.requests.messages import with_fields
from quilt_packager_runtime.settings import Settings
from quilt_packager_runtime.settings.source_options import SourceOptions

from tests.package_requests import package_request, request_of
from tests.s3_stub import Bucket, S3Stub

NOW = 1_700_000_000
LATEST = ".quilt/named_packages/a_b/c/latest"


@pytest.fixture
def raw(s3_stub: S3Stub) -> Bucket:
    bucket = s3_stub.create_bucket("raw")
    for folder in ("a/b/c/", "a_b/c/", "実験/run1/", "解析/run1/"):
        bucket.put(f"{folder}x.txt", folder)
    return bucket


@pytest.fixture(autouse=True)
def packages(s3_stub: S3Stub, raw: Bucket) -> Bucket:
    return s3_stub.create_bucket("packages")


async def run(s3: S3, folder: str, **fields: Any) -> Outcome:
    message = {"source_prefix": f"s3://raw/{folder}", "registry": "packages", **fields}
    return await package_request(s3, request_of(message))


def latest_of(packages: Bucket, name: str) -> str:
    version = packages.get(f".quilt/named_packages/{name}/latest")
    assert version
    return version.data.decode()


class TestInferredName:
    @pytest.mark.parametrize(
        ("first", "second", "name"),
        [("a/b/c/", "a_b/c/", "a_b/c"), ("実験/run1/", "解析/run1/", "--/run1")],
    )
    @pytest.mark.parametrize("fields", [{}, {"commit_message": "Nightly"}], ids=["default", "own"])
    async def test_of_another_folders_package_is_rejected(
        self,
        s3: S3,
        packages: Bucket,
        *,
        first: str,
        second: str,
        name: str,
        fields: dict[str, str],
    ) -> None:
        created = await run(s3, first, **fields)
        with pytest.raises(PackageNameTaken) as caught:
            await run(s3, second, **fields)
        assert str(SourceFolder("raw", first)) in caught.value.happened
        assert str(SourceFolder("raw", second)) in caught.value.why
        assert "package_name" in caught.value.remedy
        assert latest_of(packages, name) == created.top_hash

    async def test_is_rejected_before_the_folder_is_listed(self, s3: S3, s3_stub: S3Stub) -> None:
        await run(s3, "a/b/c/")
        s3_stub.forget_requests()
        with pytest.raises(PackageNameTaken):
            await run(s3, "a_b/c/")
        assert s3_stub.counts == {"GetObject": 3, "ListObjectsV2": 1}

    async def test_is_rejected_even_if_the_other_message_is_newer(self, s3: S3) -> None:
        def deliver(name: str, sent_seconds: float) -> Delivery:
            return Delivery(
                body="", message_id=name, sent_seconds=sent_seconds, started_seconds=sent_seconds
            )

        newer, older = (
            request_of({"source_prefix": f"s3://raw/{folder}", "registry": "packages"})
            for folder in ("a/b/c/", "a_b/c/")
        )
        await package_request(s3, newer, delivery=deliver("newer", NOW))
        with pytest.raises(PackageNameTaken):
            await package_request(s3, older, delivery=deliver("older", NOW - 60))

    async def test_of_the_same_folder_is_published_again(self, s3: S3, raw: Bucket) -> None:
        await run(s3, "a/b/c/")
        raw.put("a/b/c/new.txt", "new")
        assert (await run(s3, "a/b/c/")).outcome is Result.CREATED

    async def test_is_rejected_if_a_template_has_no_value(self, s3: S3, raw: Bucket) -> None:
        settings = Settings(
            default_registry="packages",
            sources=(
                SourceOptions(kind="workflow_run_crate", package_name="{workflow_name}/{run_id}"),
            ),
        )

        async def package_crate(folder: str) -> Outcome:
            key = f"{folder}ro-crate-metadata.json"
            raw.put(key, '{"@graph": []}')
            event = {
                "source": "aws.s3",
                "detail-type": "Object Created",
                "detail": {"bucket": {"name": "raw"}, "object": {"key": key}},
            }
            return await package_request(s3, request_of(json.dumps(event), settings), settings)

        assert (await package_crate("a/b/c/")).package_name == "a_b/c"
        with pytest.raises(PackageNameTaken):
            await package_crate("a_b/c/")


class TestNameOfTheSender:
    async def test_replaces_the_package_of_another_folder(self, s3: S3, packages: Bucket) -> None:
        await run(s3, "a/b/c/")
        outcome = await run(s3, "a_b/c/", package_name="a_b/c")
        assert outcome.outcome is Result.CREATED
        assert latest_of(packages, "a_b/c") == outcome.top_hash

    async def test_of_a_template_replaces_the_package_of_another_folder(self, s3: S3) -> None:
        options = SourceOptions(kind="objects_ready", package_name="data/{folder}")
        settings = Settings(default_registry="packages", sources=(options,))
        for folder in ("a/b/c/", "a_b/c/"):
            event = {
                "source": "com.quiltdata.edp",
                "detail-type": "package-objects-ready",
                "detail": {"bucket": "raw", "prefix": folder},
            }
            outcome = await package_request(s3, request_of(json.dumps(event), settings), settings)
            assert (outcome.outcome, outcome.package_name) == (Result.CREATED, "data/c")


def publish_by_hand(packages: Bucket, name: str = "a_b/c") -> str:
    """Publish the newest revision with other metadata, without the marks of this engine."""
    header, *entries = manifest_of(packages, name).splitlines(keepends=True)
    changed = {**json.loads(header), "user_meta": {"reviewed": True}}
    data = "".join([json.dumps(changed), "\n", *entries])
    top_hash = hashlib.sha256(data.encode()).hexdigest()
    packages.put(f".quilt/packages/{top_hash}", data)
    for pointer in ("latest", str(int(time.time()))):
        packages.put(f".quilt/named_packages/{name}/{pointer}", top_hash)
    return top_hash


def manifest_of(packages: Bucket, name: str) -> str:
    version = packages.get(f".quilt/packages/{latest_of(packages, name)}")
    assert version
    return version.data.decode()


def newest_pointer(packages: Bucket, name: str = "a_b/c") -> str:
    version = packages.get(max(packages.keys(f".quilt/named_packages/{name}/1")))
    assert version
    return version.data.decode()


async def deliver(s3: S3, message_id: str, number: int = 1, **fields: Any) -> Outcome:
    message = {"source_prefix": "s3://raw/a/b/c/", "registry": "packages", **fields}
    delivery = Delivery(
        body="",
        message_id=message_id,
        number=number,
        sent_seconds=NOW,
        started_seconds=0,
    )
    return await package_request(s3, request_of(message), delivery=delivery)


class TestRevisionOfAnotherWriter:
    async def test_is_replaced_and_named_by_default(self, s3: S3, packages: Bucket) -> None:
        await run(s3, "a/b/c/")
        foreign = publish_by_hand(packages)
        outcome = await run(s3, "a/b/c/")
        assert (outcome.outcome, outcome.foreign_top_hash) == (Result.CREATED, foreign)
        assert outcome.remark is not None
        assert f"Replaced {foreign}" in outcome.remark
        assert packages.get(f".quilt/packages/{foreign}")

    async def test_is_named_once(self, s3: S3, raw: Bucket, packages: Bucket) -> None:
        await run(s3, "a/b/c/")
        publish_by_hand(packages)
        await run(s3, "a/b/c/")
        assert (await run(s3, "a/b/c/")).foreign_top_hash is None
        raw.put("a/b/c/new.txt", "new")
        assert (await run(s3, "a/b/c/")).foreign_top_hash is None

    async def test_is_named_by_the_redelivery_of_a_message_that_replaced_it(
        self, s3: S3, packages: Bucket
    ) -> None:
        await run(s3, "a/b/c/")
        foreign = publish_by_hand(packages)
        await deliver(s3, "m")  # and the function dies before it reports
        again = await deliver(s3, "m", number=2)
        assert (again.outcome, again.foreign_top_hash) == (Result.CREATED, foreign)

    async def test_is_named_if_the_folder_changes_meanwhile(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket, packages: Bucket
    ) -> None:
        await run(s3, "a/b/c/")
        foreign = publish_by_hand(packages)
        pause = s3_stub.on("PutObject", key=LATEST, nth=2).pause_before()
        running = asyncio.create_task(run(s3, "a/b/c/"))
        held = await pause.reached()
        raw.put("a/b/c/new.txt", "new")
        held.release()
        outcome = await running
        assert (outcome.objects, outcome.foreign_top_hash) == (2, foreign)

    async def test_is_not_replaced_if_it_equals_the_folder(self, s3: S3, packages: Bucket) -> None:
        created = await run(s3, "a/b/c/")
        packages.put(f".quilt/packages/{created.top_hash}", manifest_of(packages, "a_b/c"))
        packages.put(LATEST, str(created.top_hash))
        outcome = await run(s3, "a/b/c/")
        assert (outcome.outcome, outcome.foreign_top_hash) == (Result.UNCHANGED, None)

    async def test_is_replaced_by_an_inferred_name_whatever_its_folder(
        self, s3: S3, packages: Bucket
    ) -> None:
        await run(s3, "a_b/c/")
        foreign = publish_by_hand(packages)
        assert (await run(s3, "a/b/c/")).foreign_top_hash == foreign

    async def test_with_a_manifest_that_cannot_be_read_is_named(
        self, s3: S3, packages: Bucket
    ) -> None:
        packages.put(LATEST, "f" * 64)
        assert (await run(s3, "a/b/c/")).foreign_top_hash == "f" * 64


class TestHold:
    HOLD: ClassVar = {"on_foreign_revision": "hold"}

    async def test_keeps_the_revision_of_another_writer(
        self, s3: S3, s3_stub: S3Stub, packages: Bucket
    ) -> None:
        await run(s3, "a/b/c/")
        foreign = publish_by_hand(packages)
        s3_stub.forget_requests()
        with pytest.raises(HeldForReview) as caught:
            await run(s3, "a/b/c/", **self.HOLD)
        assert foreign in caught.value.happened
        assert "failures retry --on-foreign-revision replace" in caught.value.remedy
        assert latest_of(packages, "a_b/c") == foreign
        assert not s3_stub.counts["ListObjectVersions"]
        assert not s3_stub.counts["PutObject"]

    async def test_by_the_engine_can_be_overruled_by_the_message(
        self, s3: S3, packages: Bucket
    ) -> None:
        settings = Settings(on_foreign_revision="hold")
        await run(s3, "a/b/c/")
        publish_by_hand(packages)
        fields = {"source_prefix": "s3://raw/a/b/c/", "registry": "packages"}
        with pytest.raises(HeldForReview):
            await package_request(s3, request_of(fields), settings)
        fields["on_foreign_revision"] = "replace"
        assert (await package_request(s3, request_of(fields), settings)).foreign_top_hash

    async def test_keeps_a_revision_that_comes_during_the_job(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket, packages: Bucket
    ) -> None:
        await run(s3, "a/b/c/")
        raw.put("a/b/c/new.txt", "new")
        pause = s3_stub.on("PutObject", key=LATEST, nth=2).pause_before()
        running = asyncio.create_task(run(s3, "a/b/c/", **self.HOLD))
        held = await pause.reached()
        foreign = publish_by_hand(packages)
        held.release()
        with pytest.raises(HeldForReview):
            await running
        assert latest_of(packages, "a_b/c") == newest_pointer(packages) == foreign

    async def test_comes_before_a_taken_name(self, s3: S3, packages: Bucket) -> None:
        await run(s3, "a_b/c/")
        publish_by_hand(packages)
        with pytest.raises(HeldForReview):
            await run(s3, "a/b/c/", **self.HOLD)

    @pytest.mark.parametrize("is_signed", [True, False], ids=["sha256", "mark alone"])
    @pytest.mark.parametrize("has_source", [True, False], ids=["own message", "default message"])
    async def test_holds_none_of_25_packages_of_an_older_engine(
        self, s3: S3, raw: Bucket, packages: Bucket, *, is_signed: bool, has_source: bool
    ) -> None:
        folders = [f"old/{number}/" for number in range(25)]
        fields = {"commit_message": "Nightly"} if has_source else {}
        for folder in folders:
            raw.put(f"{folder}x.txt", folder)
            self.make_older(packages, await run(s3, folder, **fields), is_signed=is_signed)
        for folder in folders:
            raw.put(f"{folder}new.txt", "new")
            again = await run(s3, folder, **fields, **self.HOLD)
            assert (again.outcome, again.foreign_top_hash) == (Result.CREATED, None)

    @staticmethod
    def make_older(packages: Bucket, outcome: Outcome, *, is_signed: bool) -> None:
        """Leave out what older engines did not write: metadata of pointers, hash and source."""
        assert outcome.package_name
        header, _, entries = manifest_of(packages, outcome.package_name).partition("\n")
        fields = {name: value for name, value in json.loads(header).items() if name != "source"}
        data = f"{json.dumps(fields)}\n{entries}"
        sha256 = hashlib.sha256(data.encode()).hexdigest()
        signed = {MANIFEST_SHA256: sha256} if is_signed else {}
        packages.put(f".quilt/packages/{sha256}", data, metadata={**WRITTEN_BY_US, **signed})
        for key in packages.keys(f".quilt/named_packages/{outcome.package_name}/"):
            packages.put(key, sha256)


class TestEvent:
    """A retry adds the decision to a message of any form."""

    READY: ClassVar = {
        "source": "com.quiltdata.edp",
        "detail-type": "package-objects-ready",
        "detail": {"bucket": "raw", "prefix": "a/b/c/"},
    }
    HELD = Settings(sources=(SourceOptions(kind="objects_ready", on_foreign_revision="hold"),))

    def test_has_the_option_of_its_source(self) -> None:
        assert request_of(json.dumps(self.READY), self.HELD).on_foreign_revision == "hold"

    def test_has_the_decision_of_a_retry(self) -> None:
        envelope = json.dumps({"Type": "Notification", "Message": json.dumps(self.READY)})
        body = with_fields(envelope, {"on_foreign_revision": "replace"})
        assert request_of(body, self.HELD).on_foreign_revision == "replace"

    def test_with_another_decision_is_rejected(self) -> None:
        with pytest.raises(InvalidMessage, match="on_foreign_revision"):
            request_of(json.dumps({**self.READY, "on_foreign_revision": "forget"}))


class TestFolderOfManifest:
    """Each version of this engine has named the folder somewhere."""

    ENTRY = (
        '{"logical_key": "b/x y.txt", "physical_keys": ["s3://raw/r%231/b/x%20y.txt?versionId=v1"],'
        ' "size": 1, "hash": {"type": "sha2-256-chunked", "value": ""}, "meta": {}}'
    )

    @pytest.mark.parametrize(
        "header",
        [
            {"version": "v0", "message": "Nightly", "source": "s3://raw/r%231/"},
            {"version": "v0", "message": "Packaged from s3://raw/r%231/"},
            {"version": "v0", "message": "Nightly"},
            {"version": "v0", "message": None},
        ],
    )
    def test_is_found(self, header: dict[str, str]) -> None:
        data = f"{json.dumps(header)}\n{self.ENTRY}\n".encode()
        assert folder_of(data) == SourceFolder("raw", "r#1/")

    @pytest.mark.parametrize(
        "data", [b"", b"{}\n", b"[]\n[]\n", b'{}\n{"logical_key": "a", "physical_keys": []}\n']
    )
    def test_is_unknown_in_a_malformed_manifest(self, data: bytes) -> None:
        assert folder_of(data) is None
