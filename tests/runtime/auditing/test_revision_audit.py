"""Damage made in the stub behind a package's back, and the finding for each."""

from datetime import UTC, datetime
from hashlib import sha256

import pytest
from quilt_packager_runtime.auditing import revision_audit
from quilt_packager_runtime.auditing.entry_check import Depth
from quilt_packager_runtime.auditing.findings import Code, Finding, Severity
from quilt_packager_runtime.auditing.revision_audit import Revision
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import ServiceUnavailable
from quilt_packager_runtime.formats.objects import Checksum, Entry, S3Uri

from tests.audits import AFTER, PACKAGE, SECOND, audit, entry_of, publish, put
from tests.s3_stub import Bucket, S3Stub, Version, Versioning

DEEP = Depth(read_share=1.0)
KEYS = ["f/a", "f/b", "f/c"]


@pytest.fixture
def packages(s3_stub: S3Stub) -> Bucket:
    return s3_stub.create_bucket("packages")


@pytest.fixture
def raw(s3_stub: S3Stub) -> Bucket:
    return s3_stub.create_bucket("raw")


@pytest.fixture
def versions(raw: Bucket, packages: Bucket) -> dict[str, Version]:
    """A package of three versions."""
    found = {key: put(raw, key, key.encode()) for key in KEYS}
    publish(packages, [entry_of(raw, key, version) for key, version in found.items()])
    return found


@pytest.fixture
def unversioned(raw: Bucket, packages: Bucket) -> Bucket:
    """A package of three objects without versions."""
    raw.versioning = Versioning.OFF
    publish(packages, [entry_of(raw, key, put(raw, key, key.encode())) for key in KEYS])
    return raw


def codes(findings: list[Finding]) -> list[tuple[Code, str | None]]:
    return [(each.code, each.logical_key) for each in findings]


class TestVersions:
    async def test_an_intact_package_has_no_findings(
        self, s3: S3, versions: dict[str, Version]
    ) -> None:
        assert (await audit(s3, DEEP))[1] == []

    async def test_a_deleted_version_is_found_with_what_would_replace_it(
        self, s3: S3, raw: Bucket, versions: dict[str, Version]
    ) -> None:
        same = put(raw, "f/b", b"f/b", last_modified=AFTER)
        raw.delete("f/b", versions["f/b"].version_id)
        _, [finding] = await audit(s3)
        assert (finding.code, finding.logical_key) == (Code.OBJECT_MISSING, "f/b")
        assert finding.replacement == str(S3Uri("raw", "f/b", same.version_id))
        assert finding.is_same_content
        assert finding.severity is Severity.DAMAGE

    async def test_a_version_of_the_same_size_alone_is_no_same_content(
        self, s3: S3, raw: Bucket, versions: dict[str, Version]
    ) -> None:
        put(raw, "f/b", b"xxx", last_modified=AFTER)
        raw.delete("f/b", versions["f/b"].version_id)
        _, [finding] = await audit(s3)
        assert finding.replacement is not None
        assert not finding.is_same_content

    async def test_a_delete_marker_does_not_hide_a_version(
        self, s3: S3, raw: Bucket, versions: dict[str, Version]
    ) -> None:
        raw.delete("f/a")
        assert (await audit(s3))[1] == []

    async def test_a_noncurrent_version_is_found_among_many(
        self, s3: S3, raw: Bucket, packages: Bucket, s3_stub: S3Stub
    ) -> None:
        wanted = put(raw, "f/a")
        for _ in range(2500):
            put(raw, "f/a", b"newer")
        last = put(raw, "f/b")
        publish(packages, [entry_of(raw, "f/a", wanted), entry_of(raw, "f/b", last)])
        s3_stub.forget_requests()
        assert (await audit(s3))[1] == []
        assert s3_stub.distinct_counts["ListObjectVersions"] == 3

    async def test_a_version_that_is_not_listed_yet_is_no_damage(
        self, s3: S3, s3_stub: S3Stub, versions: dict[str, Version]
    ) -> None:
        hidden = b"<Version><Key>f/b</Key>"
        s3_stub.on("ListObjectVersions").rewrite_body(
            lambda body: body.replace(hidden, b"<Version><Key>f/B</Key>")
        )
        assert (await audit(s3))[1] == []

    async def test_another_size_is_damage(self, s3: S3, raw: Bucket, packages: Bucket) -> None:
        version = put(raw, "f/a")
        entry = entry_of(raw, "f/a", version)
        publish(packages, [Entry("a", entry.physical_key, 4, entry.checksum)])
        assert codes((await audit(s3))[1]) == [(Code.SIZE_DIFFERS, "a")]

    async def test_a_byte_changed_behind_s3_is_found_by_reading(
        self, s3: S3, raw: Bucket, packages: Bucket
    ) -> None:
        good = put(raw, "f/a", b"hello")
        entry = entry_of(raw, "f/a", good)
        # What S3 has stored still describes the old bytes.
        bad = put(raw, "f/a", b"hellO", stored=good.checksums, etag=good.etag)
        uri = S3Uri("raw", "f/a", bad.version_id)
        publish(packages, [Entry("a", str(uri), 5, entry.checksum)])
        assert (await audit(s3))[1] == []
        _, [finding] = await audit(s3, DEEP)
        assert finding.code is Code.CHECKSUM_DIFFERS
        assert "its bytes have" in finding.happened

    async def test_checksums_of_whole_objects_are_compared_by_reading(
        self, s3: S3, raw: Bucket, packages: Bucket
    ) -> None:
        entries = [
            Entry(
                key, entry_of(raw, key, put(raw, key)).physical_key, 5, Checksum("SHA256", digest)
            )
            for key, digest in [("f/a", sha256(b"hello").hexdigest()), ("f/b", "0" * 64)]
        ]
        publish(packages, entries)
        assert codes((await audit(s3, DEEP))[1]) == [(Code.CHECKSUM_DIFFERS, "f/b")]

    async def test_objects_that_cannot_be_read_in_time_are_compared_and_counted(
        self, s3: S3, s3_stub: S3Stub, versions: dict[str, Version]
    ) -> None:
        s3_stub.forget_requests()
        audited, findings = await audit(s3, Depth(read_share=1.0, read_until=0.0))
        assert (audited.unread, findings) == (3, [])
        assert s3_stub.distinct_counts["HeadObject"] == 3

    async def test_another_stored_checksum_is_found_without_reading(
        self, s3: S3, raw: Bucket, packages: Bucket, s3_stub: S3Stub
    ) -> None:
        entry = entry_of(raw, "f/a", put(raw, "f/a", b"hello"))
        other = S3Uri("raw", "f/a", put(raw, "f/a", b"HELLO").version_id)
        publish(packages, [Entry("a", str(other), 5, entry.checksum)])
        s3_stub.forget_requests()
        assert codes((await audit(s3))[1]) == [(Code.CHECKSUM_DIFFERS, "a")]
        assert not [each for each in s3_stub.requests_of("GetObject") if each.bucket == "raw"]

    @pytest.mark.parametrize("depth", [Depth(), DEEP])
    async def test_an_archived_object_is_found_unless_it_is_restored(
        self, s3: S3, raw: Bucket, packages: Bucket, depth: Depth
    ) -> None:
        entries = [
            entry_of(raw, key, put(raw, key, storage_class="GLACIER", restored=restored))
            for key, restored in [("f/a", None), ("f/b", True)]
        ]
        publish(packages, entries)
        assert codes((await audit(s3, depth))[1]) == [(Code.ARCHIVED, "f/a")]

    async def test_a_disabled_key_is_damage(
        self, s3: S3, s3_stub: S3Stub, versions: dict[str, Version]
    ) -> None:
        for operation in ("HeadObject", "GetObject"):
            rule = s3_stub.on(operation, bucket="raw", key="f/b", times=None)
            rule.answer(400, "KMS.DisabledException", "arn:aws:kms:key/1 is disabled.")
        _, [finding] = await audit(s3)
        assert (finding.code, finding.logical_key) == (Code.KEY_UNUSABLE, "f/b")
        assert "key/1 is disabled" in finding.happened

    async def test_denied_objects_are_unchecked(
        self, s3: S3, s3_stub: S3Stub, versions: dict[str, Version]
    ) -> None:
        s3_stub.deny("HeadObject", bucket="raw")
        s3_stub.deny("GetObject", bucket="raw")
        _, findings = await audit(s3)
        assert codes(findings) == [(Code.ACCESS_DENIED, key) for key in KEYS]
        assert {each.severity for each in findings} == {Severity.UNCHECKED}

    async def test_a_denied_listing_is_one_finding(
        self, s3: S3, s3_stub: S3Stub, versions: dict[str, Version]
    ) -> None:
        s3_stub.deny("ListObjectVersions", bucket="raw")
        _, [finding] = await audit(s3)
        assert (finding.code, finding.entries) == (Code.ACCESS_DENIED, 3)

    async def test_a_deleted_bucket_is_one_finding(
        self, s3: S3, s3_stub: S3Stub, versions: dict[str, Version]
    ) -> None:
        del s3_stub.store.buckets["raw"]
        _, [finding] = await audit(s3)
        assert (finding.code, finding.entries) == (Code.BUCKET_MISSING, 3)

    async def test_throttling_is_a_failure_and_no_finding(
        self, s3: S3, s3_stub: S3Stub, versions: dict[str, Version]
    ) -> None:
        s3_stub.on("ListObjectVersions", times=None).answer(503, "SlowDown")
        with pytest.raises(ServiceUnavailable):
            await audit(s3)


class TestUnversioned:
    async def test_an_intact_package_has_no_findings_and_needs_no_reading(
        self, s3: S3, unversioned: Bucket
    ) -> None:
        assert (await audit(s3))[1] == []

    async def test_an_object_overwritten_with_the_same_size_is_found(
        self, s3: S3, unversioned: Bucket
    ) -> None:
        put(unversioned, "f/b", b"xxx", last_modified=AFTER)
        assert codes((await audit(s3))[1]) == [(Code.OVERWRITTEN, "f/b")]

    async def test_an_object_written_again_with_the_same_content_is_intact(
        self, s3: S3, unversioned: Bucket
    ) -> None:
        put(unversioned, "f/b", b"f/b", last_modified=AFTER)
        assert (await audit(s3))[1] == []

    async def test_without_a_stored_checksum_only_reading_shows_the_same_content(
        self, s3: S3, unversioned: Bucket
    ) -> None:
        put(unversioned, "f/b", b"f/b", stored=(), last_modified=AFTER)
        assert codes((await audit(s3))[1]) == [(Code.OVERWRITTEN, "f/b")]
        assert (await audit(s3, DEEP))[1] == []

    async def test_another_size_is_overwritten(self, s3: S3, unversioned: Bucket) -> None:
        put(unversioned, "f/b", b"longer", last_modified=AFTER)
        assert codes((await audit(s3))[1]) == [(Code.OVERWRITTEN, "f/b")]

    async def test_a_delete_marker_is_damage_and_names_the_version_below(
        self, s3: S3, unversioned: Bucket
    ) -> None:
        unversioned.versioning = Versioning.ENABLED
        unversioned.delete("f/b")
        _, [finding] = await audit(s3)
        assert (finding.code, finding.logical_key) == (Code.DELETE_MARKER, "f/b")
        assert finding.replacement == "s3://raw/f/b?versionId=null"
        assert finding.is_same_content

    async def test_a_deleted_object_is_damage(self, s3: S3, unversioned: Bucket) -> None:
        unversioned.delete("f/c")
        assert codes((await audit(s3))[1]) == [(Code.OBJECT_MISSING, "f/c")]

    async def test_a_server_without_versions_is_listed_by_keys(
        self, s3: S3, s3_stub: S3Stub, unversioned: Bucket
    ) -> None:
        s3_stub.on("ListObjectVersions", times=None).answer(501, "NotImplemented")
        unversioned.delete("f/c")
        assert codes((await audit(s3))[1]) == [(Code.OBJECT_MISSING, "f/c")]


class TestManifest:
    async def test_a_manifest_that_is_missing_is_damage(
        self, s3: S3, packages: Bucket, versions: dict[str, Version]
    ) -> None:
        [key] = packages.keys(".quilt/packages/")
        packages.delete(key)
        audited, findings = await audit(s3)
        assert codes(findings) == [(Code.MANIFEST_MISSING, None)]
        assert audited.entries == 0

    @pytest.mark.usefixtures("versions")
    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            (b'"message": "message"', b'"message": "massage"', "its top hash is"),
            (b'"size": 3', b'"size": 4', "its top hash is"),
            # The top hash does not cover the versions.
            (b"versionId=", b"versionId=x", "its bytes have the SHA-256"),
            (b'{"logical_key": "f/c"', b"{", "a line is malformed"),
        ],
    )
    async def test_a_changed_manifest_is_damage(
        self, s3: S3, packages: Bucket, old: bytes, new: bytes, words: str
    ) -> None:
        [key] = packages.keys(".quilt/packages/")
        intact = packages.get(key)
        assert intact is not None
        packages.put(key, intact.data.replace(old, new), metadata=intact.metadata)
        _, findings = await audit(s3)
        [finding] = [each for each in findings if each.code is Code.MANIFEST_CHANGED]
        assert words in finding.happened

    async def test_an_entry_outside_of_s3_is_damage(self, s3: S3, packages: Bucket) -> None:
        publish(packages, [Entry("a", "file:///tmp/a", 1, Checksum("SHA256", "00"))])
        assert codes((await audit(s3))[1]) == [(Code.NOT_IN_S3, "a")]


class TestRequests:
    async def test_a_few_objects_of_a_huge_bucket_take_a_page_each(
        self, s3: S3, s3_stub: S3Stub, packages: Bucket
    ) -> None:
        raw = s3_stub.create_bucket("raw")
        for number in range(6000):
            put(raw, f"f/{number:05}", b"x", stored=())
        wanted = ["f/00001", "f/02500", "f/05999"]
        entries = [entry_of(raw, key, raw.versions(key)[0]) for key in wanted]
        publish(packages, entries)
        s3_stub.forget_requests()
        assert (await audit(s3))[1] == []
        assert s3_stub.distinct_counts["ListObjectVersions"] == 3

    async def test_markers_are_inside_of_the_prefix(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket, packages: Bucket
    ) -> None:
        objects = {key: put(raw, key) for key in ("f/", "f/!", "f/a/b", "f/a/é")}
        entries = [entry_of(raw, key, version) for key, version in objects.items()]
        named = [
            Entry(f"{number}.txt", each.physical_key, each.size_bytes, each.checksum)
            for number, each in enumerate(entries)
        ]
        publish(packages, named)
        s3_stub.forget_requests()
        assert (await audit(s3))[1] == []
        for request in s3_stub.requests_of("ListObjectVersions"):
            after, prefix = request.query.get("key-marker", ""), request.query["prefix"]
            assert not after or after.startswith(prefix)

    async def test_a_large_package_takes_its_pages_and_a_sample_of_heads(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket, packages: Bucket
    ) -> None:
        keys = [f"f/{number:05}" for number in range(3000)]
        publish(packages, [entry_of(raw, key, put(raw, key, b"x")) for key in keys])
        s3_stub.forget_requests()
        audited, findings = await audit(s3)
        assert (audited.entries, findings) == (3000, [])
        assert s3_stub.distinct_counts["ListObjectVersions"] == 3
        assert 50 < s3_stub.distinct_counts["HeadObject"] < 150

    async def test_an_audit_continues_where_it_stopped(
        self, s3: S3, raw: Bucket, versions: dict[str, Version], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(revision_audit, "BLOCK_ENTRIES", 1)
        for key in KEYS:
            raw.delete(key, versions[key].version_id)
        _, findings = await audit(s3, first_block=2)
        assert codes(findings) == [(Code.OBJECT_MISSING, "f/c")]

    async def test_an_older_revision_is_audited_by_its_top_hash(
        self, s3: S3, raw: Bucket, packages: Bucket
    ) -> None:
        first = put(raw, "f/a", b"first")
        old = publish(packages, [entry_of(raw, "f/a", first)])
        publish(packages, [entry_of(raw, "f/a", put(raw, "f/a", b"second"))])
        raw.delete("f/a", first.version_id)
        published = datetime.fromtimestamp(SECOND, UTC)
        _, findings = await audit(s3, revision=Revision(PACKAGE, old, published))
        assert codes(findings) == [(Code.OBJECT_MISSING, "f/a")]
