"""Promotion of revisions: pointers alone, or with copies of their objects."""

import asyncio
import json
from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import (
    ArchivedObjects,
    CopyMismatch,
    DestinationOccupied,
    HeldForReview,
    InvalidManifest,
    NoSuchRevision,
    WorkflowViolations,
)
from quilt_packager_runtime.formats.checksums import chunk_ranges, from_chunk_digests
from quilt_packager_runtime.formats.manifest import Header, write_manifest
from quilt_packager_runtime.formats.objects import (
    Checksum,
    ChecksumAlgorithm,
    Entry,
    S3Uri,
    SourceFolder,
)
from quilt_packager_runtime.promotion.promote import promote
from quilt_packager_runtime.promotion.promotion_request import (
    PromotionOutcome,
    PromotionRequest,
    PromotionResult,
)
from quilt_packager_runtime.registry.publish import Message, Package

from tests.package_requests import package_request, request_of
from tests.s3_stub import Bucket, Pattern, S3Stub, Version, Versioning

SOURCE, TARGET = Package("lab", "runs/42"), Package("production", "runs/42")
COPIES = SourceFolder("production", "data/")
MESSAGE = json.dumps({"source_prefix": "s3://raw/r/", "registry": "lab", "package_name": "runs/42"})
SHA256 = ChecksumAlgorithm.SHA256_CHUNKED
MIB = 2**20
CONFIG = b"version: '1'\nworkflows: {w: {name: w}}\ndefault_workflow: w\n"


@pytest.fixture
def raw(s3_stub: S3Stub) -> Bucket:
    s3_stub.create_bucket("lab")
    s3_stub.create_bucket("production")
    raw = s3_stub.create_bucket("raw")
    raw.put("r/a.txt", b"a", stored=["SHA256"])
    raw.put("r/sub/b.txt", b"b", stored=["SHA256"])
    return raw


async def run(s3: S3, **fields: Any) -> PromotionOutcome:
    message = fields.pop("message", None)
    request = PromotionRequest(
        source=SOURCE, target=TARGET, promoted_by="arn:aws:iam::1:user/ann", **fields
    )
    return await promote(request, s3=s3, message=message)


def latest(bucket: Bucket, name: str = "runs/42") -> Version:
    version = bucket.get(f".quilt/named_packages/{name}/latest")
    assert version
    return version


def manifest(bucket: Bucket) -> list[dict[str, Any]]:
    version = bucket.get(f".quilt/packages/{latest(bucket).data.decode()}")
    assert version
    return [json.loads(line) for line in version.data.splitlines()]


def production(stub: S3Stub) -> Bucket:
    return stub.store.buckets["production"]


def put_package(lab: Bucket, entries: list[Entry], header: Header) -> str:
    """Put a package into the registry `lab`, and return its top hash."""
    lines = bytearray()
    top_hash = write_manifest(header, entries, lines.extend)
    lab.put(f".quilt/packages/{top_hash}", bytes(lines))
    lab.put(".quilt/named_packages/runs/42/1700000000", top_hash)
    lab.put(".quilt/named_packages/runs/42/latest", top_hash)
    return top_hash


async def test_the_pointer_alone_keeps_manifest_and_top_hash(
    s3: S3, s3_stub: S3Stub, raw: Bucket
) -> None:
    source = await package_request(s3, request_of(MESSAGE))
    s3_stub.forget_requests()
    outcome = await run(s3)
    assert outcome.outcome is PromotionResult.PROMOTED
    assert outcome.top_hash == outcome.from_top_hash == source.top_hash
    uri = f".quilt/packages/{source.top_hash}"
    copied = production(s3_stub).get(uri)
    original = s3_stub.store.buckets["lab"].get(uri)
    assert copied
    assert original
    assert copied.data == original.data
    assert not s3_stub.counts["CopyObject"]


async def test_the_provenance_is_in_the_outcome_and_the_metadata_of_what_is_written(
    s3: S3, s3_stub: S3Stub, raw: Bucket
) -> None:
    source = await package_request(s3, request_of(MESSAGE))
    outcome = await run(s3, copy_to=COPIES)
    revision = f"quilt+s3://lab#package=runs/42@{source.top_hash}"
    expected = {
        "quilt-packager-promoted-from": revision,
        "quilt-packager-promoted-by": "arn:aws:iam::1:user/ann",
    }
    assert outcome.promoted_by == "arn:aws:iam::1:user/ann"
    assert (outcome.from_registry, outcome.from_package_name) == ("lab", "runs/42")
    bucket = production(s3_stub)
    pointer = bucket.keys(".quilt/named_packages/")[0]
    for key in ("data/runs/42/a.txt", pointer, f".quilt/packages/{outcome.top_hash}"):
        version = bucket.get(key)
        assert version
        assert version.metadata.items() >= expected.items()
    assert latest(bucket).metadata.items() >= expected.items()


async def test_copies_have_the_keys_and_versions_that_the_manifest_names(
    s3: S3, s3_stub: S3Stub, raw: Bucket
) -> None:
    source = await package_request(s3, request_of(MESSAGE))
    outcome = await run(s3, copy_to=COPIES)
    assert (outcome.copied, outcome.present, outcome.top_hash) == (2, 0, source.top_hash)
    bucket = production(s3_stub)
    for line, key in zip(manifest(bucket)[1:], ["a.txt", "sub/b.txt"], strict=True):
        copy = bucket.get(f"data/runs/42/{key}")
        assert copy
        uri = S3Uri("production", f"data/runs/42/{key}", copy.version_id)
        assert line["physical_keys"] == [str(uri)]


async def test_nothing_is_copied_into_a_registry(s3: S3) -> None:
    with pytest.raises(DestinationOccupied, match="holds the registry itself"):
        await run(s3, copy_to=SourceFolder("production", ".quilt/x/"))


async def test_copies_keep_metadata_content_type_and_tags(
    s3: S3, s3_stub: S3Stub, raw: Bucket
) -> None:
    kept: dict[str, Any] = {
        "metadata": {"sample": "s1"},
        "system_metadata": {"content-type": "text/csv", "cache-control": "no-store"},
        "tags": {"team": "R&D lab", "a": ""},
    }
    raw.put("r/small.csv", b"1,2", **kept)
    raw.put("r/large.csv", Pattern(9 * MIB), **kept)
    await package_request(s3, request_of(MESSAGE))
    await run(s3, copy_to=COPIES)
    for key in ("small.csv", "large.csv"):
        copy = production(s3_stub).get(f"data/runs/42/{key}")
        assert copy
        assert copy.metadata["sample"] == "s1"
        assert copy.system_metadata == kept["system_metadata"]
        assert copy.tags == kept["tags"]


async def test_full_metadata_is_kept_without_provenance(
    s3: S3, s3_stub: S3Stub, raw: Bucket
) -> None:
    raw.put("r/a.txt", b"a", metadata={"m": "x" * 2040})
    await package_request(s3, request_of(MESSAGE))
    await run(s3, copy_to=COPIES)
    copy = production(s3_stub).get("data/runs/42/a.txt")
    assert copy
    assert copy.metadata == {"m": "x" * 2040}


async def test_nothing_is_copied_or_published_twice(s3: S3, s3_stub: S3Stub, raw: Bucket) -> None:
    await package_request(s3, request_of(MESSAGE))
    await run(s3, copy_to=COPIES)
    keys = production(s3_stub).keys()
    s3_stub.forget_requests()
    outcome = await run(s3, copy_to=COPIES)
    assert (outcome.outcome, outcome.copied, outcome.present) == ("unchanged", 0, 2)
    assert not s3_stub.counts["CopyObject"] + s3_stub.counts["PutObject"]
    assert production(s3_stub).keys() == keys


async def test_the_next_revision_copies_what_has_changed(
    s3: S3, s3_stub: S3Stub, raw: Bucket
) -> None:
    await package_request(s3, request_of(MESSAGE))
    await run(s3, copy_to=COPIES)
    raw.put("r/a.txt", b"changed", stored=["SHA256"])
    await package_request(s3, request_of(MESSAGE))
    outcome = await run(s3, copy_to=COPIES)
    assert (outcome.outcome, outcome.copied, outcome.present) == ("promoted", 1, 1)
    assert len(production(s3_stub).versions("data/runs/42/a.txt")) == 2


async def test_data_can_follow_a_promotion_of_the_pointer(
    s3: S3, s3_stub: S3Stub, raw: Bucket
) -> None:
    await package_request(s3, request_of(MESSAGE))
    await run(s3)
    await run(s3, copy_to=COPIES)
    keys = [line["physical_keys"][0] for line in manifest(production(s3_stub))[1:]]
    assert all(key.startswith("s3://production/data/") for key in keys)
    await run(s3)  # and the pointer alone does not take them back
    assert [line["physical_keys"][0] for line in manifest(production(s3_stub))[1:]] == keys


async def test_other_objects_are_not_overwritten_in_a_bucket_without_versions(
    s3: S3, s3_stub: S3Stub, raw: Bucket
) -> None:
    await package_request(s3, request_of(MESSAGE))
    bucket = production(s3_stub)
    bucket.versioning = Versioning.OFF
    bucket.put("data/runs/42/a.txt", b"mine")
    with pytest.raises(DestinationOccupied, match=r"data/runs/42/a\.txt"):
        await run(s3, copy_to=COPIES)
    copy = bucket.get("data/runs/42/a.txt")
    assert copy
    assert copy.data == b"mine"
    assert not bucket.get("data/runs/42/sub/b.txt")


async def test_an_object_that_appears_meanwhile_is_not_overwritten(
    s3: S3, s3_stub: S3Stub, raw: Bucket
) -> None:
    await package_request(s3, request_of(MESSAGE))
    bucket = production(s3_stub)
    bucket.versioning = Versioning.OFF
    pause = s3_stub.on("CopyObject", key="*a.txt").pause_before()
    running = asyncio.create_task(run(s3, copy_to=COPIES))
    held = await pause.reached()
    bucket.put("data/runs/42/a.txt", b"mine")
    held.release()
    with pytest.raises(Exception, match=r"was not written"):
        await running
    copy = bucket.get("data/runs/42/a.txt")
    assert copy
    assert copy.data == b"mine"


async def test_equal_objects_are_used_in_a_bucket_without_versions(
    s3: S3, s3_stub: S3Stub, raw: Bucket
) -> None:
    await package_request(s3, request_of(MESSAGE))
    bucket = production(s3_stub)
    bucket.versioning = Versioning.OFF
    bucket.put("data/runs/42/a.txt", b"a", stored=[])
    outcome = await run(s3, copy_to=COPIES)
    assert (outcome.copied, outcome.present) == (1, 1)
    assert manifest(bucket)[1]["physical_keys"] == ["s3://production/data/runs/42/a.txt"]


async def test_a_lost_reply_to_a_copy_makes_no_second_version(
    s3: S3, s3_stub: S3Stub, raw: Bucket
) -> None:
    await package_request(s3, request_of(MESSAGE))
    s3_stub.on("CopyObject", key="*a.txt").lose_reply()
    outcome = await run(s3, copy_to=COPIES)
    assert outcome.outcome is PromotionResult.PROMOTED
    assert len(production(s3_stub).versions("data/runs/42/a.txt")) == 1


async def test_two_promotions_at_once_copy_each_object_once(
    s3: S3, s3_stub: S3Stub, raw: Bucket
) -> None:
    raw.put("r/large.bin", Pattern(9 * MIB))
    source = await package_request(s3, request_of(MESSAGE))
    await asyncio.gather(*(run(s3, copy_to=COPIES) for _ in range(2)))
    bucket = production(s3_stub)
    assert {len(bucket.versions(key)) for key in bucket.keys("data/")} == {1}
    assert latest(bucket).data.decode() == source.top_hash
    assert not bucket.uploads


@pytest.mark.parametrize("size_bytes", [3, 9 * MIB])
async def test_a_copy_with_another_checksum_is_never_published(
    s3: S3, s3_stub: S3Stub, raw: Bucket, size_bytes: int
) -> None:
    raw.versioning = Versioning.OFF
    raw.put("r/c.bin", Pattern(size_bytes), stored=["SHA256"])
    await package_request(s3, request_of(MESSAGE))
    raw.put("r/c.bin", Pattern(size_bytes, "other"), stored=["SHA256"])
    with pytest.raises(CopyMismatch, match=r"raw/r/c\.bin"):
        await run(s3, copy_to=COPIES)
    assert not production(s3_stub).keys(".quilt/")
    assert not production(s3_stub).uploads
    is_in_parts = size_bytes > 8 * MIB  # found before there is an object
    assert bool(production(s3_stub).get("data/runs/42/c.bin")) is not is_in_parts


async def test_missing_and_archived_objects_are_named_together(
    s3: S3, s3_stub: S3Stub, raw: Bucket
) -> None:
    raw.versioning = Versioning.OFF
    raw.put("r/gone.txt", b"1")
    raw.put("r/cold.txt", b"2", stored=["SHA256"])
    await package_request(s3, request_of(MESSAGE))
    raw.delete("r/gone.txt")
    raw.put("r/cold.txt", b"2", stored=["SHA256"], storage_class="GLACIER")
    with pytest.raises(ArchivedObjects, match=r"cold\.txt.*gone\.txt"):
        await run(s3, copy_to=COPIES)


async def test_copies_without_checksums_of_the_server_are_read(
    s3: S3, s3_stub: S3Stub, raw: Bucket
) -> None:
    s3_stub.store.copies_return_checksums = False
    raw.put("r/large.bin", Pattern(9 * MIB))
    await package_request(s3, request_of(MESSAGE))
    outcome = await run(s3, copy_to=COPIES)
    assert outcome.copied == 3


async def test_a_large_object_is_copied_in_parts_that_are_its_chunks(
    s3: S3, s3_stub: S3Stub, raw: Bucket
) -> None:
    body = Pattern(6 * 1024 * MIB)
    version = raw.put("r/sparse.bin", body, etag="0" * 32)
    digests = [
        body.digest("SHA256", first, last - first + 1)
        for first, last in chunk_ranges(body.size_bytes)
    ]
    entry = Entry(
        "sparse.bin",
        str(S3Uri("raw", "r/sparse.bin", version.version_id)),
        body.size_bytes,
        from_chunk_digests(SHA256, body.size_bytes, digests),
    )
    put_package(s3_stub.store.buckets["lab"], [entry], Header(None, "m"))
    outcome = await run(s3, copy_to=COPIES)
    assert (outcome.copied, outcome.bytes) == (1, body.size_bytes)
    assert s3_stub.distinct_counts["UploadPartCopy"] == 768
    copy = production(s3_stub).get("data/runs/42/sparse.bin")
    assert copy
    assert copy.checksums["SHA256"] == f"{entry.checksum.value}-768"
    s3_stub.forget_requests()
    assert (await run(s3, copy_to=COPIES)).outcome is PromotionResult.UNCHANGED
    assert not s3_stub.counts["UploadPartCopy"]


async def test_a_bucket_of_another_region_gets_the_copies(
    s3: S3, s3_stub: S3Stub, raw: Bucket
) -> None:
    production(s3_stub).region = "eu-west-1"
    raw.put("r/large.bin", Pattern(9 * MIB))
    await package_request(s3, request_of(MESSAGE))
    assert (await run(s3, copy_to=COPIES)).copied == 3
    assert {each.signing_region for each in s3_stub.requests_of("CopyObject")} >= {"eu-west-1"}


class TestWorkflows:
    async def test_the_rules_of_the_target_are_checked_before_anything_is_copied(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        await package_request(s3, request_of(MESSAGE))
        rules = CONFIG.replace(b"{name: w}", b"{name: w, handle_pattern: '^other/'}")
        production(s3_stub).put(".quilt/workflows/config.yml", rules)
        with pytest.raises(WorkflowViolations, match="required pattern"):
            await run(s3, copy_to=COPIES)
        assert production(s3_stub).keys() == [".quilt/workflows/config.yml"]

    async def test_the_top_hash_stays_if_the_header_names_no_configuration(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        source = await package_request(s3, request_of(MESSAGE))
        production(s3_stub).put(".quilt/workflows/config.yml", CONFIG)
        assert (await run(s3)).top_hash == source.top_hash

    async def test_both_hashes_are_named_if_it_does(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        s3_stub.store.buckets["lab"].put(".quilt/workflows/config.yml", CONFIG)
        source = await package_request(s3, request_of(MESSAGE))
        outcome = await run(s3)
        assert "workflow" not in manifest(production(s3_stub))[0]
        assert outcome.from_top_hash == source.top_hash != outcome.top_hash
        assert outcome.remark
        assert f"{source.top_hash}" in outcome.remark
        assert f"{outcome.top_hash}" in outcome.remark

    async def test_the_record_names_the_configuration_of_the_target(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        for name in ("lab", "production"):
            s3_stub.store.buckets[name].put(".quilt/workflows/config.yml", CONFIG)
        await package_request(s3, request_of(MESSAGE))
        await run(s3)
        record = manifest(production(s3_stub))[0]["workflow"]
        assert record["config"].startswith("s3://production/.quilt/workflows/config.yml?versionId=")


class TestOtherWriters:
    @pytest.fixture(autouse=True)
    async def _promoted(self, s3: S3, raw: Bucket) -> None:
        await package_request(s3, request_of(MESSAGE))

    async def test_a_revision_of_another_writer_is_held(self, s3: S3, s3_stub: S3Stub) -> None:
        production(s3_stub).put(".quilt/named_packages/runs/42/latest", "a" * 64)
        with pytest.raises(HeldForReview, match="--on-foreign-revision replace"):
            await run(s3, copy_to=COPIES)
        assert latest(production(s3_stub)).data == b"a" * 64
        assert not s3_stub.counts["CopyObject"]

    async def test_it_is_replaced_and_named_on_request(self, s3: S3, s3_stub: S3Stub) -> None:
        production(s3_stub).put(".quilt/named_packages/runs/42/latest", "a" * 64)
        message = Message(1, "one")
        outcome = await run(s3, on_foreign_revision="replace", message=message)
        assert outcome.foreign_top_hash == "a" * 64
        repeated = await run(s3, on_foreign_revision="replace", message=message)
        assert repeated.outcome is PromotionResult.PROMOTED
        assert repeated.foreign_top_hash == "a" * 64

    async def test_a_revision_that_arrives_meanwhile_is_held(self, s3: S3, s3_stub: S3Stub) -> None:
        pause = s3_stub.on("PutObject", key="*/latest", nth=2).pause_before()
        running = asyncio.create_task(run(s3))
        held = await pause.reached()
        production(s3_stub).put(".quilt/named_packages/runs/42/latest", "a" * 64)
        held.release()
        with pytest.raises(HeldForReview):
            await running
        assert latest(production(s3_stub)).data == b"a" * 64

    async def test_an_older_event_yields_to_a_newer_one(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        first = latest(s3_stub.store.buckets["lab"]).data.decode()
        raw.put("r/a.txt", b"changed")
        newest = await package_request(s3, request_of(MESSAGE))
        await run(s3, message=Message(2, "newer"))
        outcome = await run(s3, top_hash=first, message=Message(1, "older"))
        assert outcome.outcome is PromotionResult.UNCHANGED
        assert latest(production(s3_stub)).data.decode() == newest.top_hash

    async def test_a_person_can_promote_an_older_revision(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        first = latest(s3_stub.store.buckets["lab"]).data.decode()
        raw.put("r/a.txt", b"changed")
        await package_request(s3, request_of(MESSAGE))
        await run(s3)
        assert (await run(s3, top_hash=first)).outcome is PromotionResult.PROMOTED
        assert latest(production(s3_stub)).data.decode() == first


class TestForeignManifests:
    """Manifests that another program wrote, with fields and in an order of its own."""

    def put(self, lab: Bucket, raw: Bucket) -> str:
        lines: list[dict[str, Any]] = [{"version": "v0", "user_meta": {"é": 1e-7}, "message": None}]
        hashed: list[dict[str, Any]] = []
        for key in ("a-b", "a/b"):  # not in the order of manifests
            version = raw.put(f"r/{key}", key, stored=["SHA256"])
            value = b64encode(sha256(sha256(key.encode()).digest()).digest()).decode()
            lines.append(
                {
                    "logical_key": key,
                    "physical_keys": [str(S3Uri("raw", f"r/{key}", version.version_id))],
                    "size": 3,
                    "hash": {"type": "sha2-256-chunked", "value": value},
                    "meta": {"user_meta": {"n": 1}, "other": [1]},
                }
            )
            hashed.insert(0, lines[-1])
        folder = {"logical_key": "a/", "meta": {"user_meta": {"folder": True}}}

        def encode(record: object) -> bytes:
            return json.dumps(record, sort_keys=True, separators=(",", ":")).encode()

        digest = sha256(encode(lines[0]))
        for line in hashed:
            digest.update(encode({k: v for k, v in line.items() if k != "physical_keys"}))
        top_hash = digest.hexdigest()
        body = b"\n".join(json.dumps(line).encode() for line in [*lines, folder])
        lab.put(f".quilt/packages/{top_hash}", body)
        lab.put(".quilt/named_packages/runs/42/latest", top_hash)
        return top_hash

    async def test_all_but_the_physical_keys_stays(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        top_hash = self.put(s3_stub.store.buckets["lab"], raw)
        outcome = await run(s3, copy_to=COPIES)
        assert outcome.top_hash == top_hash
        header, folder, first, second = manifest(production(s3_stub))
        assert header == {"version": "v0", "user_meta": {"é": 1e-7}, "message": None}
        assert folder == {"logical_key": "a/", "meta": {"user_meta": {"folder": True}}}
        assert [first["logical_key"], second["logical_key"]] == ["a/b", "a-b"]
        assert first["meta"] == {"user_meta": {"n": 1}, "other": [1]}

    async def test_their_checksums_are_trusted_only_if_copies_confirm_them(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        top_hash = self.put(s3_stub.store.buckets["lab"], raw)
        marks = []
        for fields in ({}, {"copy_to": COPIES}):
            await run(s3, **fields)
            written = production(s3_stub).get(f".quilt/packages/{top_hash}")
            assert written
            marks.append("quilt-packager" in written.metadata)
        assert marks == [False, True]


class TestRefusals:
    async def test_unknown_package(self, s3: S3, raw: Bucket) -> None:
        with pytest.raises(NoSuchRevision, match="runs/42"):
            await run(s3)

    async def test_unknown_top_hash(self, s3: S3, raw: Bucket) -> None:
        with pytest.raises(InvalidManifest, match="NoSuchKey"):
            await run(s3, top_hash="a" * 64)

    async def test_changed_manifest(self, s3: S3, s3_stub: S3Stub, raw: Bucket) -> None:
        lab = s3_stub.store.buckets["lab"]
        top_hash = put_package(lab, [], Header(None, "m"))
        lab.put(f".quilt/packages/{top_hash}", b'{"version": "v0", "message": "other"}\n')
        with pytest.raises(InvalidManifest, match="another top hash"):
            await run(s3)

    async def test_size_that_no_object_has(self, s3: S3, s3_stub: S3Stub, raw: Bucket) -> None:
        entry = Entry("a.txt", "s3://raw/r/a.txt", 2**63, Checksum("SHA256", "ab" * 32))
        put_package(s3_stub.store.buckets["lab"], [entry], Header(None, "m"))
        with pytest.raises(InvalidManifest, match="a line is malformed"):
            await run(s3)

    async def test_legacy_checksum(self, s3: S3, s3_stub: S3Stub, raw: Bucket) -> None:
        entry = Entry("a.txt", "s3://raw/r/a.txt", 1, Checksum("SHA256", "ab"))
        put_package(s3_stub.store.buckets["lab"], [entry], Header(None, "m"))
        with pytest.raises(InvalidManifest, match=r'"a\.txt"'):
            await run(s3, copy_to=COPIES)
        assert (await run(s3)).outcome is PromotionResult.PROMOTED


async def test_a_manifest_that_other_packages_have_too_is_not_changed_silently(
    s3: S3, s3_stub: S3Stub, raw: Bucket
) -> None:
    source = await package_request(s3, request_of(MESSAGE))
    await run(s3)
    folders = [COPIES, SourceFolder("production", "more/")]
    outcomes = [await run(s3, copy_to=each) for each in folders]
    inside = PromotionRequest(
        source=SOURCE, target=Package("lab", "runs/43"), copy_to=COPIES, promoted_by="ann"
    )
    outcomes.append(await promote(inside, s3=s3))
    for outcome in outcomes:
        assert outcome.remark is not None
        assert f"{source.top_hash} in {outcome.registry} names the copies in" in outcome.remark
        assert outcome.copied_to is not None
        assert outcome.copied_to in outcome.remark
    assert (await run(s3)).remark is None
