"""Publishing of revisions, with crashes, races and faults at each step."""

import asyncio
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import (
    AccessDenied,
    NoSuchBucket,
    S3Error,
    ServiceUnavailable,
    UnsupportedEndpoint,
    WriteConflict,
)
from quilt_packager_runtime.formats.manifest import WRITTEN_BY_US
from quilt_packager_runtime.registry.publish import (
    MANIFEST_SHA256,
    MAX_CLOCK_SKEW_SECONDS,
    MAX_POINTER_ATTEMPTS,
    MAX_SECONDS_AHEAD,
    Message,
    Package,
    Pointer,
    Publication,
    Publisher,
    list_pointers,
    read_latest,
)
from quilt_packager_runtime.registry.publish import Revision as ReadyRevision

from tests.s3_stub import Bucket, Pause, S3Stub
from tests.s3_stub.faults import Action

PACKAGE = Package("registry", "runs/42")
NOW = 1_700_000_000
MESSAGE = Message(NOW * 1000 - 5000, "mine")
OLDER = Message(NOW * 1000 - 9000, "older")
NEWER = Message(NOW * 1000 - 1000, "newer")
LATEST = ".quilt/named_packages/runs/42/latest"
MANIFESTS = ".quilt/packages/"


def pointer(second: int) -> str:
    return f".quilt/named_packages/runs/42/{second}"


class Revision:
    """A manifest, and the hash that names it."""

    def __init__(self, text: str, *, versions: str = "") -> None:
        self.data = (text + versions).encode()
        self.sha256 = sha256(self.data).hexdigest()
        self.hash = sha256(text.encode()).hexdigest()
        self.key = MANIFESTS + self.hash

    def ready(self, manifest: Path) -> ReadyRevision:
        return ReadyRevision(self.hash, manifest, self.sha256)

    def put(self, registry: Bucket) -> None:
        registry.put(self.key, self.data, metadata={**WRITTEN_BY_US, MANIFEST_SHA256: self.sha256})


OLD, NEW = Revision("old"), Revision("new")


@pytest.fixture
def registry(s3_stub: S3Stub) -> Bucket:
    s3_stub.store.clock = lambda: NOW
    return s3_stub.create_bucket("registry")


def given(
    registry: Bucket,
    *pointers: Revision,
    latest: Revision | str | None = None,
    newest_second: int = NOW - 1,
) -> None:
    """Put the results of earlier jobs: revisions of consecutive seconds, and `latest`."""
    for second, revision in enumerate(pointers, start=newest_second - len(pointers) + 1):
        revision.put(registry)
        registry.put(pointer(second), revision.hash)
    if latest is not None:
        registry.put(LATEST, latest if isinstance(latest, str) else latest.hash)


async def run(
    s3: S3,
    revision: Revision,
    *,
    latest: Pointer | None = None,
    publisher: Publisher | None = None,
) -> Publication:
    """Publish as a job does that listed the source when `latest` had just been read."""
    latest = latest or await read_latest(s3, PACKAGE)
    publisher = publisher or Publisher(s3, PACKAGE, MESSAGE)
    if latest.top_hash is not None:
        await publisher.read_manifest(latest.top_hash, max_bytes=1)
    with NamedTemporaryFile() as manifest:
        manifest.write(revision.data)
        manifest.flush()
        return await publisher.publish(revision.ready(Path(manifest.name)), latest)


def content(registry: Bucket, key: str) -> str | None:
    version = registry.get(key)
    return version.data.decode() if version else None


def message_of(registry: Bucket, key: str) -> Message | None:
    version = registry.get(key)
    return Message.from_metadata(version.metadata) if version else None


def written(s3_stub: S3Stub) -> list[str]:
    """Return the keys of successful writes, in order."""
    return [r.key for r in s3_stub.requests_of("PutObject") if r.status == 200]


def pointers(registry: Bucket) -> list[str | None]:
    keys = registry.keys(".quilt/named_packages/runs/42/1")
    return [content(registry, key) for key in keys]


class TestRevision:
    async def test_appears_as_manifest_then_pointer_then_latest(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        assert await run(s3, NEW) is Publication.CREATED
        assert written(s3_stub) == [NEW.key, pointer(NOW), LATEST]
        assert content(registry, NEW.key) == "new"
        assert content(registry, pointer(NOW)) == NEW.hash
        assert content(registry, LATEST) == NEW.hash

    async def test_of_a_new_package_is_written_if_none_exists(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        await run(s3, NEW)
        writes = [r for r in s3_stub.requests_of("PutObject") if r.status == 200]
        assert [r.headers.get("if-none-match") for r in writes] == ["*", "*", "*"]

    async def test_moves_latest_if_it_is_unchanged(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        given(registry, OLD, latest=OLD)
        version = registry.get(LATEST)
        assert version
        await run(s3, NEW)
        assert s3_stub.requests_of("PutObject")[-1].headers["if-match"] == f'"{version.etag}"'

    async def test_takes_its_second_from_the_clock_of_s3(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        given(registry, OLD, latest=OLD, newest_second=NOW - 1000)
        await run(s3, NEW)
        assert content(registry, pointer(NOW)) == NEW.hash

    @pytest.mark.parametrize("newest_second", [NOW, NOW + 1000])
    async def test_is_above_the_newest_pointer_even_if_that_is_ahead_of_the_clock(
        self, s3: S3, registry: Bucket, newest_second: int
    ) -> None:
        given(registry, OLD, latest=OLD, newest_second=newest_second)
        await run(s3, NEW)
        assert content(registry, pointer(newest_second + 1)) == NEW.hash

    async def test_finds_the_newest_pointer_on_the_second_page(
        self, s3: S3, registry: Bucket
    ) -> None:
        given(registry, *[OLD] * 1001, latest=OLD, newest_second=NOW + 1000)
        await run(s3, NEW)
        assert content(registry, pointer(NOW + 1001)) == NEW.hash

    async def test_ignores_keys_that_are_not_pointers(self, s3: S3, registry: Bucket) -> None:
        for name in ("17000000000000/x", "x", "٣", "007", "1.5"):
            registry.put(f".quilt/named_packages/runs/42/{name}", "x")
        assert await run(s3, NEW) is Publication.CREATED
        assert content(registry, pointer(NOW)) == NEW.hash

    async def test_has_a_pointer_of_ten_digits_despite_strays(
        self, s3: S3, registry: Bucket
    ) -> None:
        strays = ("1795900000000", "9" * 19, "9e19", "9999999999", f"{NOW + MAX_SECONDS_AHEAD + 1}")
        for name in strays:
            registry.put(f".quilt/named_packages/runs/42/{name}", OLD.hash)
        assert await run(s3, NEW) is Publication.CREATED
        assert content(registry, pointer(NOW)) == NEW.hash
        assert {len(str(second)) for second in await list_pointers(s3, PACKAGE)} == {10}

    async def test_ignores_pointers_of_a_package_with_a_longer_name(
        self, s3: S3, registry: Bucket
    ) -> None:
        registry.put(".quilt/named_packages/runs/422/1800000000", NEW.hash)
        await run(s3, NEW)
        assert content(registry, pointer(NOW)) == NEW.hash


class TestUnchanged:
    async def test_writes_nothing(self, s3: S3, s3_stub: S3Stub, registry: Bucket) -> None:
        given(registry, OLD, latest=OLD)
        assert await run(s3, OLD) is Publication.UNCHANGED
        assert s3_stub.counts == {"GetObject": 3, "ListObjectsV2": 1}  # latest, manifest, newest

    async def test_is_the_result_for_a_later_message(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        await run(s3, NEW)
        s3_stub.forget_requests()
        later = Publisher(s3, PACKAGE, NEWER)
        assert await run(s3, NEW, publisher=later) is Publication.UNCHANGED
        assert not written(s3_stub)

    @pytest.mark.parametrize("code", ["AccessDenied", "InvalidObjectState"])
    async def test_revision_may_have_a_manifest_that_is_not_readable(
        self,
        s3: S3,
        s3_stub: S3Stub,
        registry: Bucket,
        caplog: pytest.LogCaptureFixture,
        *,
        code: str,
    ) -> None:
        given(registry, OLD, latest=OLD)
        s3_stub.on("GetObject", key=OLD.key, times=None).answer(403, code)
        assert await run(s3, Revision("old", versions=" newer")) is Publication.UNCHANGED
        assert not written(s3_stub)
        assert caplog.messages == ["previous manifest not readable"]

    async def test_leaves_the_pointer_of_a_newer_message_that_is_being_published(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        given(registry, OLD, latest=OLD)
        registry.put(pointer(NOW), NEW.hash, metadata=NEWER.to_metadata())
        assert await run(s3, OLD) is Publication.UNCHANGED
        assert not written(s3_stub)

    async def test_needs_the_newest_pointer_as_well_as_latest(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        # A job announced the new revision and crashed; then the source went back to the old one.
        given(registry, OLD, NEW, latest=OLD)
        assert await run(s3, OLD) is Publication.CREATED
        assert pointers(registry) == [OLD.hash, NEW.hash, OLD.hash]
        assert content(registry, LATEST) == OLD.hash


class TestAfterACrash:
    async def test_after_the_manifest_everything_is_written(self, s3: S3, registry: Bucket) -> None:
        given(registry, OLD, latest=OLD)
        registry.put(NEW.key, NEW.data)
        assert await run(s3, NEW) is Publication.CREATED
        assert pointers(registry) == [OLD.hash, NEW.hash]
        assert content(registry, LATEST) == NEW.hash

    async def test_after_the_pointer_only_latest_is_written(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        given(registry, OLD, NEW, latest=OLD)
        assert await run(s3, NEW) is Publication.CREATED
        assert written(s3_stub) == [LATEST]
        assert content(registry, LATEST) == NEW.hash

    @pytest.mark.parametrize("applied", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize("nth", range(1, 9))
    async def test_at_any_request_the_next_run_ends_like_a_clean_one(
        self,
        s3: S3,
        s3_stub: S3Stub,
        registry: Bucket,
        nth: int,
        applied: bool,
    ) -> None:
        given(registry, OLD, latest=OLD)
        pause = Pause()
        rule = s3_stub.on(nth=nth)
        rule.action = (
            Action(pause_after=pause, loses_reply=True)
            if applied
            else Action(pause_before=pause, drops_connection=True)
        )
        crashing = asyncio.create_task(run(s3, NEW))
        held = await pause.reached()
        crashing.cancel()
        await asyncio.wait([crashing])
        held.release()

        await run(s3, NEW)
        assert pointers(registry) == [OLD.hash, NEW.hash]
        assert content(registry, LATEST) == NEW.hash
        assert content(registry, NEW.key) == "new"


class TestRace:
    async def test_for_latest_is_lost_if_another_job_moved_it(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        latest = await read_latest(s3, PACKAGE)
        given(registry, OLD, latest=OLD)
        lost = await run(s3, NEW, latest=latest)
        assert lost is Publication.START_OVER
        assert content(registry, LATEST) == OLD.hash
        assert LATEST not in written(s3_stub)

    async def test_for_latest_is_lost_if_it_was_deleted(self, s3: S3, registry: Bucket) -> None:
        given(registry, OLD, latest=OLD)
        latest = await read_latest(s3, PACKAGE)
        registry.delete(LATEST)
        lost = await run(s3, NEW, latest=latest)
        assert lost is Publication.START_OVER

    async def test_for_latest_is_no_race_when_both_publish_one_revision(
        self, s3: S3, registry: Bucket
    ) -> None:
        latest = await read_latest(s3, PACKAGE)
        given(registry, NEW, latest=NEW)
        assert await run(s3, NEW, latest=latest) is Publication.START_OVER
        assert await run(s3, NEW) is Publication.UNCHANGED
        assert pointers(registry) == [NEW.hash]

    async def test_for_a_second_moves_on_to_the_next(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        pause = s3_stub.on("PutObject", key=pointer(NOW)).pause_before()
        running = asyncio.create_task(run(s3, NEW))
        held = await pause.reached()
        registry.put(pointer(NOW), OLD.hash)
        held.release()
        assert await running is Publication.CREATED
        assert pointers(registry) == [OLD.hash, NEW.hash]
        assert len(registry.versions(pointer(NOW))) == 1

    async def test_for_a_second_is_no_race_when_both_announce_one_revision(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        pause = s3_stub.on("PutObject", key=pointer(NOW)).pause_before()
        running = asyncio.create_task(run(s3, NEW))
        held = await pause.reached()
        registry.put(pointer(NOW), NEW.hash)
        held.release()
        assert await running is Publication.CREATED
        assert pointers(registry) == [NEW.hash]

    async def test_for_seconds_fails_after_some_attempts(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        s3_stub.on("PutObject", key=pointer(0)[:-1] + "1*", times=None).answer(
            412, "PreconditionFailed"
        )
        with pytest.raises(WriteConflict, match=str(MAX_POINTER_ATTEMPTS)):
            await run(s3, NEW)
        assert content(registry, LATEST) is None


class TestFault:
    async def test_of_the_manifest_is_retried(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        manifest = s3_stub.on("PutObject", key=NEW.key, times=2)
        manifest.answer(503, "SlowDown")
        assert await run(s3, NEW) is Publication.CREATED
        assert manifest.hits == 2

    async def test_of_the_manifest_that_persists_leaves_no_pointer(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        s3_stub.on("PutObject", key=NEW.key, times=None).answer(500)
        with pytest.raises(ServiceUnavailable):
            await run(s3, NEW)
        assert not registry.keys()

    async def test_of_a_lost_reply_for_the_manifest_is_overcome(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        s3_stub.on("PutObject", key=NEW.key).lose_reply()
        assert await run(s3, NEW) is Publication.CREATED

    async def test_of_a_large_manifest_inside_a_200_leaves_no_pointer(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        large = Revision("x" * 9 * 1024 * 1024)
        s3_stub.on("CompleteMultipartUpload", times=None).answer(200, "InternalError")
        with pytest.raises(S3Error):
            await run(s3, large)
        assert not registry.keys()

    @pytest.mark.parametrize("key", [pointer(NOW), LATEST])
    async def test_of_a_pointer_is_retried(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket, key: str
    ) -> None:
        given(registry, OLD, latest=OLD)
        rule = s3_stub.on("PutObject", key=key, times=2)
        rule.answer(500)
        assert await run(s3, NEW) is Publication.CREATED
        assert rule.hits == 2
        assert pointers(registry) == [OLD.hash, NEW.hash]

    @pytest.mark.parametrize("key", [pointer(NOW), LATEST])
    async def test_of_a_lost_reply_for_a_pointer_is_recognized(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket, key: str
    ) -> None:
        given(registry, OLD, latest=OLD)
        # The first write of `latest` only checks the permission.
        s3_stub.on("PutObject", key=key, nth=2 if key == LATEST else 1).lose_reply()
        assert await run(s3, NEW) is Publication.CREATED
        statuses = [r.status for r in s3_stub.requests_of("PutObject") if r.key == key]
        assert statuses[-2:] == [200, 412]
        assert pointers(registry) == [OLD.hash, NEW.hash]
        assert content(registry, LATEST) == NEW.hash

    async def test_of_a_lost_reply_for_latest_is_a_lost_race_if_another_write_followed(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        given(registry, OLD, latest=OLD)
        rule = s3_stub.on("PutObject", key=LATEST)
        pause = Pause()
        rule.action = Action(pause_after=pause, loses_reply=True)
        running = asyncio.create_task(run(s3, NEW))
        held = await pause.reached()
        registry.put(LATEST, OLD.hash)
        # The revision of the other is not the one that was read: its ETag is, the hash being equal.
        registry.put(LATEST, "f" * 64)
        held.release()
        assert await running is Publication.START_OVER

    async def test_409_of_the_pointer_is_retried(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        s3_stub.on("PutObject", key=pointer(NOW), times=2).answer(409, "ConditionalRequestConflict")
        assert await run(s3, NEW) is Publication.CREATED
        assert pointers(registry) == [NEW.hash]

    @pytest.mark.parametrize("key", [NEW.key, LATEST])
    async def test_412_for_the_current_etag_rejects_the_server(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket, key: str
    ) -> None:
        given(registry, OLD, NEW, latest=OLD if key == LATEST else NEW)
        s3_stub.on("PutObject", key=key, times=None).answer(412, "PreconditionFailed")
        with pytest.raises(UnsupportedEndpoint, match="If-Match"):
            await run(s3, NEW if key == LATEST else Revision("new", versions=" newer"))

    async def test_409_of_latest_is_a_lost_race(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        given(registry, OLD, latest=OLD)
        s3_stub.on("PutObject", key=LATEST, times=None).answer(409, "ConditionalRequestConflict")
        assert await run(s3, NEW) is Publication.START_OVER
        assert content(registry, LATEST) == OLD.hash


class TestRefresh:
    REWRITTEN = Revision("new", versions=" of newer versions")

    def given_old_versions(self, registry: Bucket) -> Revision:
        given(registry, OLD, NEW, latest=NEW)
        return self.REWRITTEN

    def given_a_large_manifest(self, registry: Bucket) -> tuple[Revision, Revision]:
        """Put a revision, and return it with the same one whose manifest takes several parts."""
        small = Revision("large")
        given(registry, small, latest=small)
        return small, Revision("large", versions="x" * 9 * 1024 * 1024)

    async def test_replaces_only_the_manifest(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        rewritten = self.given_old_versions(registry)
        assert await run(s3, rewritten) is Publication.REFRESHED
        assert written(s3_stub) == [NEW.key]
        assert content(registry, NEW.key) == "new of newer versions"

    async def test_makes_the_manifest_fit(self, s3: S3, s3_stub: S3Stub, registry: Bucket) -> None:
        rewritten = self.given_old_versions(registry)
        await run(s3, rewritten)
        s3_stub.forget_requests()
        assert await run(s3, rewritten) is Publication.UNCHANGED
        assert not written(s3_stub)

    async def test_is_conditional_on_the_manifest_that_was_read_before_the_listing(
        self, s3: S3, registry: Bucket
    ) -> None:
        rewritten = self.given_old_versions(registry)
        publisher = Publisher(s3, PACKAGE, MESSAGE)
        latest = await read_latest(s3, PACKAGE)
        await publisher.read_manifest(NEW.hash, max_bytes=1)
        newest = Revision("new", versions=" of the newest versions")
        newest.put(registry)  # by a job whose listing is newer

        with NamedTemporaryFile() as manifest:
            revision = rewritten.ready(Path(manifest.name))
            assert await publisher.publish(revision, latest) is Publication.START_OVER
        assert content(registry, NEW.key) == "new of the newest versions"

    async def test_of_another_revision_than_latest_needs_a_new_listing(
        self, s3: S3, registry: Bucket
    ) -> None:
        given(registry, NEW, OLD, latest=OLD)
        publisher = Publisher(s3, PACKAGE, MESSAGE)
        assert await run(s3, self.REWRITTEN, publisher=publisher) is Publication.START_OVER
        assert content(registry, NEW.key) == "new"
        assert await run(s3, self.REWRITTEN, publisher=publisher) is Publication.CREATED
        assert content(registry, NEW.key) == "new of newer versions"
        assert pointers(registry) == [NEW.hash, OLD.hash, NEW.hash]

    async def test_forgets_the_manifest_that_it_replaced(self, s3: S3, registry: Bucket) -> None:
        rewritten = self.given_old_versions(registry)
        publisher = Publisher(s3, PACKAGE, MESSAGE)
        await run(s3, rewritten, publisher=publisher)
        registry.put(LATEST, OLD.hash)
        # The newest version was deleted: the versions are the old ones again.
        assert await run(s3, NEW, publisher=publisher) is Publication.START_OVER
        await run(s3, NEW, publisher=publisher)
        assert content(registry, NEW.key) == "new"

    async def test_leaves_manifests_of_other_writers(self, s3: S3, registry: Bucket) -> None:
        self.given_old_versions(registry)
        registry.put(NEW.key, NEW.data)
        assert await run(s3, self.REWRITTEN) is Publication.UNCHANGED
        assert content(registry, NEW.key) == "new"

    async def test_of_a_large_manifest_is_one_upload_with_the_condition_at_its_end(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        small, large = self.given_a_large_manifest(registry)
        assert await run(s3, large) is Publication.REFRESHED
        conditional = [r.operation for r in s3_stub.requests if "if-match" in r.headers]
        assert conditional == ["CompleteMultipartUpload"]
        replaced = registry.get(small.key)
        assert replaced
        assert replaced.data == large.data
        assert replaced.metadata == {**WRITTEN_BY_US, MANIFEST_SHA256: large.sha256}
        assert await run(s3, large) is Publication.UNCHANGED

    async def test_of_a_large_manifest_that_was_replaced_aborts_its_upload(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        small, large = self.given_a_large_manifest(registry)
        pause = s3_stub.on("CompleteMultipartUpload").pause_before()
        running = asyncio.create_task(run(s3, large))
        held = await pause.reached()
        Revision("large", versions=" of newer versions").put(registry)
        held.release()
        assert await running is Publication.START_OVER
        assert s3_stub.counts["AbortMultipartUpload"] == 1
        assert content(registry, small.key) == "large of newer versions"

    async def test_of_a_large_manifest_that_fails_inside_a_200_fails(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        small, large = self.given_a_large_manifest(registry)
        s3_stub.on("CompleteMultipartUpload", times=None).answer(200, "InternalError")
        with pytest.raises(S3Error):
            await run(s3, large)
        assert content(registry, small.key) == "large"

    async def test_of_a_large_manifest_recognizes_a_lost_reply(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        small, large = self.given_a_large_manifest(registry)
        s3_stub.on("CompleteMultipartUpload").lose_reply()
        assert await run(s3, large) is Publication.REFRESHED
        assert content(registry, small.key) == large.data.decode()


class TestMessage:
    async def test_is_in_the_metadata_of_the_pointer_and_of_latest(
        self, s3: S3, registry: Bucket
    ) -> None:
        await run(s3, NEW)
        assert message_of(registry, pointer(NOW)) == MESSAGE
        assert message_of(registry, LATEST) == MESSAGE

    async def test_of_a_clock_ahead_of_s3_counts_as_the_oldest(
        self, s3: S3, registry: Bucket
    ) -> None:
        ahead = Message((NOW + MAX_CLOCK_SKEW_SECONDS + 1) * 1000, "ahead")
        registry.put(LATEST, OLD.hash, metadata=ahead.to_metadata())
        assert not (await read_latest(s3, PACKAGE)).is_newer_than(MESSAGE)

    async def test_of_a_job_without_one_is_newer_than_latest(
        self, s3: S3, registry: Bucket
    ) -> None:
        newer = Message((NOW + 60) * 1000, "newer")
        registry.put(LATEST, OLD.hash, metadata=newer.to_metadata())
        latest = await read_latest(s3, PACKAGE)
        assert Message.now(s3, latest) > newer
        assert NOW * 1000 <= Message.now(s3, Pointer()).due_ms < (NOW + 1) * 1000

    @pytest.mark.parametrize("due", ["", "x", "-1", "1.5", "9" * 400, "²"])
    def test_with_invalid_time_counts_as_the_oldest(self, due: str) -> None:
        metadata = {"quilt-packager-due": due, "quilt-packager-message": "id"}
        assert Message.from_metadata(metadata) is None

    def test_orders_by_time_then_by_id(self) -> None:
        messages = [Message(2, "a"), Message(1, "b"), Message(1, "a")]
        assert sorted(messages) == [Message(1, "a"), Message(1, "b"), Message(2, "a")]


class TestYield:
    async def test_leaves_the_revision_of_a_newer_message(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        given(registry, NEW)
        registry.put(LATEST, NEW.hash, metadata=NEWER.to_metadata())
        latest = await read_latest(s3, PACKAGE)
        assert latest.is_newer_than(MESSAGE)
        assert await Publisher(s3, PACKAGE, MESSAGE).yield_to(latest)
        assert not written(s3_stub)

    async def test_announces_it_if_the_newest_pointer_is_of_an_older_message(
        self, s3: S3, registry: Bucket
    ) -> None:
        given(registry, NEW, OLD)
        registry.put(LATEST, NEW.hash, metadata=NEWER.to_metadata())
        publisher = Publisher(s3, PACKAGE, MESSAGE)
        latest = await read_latest(s3, PACKAGE)
        assert not await publisher.yield_to(latest)
        assert pointers(registry) == [NEW.hash, OLD.hash, NEW.hash]
        assert message_of(registry, pointer(NOW)) == NEWER
        assert await publisher.yield_to(latest)

    async def test_leaves_the_pointer_of_an_even_newer_message(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        given(registry, NEW)
        registry.put(LATEST, NEW.hash, metadata=NEWER.to_metadata())
        newest = Message(NEWER.due_ms + 1, "newest")
        registry.put(pointer(NOW), OLD.hash, metadata=newest.to_metadata())
        latest = await read_latest(s3, PACKAGE)
        assert await Publisher(s3, PACKAGE, MESSAGE).yield_to(latest)
        assert not written(s3_stub)

    async def test_finds_the_revision_of_an_earlier_delivery(
        self, s3: S3, registry: Bucket
    ) -> None:
        publisher = Publisher(s3, PACKAGE, MESSAGE)
        await run(s3, OLD, publisher=publisher)
        await run(s3, NEW, publisher=Publisher(s3, PACKAGE, NEWER))
        latest = await read_latest(s3, PACKAGE)
        own = await publisher.find_own_revision(latest)
        assert own is not None
        assert own.top_hash == OLD.hash

    async def test_finds_no_revision_that_the_newer_message_has_reported(
        self, s3: S3, registry: Bucket
    ) -> None:
        registry.put(pointer(NOW), NEW.hash, metadata=MESSAGE.to_metadata())
        registry.put(LATEST, NEW.hash, metadata=NEWER.to_metadata())
        latest = await read_latest(s3, PACKAGE)
        assert await Publisher(s3, PACKAGE, MESSAGE).find_own_revision(latest) is None


class TestSettled:
    async def published(self, s3: S3, registry: Bucket) -> tuple[Publisher, ReadyRevision]:
        given(registry, OLD, latest=OLD)
        publisher = Publisher(s3, PACKAGE, MESSAGE)
        await run(s3, NEW, publisher=publisher)
        return publisher, NEW.ready(Path())

    async def test_needs_one_listing_if_nobody_else_published(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        publisher, revision = await self.published(s3, registry)
        s3_stub.forget_requests()
        assert await publisher.is_settled(revision)
        assert s3_stub.counts == {"ListObjectsV2": 1}

    async def test_is_left_to_the_writer_of_another_latest(self, s3: S3, registry: Bucket) -> None:
        publisher, revision = await self.published(s3, registry)
        registry.put(pointer(NOW + 1), OLD.hash)
        registry.put(LATEST, OLD.hash)
        assert await publisher.is_settled(revision)

    async def test_is_true_if_an_older_message_announced_the_same_revision(
        self, s3: S3, registry: Bucket
    ) -> None:
        publisher, revision = await self.published(s3, registry)
        registry.put(pointer(NOW + 1), NEW.hash, metadata=OLDER.to_metadata())
        assert await publisher.is_settled(revision)

    async def test_is_false_if_an_older_message_announced_another_revision(
        self, s3: S3, registry: Bucket
    ) -> None:
        publisher, revision = await self.published(s3, registry)
        registry.put(pointer(NOW + 1), OLD.hash, metadata=OLDER.to_metadata())
        assert not await publisher.is_settled(revision)

    async def test_is_false_if_all_pointers_were_deleted(self, s3: S3, registry: Bucket) -> None:
        publisher, revision = await self.published(s3, registry)
        for key in registry.keys(pointer(0)[:-1] + "1"):
            registry.delete(key)
        assert not await publisher.is_settled(revision)

    async def test_is_left_to_a_newer_message_that_is_being_published(
        self, s3: S3, registry: Bucket
    ) -> None:
        publisher, revision = await self.published(s3, registry)
        registry.put(pointer(NOW + 1), OLD.hash, metadata=NEWER.to_metadata())
        assert await publisher.is_settled(revision)


class TestLatest:
    @pytest.mark.parametrize("exists", [False, True])
    async def test_that_may_not_be_written_stops_the_job_before_the_announcement(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket, exists: bool
    ) -> None:
        if exists:
            given(registry, OLD, latest=OLD)
        before = pointers(registry)
        s3_stub.deny("PutObject", key=LATEST)
        with pytest.raises(AccessDenied, match="latest"):
            await run(s3, NEW)
        assert pointers(registry) == before

    async def test_that_may_not_be_read_stops_the_job_before_writing(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        given(registry, OLD, latest=OLD)
        s3_stub.deny("GetObject", key=LATEST)
        with pytest.raises(AccessDenied, match="GetObject"):
            await run(s3, NEW)
        assert not s3_stub.requests_of("PutObject")

    async def test_that_may_not_be_listed_either_stops_the_job_before_writing(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        registry.hides_missing_keys = True
        s3_stub.deny("ListObjectsV2")
        with pytest.raises(AccessDenied, match="ListObjectsV2"):
            await run(s3, NEW)
        assert not s3_stub.requests_of("PutObject")

    async def test_with_403_is_absent_if_no_listing_shows_it(
        self, s3: S3, registry: Bucket
    ) -> None:
        registry.hides_missing_keys = True
        assert await run(s3, NEW) is Publication.CREATED
        assert content(registry, LATEST) == NEW.hash

    @pytest.mark.parametrize(
        "garbage", ["", "x", "F" * 64, "f" * 63, "f" * 64 + "\n", "f" * 5000, "\N{SNOWMAN}"]
    )
    async def test_with_invalid_content_is_replaced(
        self, s3: S3, registry: Bucket, garbage: str
    ) -> None:
        given(registry, OLD, latest=garbage)
        assert await run(s3, NEW) is Publication.CREATED
        assert content(registry, LATEST) == NEW.hash

    async def test_with_invalid_content_is_logged(
        self, s3: S3, registry: Bucket, caplog: pytest.LogCaptureFixture
    ) -> None:
        given(registry, latest="x")
        assert (await read_latest(s3, PACKAGE)).top_hash is None
        assert caplog.messages == ["invalid package pointer"]

    async def test_without_its_manifest_gets_it_again(
        self,
        s3: S3,
        s3_stub: S3Stub,
        registry: Bucket,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        given(registry, OLD, latest=OLD)
        registry.delete(OLD.key)
        assert await run(s3, OLD) is Publication.REFRESHED
        assert content(registry, OLD.key) == "old"
        assert pointers(registry) == [OLD.hash]
        assert caplog.messages == ["manifest not found"]

    async def test_of_a_new_package_is_absent(self, s3: S3, registry: Bucket) -> None:
        assert await read_latest(s3, PACKAGE) == Pointer()

    async def test_in_a_missing_bucket_is_rejected(self, s3: S3, s3_stub: S3Stub) -> None:
        with pytest.raises(NoSuchBucket, match="registry"):
            await read_latest(s3, PACKAGE)


class TestNewestPointer:
    @pytest.mark.parametrize("garbage", ["", "x", "f" * 5000])
    async def test_with_invalid_content_is_kept(
        self, s3: S3, registry: Bucket, garbage: str
    ) -> None:
        registry.put(pointer(NOW + 5), garbage)
        assert await run(s3, NEW) is Publication.CREATED
        assert pointers(registry) == [garbage, NEW.hash]

    async def test_that_may_not_be_read_stops_the_job(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        given(registry, OLD, latest=OLD)
        s3_stub.deny("GetObject", key=pointer(NOW - 1))
        with pytest.raises(AccessDenied):
            await run(s3, NEW)
        assert not s3_stub.requests_of("PutObject")

    async def test_that_may_not_be_listed_stops_the_job(
        self, s3: S3, s3_stub: S3Stub, registry: Bucket
    ) -> None:
        s3_stub.deny("ListObjectsV2")
        with pytest.raises(AccessDenied, match="ListObjectsV2"):
            await run(s3, NEW)
        assert not s3_stub.requests_of("PutObject")
