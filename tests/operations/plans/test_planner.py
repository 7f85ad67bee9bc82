"""Plans of packages, with the S3 stub."""

import hashlib
import json
from typing import Any

import msgspec
import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import Rejected
from quilt_packager_runtime.formats.objects import ChecksumAlgorithm
from quilt_packager_runtime.formats.outcome import Outcome
from quilt_packager_runtime.requests.package_request import UnresolvedRequest
from quilt_packager_runtime.settings import Settings

from quilt_packager.operations.plans import planner, sampling
from quilt_packager.operations.plans.plan import Plan
from quilt_packager.operations.plans.planner import plan
from quilt_packager.operations.plans.prices import count_kinds
from quilt_packager.operations.plans.sampling import Basis
from tests.other_writers import README, add, publish_edit
from tests.package_requests import package_request, request_of
from tests.s3_stub import Bucket, Pattern, S3Stub, Versioning

MIB = 2**20
WORKFLOWS = """
version: "1"
workflows:
  strict:
    name: Strict
    is_message_required: true
    handle_pattern: ^strict/
default_workflow: strict
"""
ENGINE = Settings(scratch_bucket="scratch", state_machine_arn="arn:machine")


@pytest.fixture
def raw(s3_stub: S3Stub) -> Bucket:
    return s3_stub.create_bucket("raw")


@pytest.fixture
def packages(s3_stub: S3Stub) -> Bucket:
    return s3_stub.create_bucket("packages")


def request(**fields: Any) -> UnresolvedRequest:
    message = {"source_prefix": "s3://raw/runs/42/", "registry": "packages", **fields}
    return request_of(message)


async def make(
    s3: S3, settings: Settings | None = None, *, exact: bool = False, **fields: Any
) -> Plan:
    return await plan(request(**fields), settings=settings or Settings(), s3=s3, exact=exact)


class TestChecksumLists:
    @pytest.fixture
    def listed(self, raw: Bucket, packages: Bucket) -> str:
        data = bytes(20 * MIB)
        raw.put("runs/42/a.bam", data, part_sizes=[20 * MIB], stored=["SHA256"])
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        raw.put("runs/42/a.bam.md5", md5, stored=["SHA256"])
        return "a.bam.md5"

    async def test_of_the_sender_are_read_and_noted(self, s3: S3, listed: str) -> None:
        made = await make(s3)
        assert f'It compares the files of "{listed}"' in made.notes

    @pytest.mark.parametrize("exact", [True, False])
    async def test_cost_the_reads_of_their_files(
        self, s3: S3, s3_stub: S3Stub, listed: str, *, exact: bool
    ) -> None:
        made = await make(s3, exact=exact, verify_checksums=[listed])
        assert f'It compares the files of "{listed}", and reads 20 MiB for it' in made.notes
        assert made.estimate
        s3_stub.forget_requests()
        await publish(s3, verify_checksums=[listed])
        assert made.estimate.requests == count_kinds(s3_stub.counts)


async def publish(s3: S3, settings: Settings | None = None, **fields: Any) -> Outcome:
    return await package_request(s3, request(**fields), settings)


def codes(made: Plan) -> list[str]:
    return [each.code for each in made.refusals]


async def test_nothing_is_written_and_no_object_is_read(
    s3: S3, s3_stub: S3Stub, raw: Bucket, packages: Bucket
) -> None:
    raw.put("runs/42/small", b"hello", stored=[])
    raw.put("runs/42/large", Pattern(20 * MIB), stored=[])
    raw.put("runs/42/archived", b"old", stored=["SHA256"], storage_class="GLACIER")
    packages.put(".quilt/workflows/config.yml", WORKFLOWS.encode())
    for exact in (False, True):
        await make(s3, ENGINE, exact=exact, package_name="strict/a")
    assert {each.method for each in s3_stub.requests} == {"GET", "HEAD"}
    read = {each.key for each in s3_stub.requests_of("GetObject")}
    assert not {key for key in read if key.startswith("runs/")}


class TestPackage:
    @pytest.fixture(autouse=True)
    def folder(self, raw: Bucket, packages: Bucket) -> None:
        raw.put("runs/42/a.txt", b"hello", stored=["SHA256"])
        raw.put("runs/42/b/c.txt", b"hello you", stored=["SHA256"])

    async def test_the_name_and_the_registry_are_those_of_the_job(self, s3: S3) -> None:
        made = await make(s3)
        assert (made.package_name, made.registry) == ("runs/42", "packages")

    async def test_a_name_by_template_is_made_of_the_crate(self, s3: S3, raw: Bucket) -> None:
        wanted = msgspec.structs.replace(request(), name_template="runs/{name}")
        crate = {
            "@context": "https://w3id.org/ro/crate/1.1/context",
            "@graph": [
                {
                    "@id": "ro-crate-metadata.json",
                    "@type": "CreativeWork",
                    "about": {"@id": "./"},
                },
                {"@id": "./", "@type": "Dataset", "name": "happy-einstein"},
            ],
        }
        raw.put("runs/42/ro-crate-metadata.json", json.dumps(crate).encode())
        made = await plan(wanted, settings=Settings(), s3=s3)
        outcome = await package_request(s3, wanted)
        assert made.package_name == outcome.package_name

    async def test_the_first_revision_is_number_one(self, s3: S3) -> None:
        made = await make(s3)
        assert (made.revision, made.unchanged) == (1, None)

    async def test_a_change_makes_the_next_revision(self, s3: S3, raw: Bucket) -> None:
        await publish(s3)
        raw.put("runs/42/new", b"x")
        made = await make(s3)
        assert (made.revision, made.unchanged) == (2, None)

    async def test_a_name_of_another_folder_is_refused(self, s3: S3, raw: Bucket) -> None:
        await publish(s3)
        raw.put("/runs/42/a.txt", b"other")
        made = await make(s3, source_prefix="s3://raw//runs/42/")
        assert codes(made) == ["PackageNameTaken"]

    async def test_a_revision_of_another_writer_is_noted_or_refused(
        self, s3: S3, packages: Bucket
    ) -> None:
        packages.put(".quilt/packages/" + "f" * 64, b'{"version": "v0"}\n')
        packages.put(".quilt/named_packages/runs/42/latest", "f" * 64)
        made = await make(s3)
        assert any(note.startswith(f"It replaces {'f' * 64}") for note in made.notes)
        assert codes(await make(s3, on_foreign_revision="hold")) == ["HeldForReview"]

    async def test_changes_of_another_writer_that_are_replaced_are_named(
        self, s3: S3, packages: Bucket
    ) -> None:
        await publish(s3)
        alone = await make(s3)
        foreign = publish_edit(packages, "runs/42", add(README))
        made = await make(s3)
        assert (made.replaced, made.replaced_changes) == (foreign, '"README.md"')
        assert alone.estimate is not None
        assert made.estimate is not None
        assert made.estimate.requests["GET"] == alone.estimate.requests["GET"]

    async def test_changes_of_another_writer_to_carry_are_noted(
        self, s3: S3, packages: Bucket
    ) -> None:
        await publish(s3)
        foreign = publish_edit(packages, "runs/42", add(README))
        made = await make(s3, on_foreign_revision="carry")
        assert any(note.startswith(f"It carries 1 entry of {foreign}") for note in made.notes)
        assert made.checksums is not None
        assert made.contents is not None
        assert made.checksums.reusable == made.contents.objects
        assert (made.refusals, made.unchanged, made.revision) == ((), None, 3)

    async def test_an_identical_folder_is_unchanged(self, s3: S3) -> None:
        outcome = await publish(s3)
        made = await make(s3)
        assert (made.revision, made.unchanged, made.top_hash) == (1, True, outcome.top_hash)

    async def test_another_message_alone_makes_another_revision(self, s3: S3) -> None:
        await publish(s3)
        made = await make(s3, commit_message="Other words")
        assert (made.revision, made.unchanged) == (2, False)
        outcome = await publish(s3, commit_message="Other words")
        assert made.top_hash == outcome.top_hash

    async def test_the_plan_names_the_workflow(self, s3: S3, packages: Bucket) -> None:
        packages.put(".quilt/workflows/config.yml", WORKFLOWS.encode())
        made = await make(s3, package_name="strict/a")
        assert (made.workflow, made.refusals) == ("strict", ())

    async def test_without_workflows_the_plan_names_none(self, s3: S3) -> None:
        assert (await make(s3)).workflow is None

    async def test_excluded_objects_do_not_count(self, s3: S3) -> None:
        made = await make(s3, exclude=["b/*"])
        assert made.contents is not None
        assert made.contents.objects == 1

    async def test_a_file_that_its_checksum_list_names_is_required(
        self, s3: S3, raw: Bucket
    ) -> None:
        raw.put("runs/42/gone.md5", "d41d8cd98f00b204e9800998ecf8427e")
        made = await make(s3, verify_checksums=["*.md5"])
        assert [each.code for each in made.refusals] == ["Incomplete"]

    async def test_a_folder_that_lacks_required_files_is_refused(self, s3: S3) -> None:
        made = await make(s3, require=[{"files": ["done.txt"]}])
        assert [each.code for each in made.refusals] == ["Incomplete"]


class TestChecksums:
    @pytest.fixture(autouse=True)
    def buckets(self, raw: Bucket, packages: Bucket) -> None:
        pass

    async def test_the_listing_suffices_without_queries(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        raw.put("runs/42/stored", b"hello", stored=["SHA256"])
        raw.put("runs/42/absent", b"hello", stored=["CRC64NVME"])
        raw.put("runs/42/empty", b"", stored=[])
        made = await make(s3)
        assert made.checksums is not None
        assert (made.checksums.stored, made.checksums.computed) == (2, 1)
        assert made.checksums.computed_bytes == 5
        assert made.checksums.basis is Basis.LISTING
        assert s3_stub.counts["HeadObject"] == 0

    async def test_only_algorithms_of_the_engine_count(self, s3: S3, raw: Bucket) -> None:
        raw.put("runs/42/a", b"hello", stored=["CRC64NVME"])
        made = await make(s3, Settings(checksum_algorithms=(ChecksumAlgorithm.CRC64NVME,)))
        assert made.checksums is not None
        assert (made.checksums.stored, made.checksums.computed) == (1, 0)

    async def test_checksums_of_parts_are_queried(self, s3: S3, raw: Bucket) -> None:
        parts = Pattern(20 * MIB)
        raw.put("runs/42/chunks", parts, stored=["SHA256"], part_sizes=[8 * MIB, 8 * MIB, 4 * MIB])
        raw.put("runs/42/other", parts, stored=["SHA256"], part_sizes=[10 * MIB, 10 * MIB])
        made = await make(s3)
        assert made.checksums is not None
        assert (made.checksums.stored, made.checksums.computed) == (1, 1)
        assert (made.checksums.basis, made.checksums.asked) == (Basis.ASKED, 2)

    async def test_a_sample_stands_for_many(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sampling, "SAMPLE_OBJECTS", 8)
        for n in range(40):
            raw.put(f"runs/42/{n:02}", b"x", stored=[])
        made = await make(s3)
        assert made.checksums is not None
        assert (made.checksums.stored, made.checksums.computed) == (0, 40)
        assert (made.checksums.basis, made.checksums.asked) == (Basis.SAMPLE, 8)
        assert s3_stub.counts["HeadObject"] == 8

    async def test_an_unusable_checksum_in_the_listing_is_not_queried(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        raw.put("runs/42/small", b"x", stored=["CRC32"])
        raw.put("runs/42/large", Pattern(9 * MIB), stored=["CRC64NVME"])
        made = await make(s3)
        assert made.checksums is not None
        assert (made.checksums.computed, made.checksums.basis) == (2, Basis.LISTING)
        assert s3_stub.counts["HeadObject"] == 0

    async def test_exact_queries_each_object(self, s3: S3, s3_stub: S3Stub, raw: Bucket) -> None:
        raw.put("runs/42/stored", b"x", stored=["SHA256"])
        raw.put("runs/42/absent", b"x", stored=[])
        raw.put("runs/42/empty", b"")
        made = await make(s3, exact=True)
        assert made.checksums is not None
        assert (made.checksums.stored, made.checksums.computed) == (2, 1)
        assert (made.checksums.basis, made.checksums.asked) == (Basis.ASKED, 2)
        assert s3_stub.counts["HeadObject"] == 2

    async def test_exact_computes_the_top_hash_if_all_checksums_are_stored(
        self, s3: S3, raw: Bucket
    ) -> None:
        raw.put("runs/42/a", b"x", stored=["SHA256"])
        made = await make(s3, exact=True)
        assert made.top_hash == (await publish(s3)).top_hash

    async def test_checksums_of_the_last_revision_are_reusable(self, s3: S3, raw: Bucket) -> None:
        raw.put("runs/42/old", b"x", stored=[])
        await publish(s3)
        raw.put("runs/42/new", b"hello", stored=["CRC64NVME"])
        made = await make(s3)
        assert made.checksums is not None
        assert (made.checksums.reusable, made.checksums.computed) == (1, 1)

    async def test_objects_without_versions_are_hashed_again(self, s3: S3, s3_stub: S3Stub) -> None:
        raw = s3_stub.create_bucket("raw", versioning=Versioning.OFF)
        raw.put("runs/42/a", b"x", stored=[])
        await publish(s3)
        made = await make(s3)
        assert made.checksums is not None
        assert (made.checksums.reusable, made.checksums.computed) == (0, 1)

    async def test_archived_objects_with_stored_checksums_are_noted(
        self, s3: S3, raw: Bucket
    ) -> None:
        raw.put("runs/42/a", b"hello", stored=["SHA256"], storage_class="DEEP_ARCHIVE")
        made = await make(s3)
        assert made.refusals == ()
        assert made.notes == ("1 object is archived; its stored checksum is sufficient",)

    @pytest.mark.parametrize("exact", [False, True])
    async def test_restored_objects_are_read(self, s3: S3, raw: Bucket, *, exact: bool) -> None:
        raw.put("runs/42/a", b"hello", stored=[], storage_class="GLACIER", restored=True)
        raw.put("runs/42/b", b"hello", stored=["SHA256"], storage_class="GLACIER")
        made = await make(s3, exact=exact)
        assert made.refusals == ()
        assert made.notes == ("1 archived object is restored, and will be read",)
        assert made.checksums is not None
        assert (made.checksums.stored, made.checksums.computed) == (1, 1)
        assert made.checksums.computed_bytes == 5

    @pytest.mark.parametrize("exact", [False, True])
    async def test_objects_that_s3_batch_operations_hashes_are_noted_with_their_price(
        self, s3: S3, raw: Bucket, *, exact: bool
    ) -> None:
        raw.put("runs/42/a", b"hello", stored=[], storage_class="GLACIER")
        role = "arn:aws:iam::123456789012:role/Batch"
        settings = Settings(scratch_bucket="scratch", state_machine_arn="m", batch_role_arn=role)
        made = await make(s3, settings, exact=exact)
        assert made.refusals == ()
        assert made.notes[0].startswith(
            "1 archived object is hashed by S3 Batch Operations without a restore, for about $0.25"
        )
        assert made.checksums is not None
        assert (made.checksums.computed, made.checksums.computed_bytes) == (1, 0)
        assert made.estimate is not None
        assert made.estimate.usd > 0.25
        assert made.route is not None
        assert made.route.is_large
        assert made.route.why == "S3 Batch Operations hashes archived objects"


class TestRefusals:
    @pytest.fixture(autouse=True)
    def buckets(self, raw: Bucket, packages: Bucket) -> None:
        pass

    async def test_an_empty_folder_is_refused(self, s3: S3) -> None:
        made = await make(s3)
        assert codes(made) == ["EmptySource"]
        assert made.contents is None

    async def test_invalid_keys_are_refused(self, s3: S3, raw: Bucket) -> None:
        raw.put("runs/42/a//b", b"x", stored=["SHA256"])
        made = await make(s3)
        assert codes(made) == ["InvalidKeys"]
        assert made.contents is not None
        assert made.estimate is None

    async def test_archived_objects_without_a_checksum_are_refused(
        self, s3: S3, raw: Bucket
    ) -> None:
        raw.put("runs/42/a", b"hello", stored=[], storage_class="GLACIER")
        made = await make(s3)
        assert codes(made) == ["ArchivedObjects"]
        assert "runs/42/a" in made.refusals[0].happened

    async def test_a_bucket_that_is_not_allowed_receives_no_request(
        self, s3: S3, s3_stub: S3Stub
    ) -> None:
        made = await make(s3, Settings(source_buckets=("other",)))
        assert codes(made) == ["BucketNotAllowed"]
        assert not s3_stub.counts

    async def test_all_errors_are_reported_at_once(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket, packages: Bucket
    ) -> None:
        packages.put(".quilt/workflows/config.yml", WORKFLOWS.encode())
        raw.put("runs/42/a//b", b"x", stored=["SHA256"])
        raw.put("runs/42/old", b"hello", stored=[], storage_class="GLACIER")
        raw.put("runs/42/own", Pattern(9 * MIB), stored=["SHA256"], part_sizes=[9 * MIB])
        s3_stub.on("*Object", key="runs/42/own", times=None).answer(400, "InvalidRequest")
        made = await make(s3)
        assert codes(made) == [
            "InvalidKeys",
            "WorkflowViolations",
            "ArchivedObjects",
            "UnreadableObjects",
        ]

    async def test_missing_metadata_is_refused(self, s3: S3, raw: Bucket) -> None:
        raw.put("runs/42/a", b"hello", stored=["SHA256"])
        made = await make(s3, metadata_uri="missing.json")
        assert codes(made) == ["InvalidMetadata"]

    async def test_a_missing_registry_is_refused(self, s3: S3, raw: Bucket) -> None:
        raw.put("runs/42/a", b"hello", stored=["SHA256"])
        made = await make(s3, registry="nowhere")
        assert codes(made) == ["NoSuchBucket"]

    async def test_a_folder_that_may_not_be_listed_is_refused(
        self, s3: S3, s3_stub: S3Stub
    ) -> None:
        s3_stub.deny("ListObjectVersions")
        assert codes(await make(s3)) == ["AccessDenied"]

    async def test_the_quarantine_is_noted(self, s3: S3, raw: Bucket, packages: Bucket) -> None:
        packages.put(".quilt/workflows/config.yml", WORKFLOWS.encode())
        raw.put("runs/42/a", b"hello", stored=["SHA256"])
        made = await make(s3, Settings(quarantine_registry="aside"))
        assert made.notes == ("It would be quarantined in aside",)

    async def test_the_plan_refuses_what_the_job_does(self, s3: S3, raw: Bucket) -> None:
        raw.put("runs/42/a", b"hello")
        raw.put("runs/42/a/b", b"hello")
        with pytest.raises(Rejected) as raised:
            await publish(s3)
        (refusal,) = (await make(s3)).refusals
        assert (refusal.code, refusal.happened) == (raised.value.code, raised.value.happened)


class TestRoute:
    @pytest.fixture(autouse=True)
    def folder(self, raw: Bucket, packages: Bucket) -> None:
        for n in range(10):
            raw.put(f"runs/42/{n}", b"hello", stored=["SHA256"])

    async def test_a_usual_job_is_done_inline(self, s3: S3) -> None:
        made = await make(s3, ENGINE)
        assert made.route is not None
        assert (made.route.is_large, made.route.why) == (False, "")

    async def test_too_many_objects_make_a_large_job(self, s3: S3) -> None:
        settings = Settings(
            scratch_bucket="s", state_machine_arn="a", max_inline_objects=9, max_shard_objects=4
        )
        made = await make(s3, settings)
        assert made.route is not None
        assert made.route.is_large
        assert made.route.why == "10 checksums to find, more than 9"
        assert made.route.shards == 3

    async def test_too_many_bytes_make_a_large_job(self, s3: S3, raw: Bucket) -> None:
        raw.put("runs/42/big", b"hello", stored=["CRC64NVME"])
        settings = Settings(scratch_bucket="s", state_machine_arn="a", max_inline_bytes=4)
        made = await make(s3, settings)
        assert made.route is not None
        assert made.route.why == "5 B to hash, more than 4 B"

    async def test_without_a_state_machine_no_job_is_large(self, s3: S3) -> None:
        made = await make(s3, Settings(max_inline_objects=9))
        assert made.route is not None
        assert not made.route.is_large
        assert made.route.why.endswith("and the engine has no state machine")


class TestEstimate:
    @pytest.fixture(autouse=True)
    def buckets(self, raw: Bucket, packages: Bucket) -> None:
        pass

    async def compare(self, s3: S3, s3_stub: S3Stub, settings: Settings) -> None:
        """The plan's requests are those of the job."""
        made = await make(s3, settings)
        s3_stub.forget_requests()
        await publish(s3, settings)
        assert made.estimate is not None
        sent = {kind: count for kind, count in count_kinds(s3_stub.counts).items() if count}
        assert made.estimate.requests == sent

    @pytest.mark.parametrize("count", [1, 30, 1900])
    async def test_requests_of_stored_checksums(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket, count: int
    ) -> None:
        for n in range(count):
            raw.put(f"runs/42/{n:05}", b"x", stored=["SHA256"])
        await self.compare(s3, s3_stub, Settings())

    async def test_requests_of_small_objects_to_read(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        for n in range(9):
            raw.put(f"runs/42/{n}", b"x" * n, stored=["CRC64NVME"])
        await self.compare(s3, s3_stub, Settings())

    async def test_requests_of_large_objects_to_copy(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        s3_stub.create_bucket("scratch")
        raw.put("runs/42/large", Pattern(20 * MIB), stored=["CRC64NVME"])
        await self.compare(s3, s3_stub, Settings(scratch_bucket="scratch"))

    async def test_requests_of_large_objects_to_read(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        raw.put("runs/42/large", Pattern(20 * MIB), stored=["CRC64NVME"])
        await self.compare(s3, s3_stub, Settings())

    async def test_requests_of_stored_parts(self, s3: S3, s3_stub: S3Stub, raw: Bucket) -> None:
        raw.put(
            "runs/42/large",
            Pattern(20 * MIB),
            stored=["SHA256"],
            part_sizes=[8 * MIB, 8 * MIB, 4 * MIB],
        )
        await self.compare(s3, s3_stub, Settings())

    async def test_requests_of_an_unchanged_folder(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        raw.put("runs/42/a", b"x", stored=["SHA256"])
        await publish(s3)
        await self.compare(s3, s3_stub, Settings())

    async def test_requests_of_the_next_revision(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        raw.put("runs/42/a", b"x", stored=["SHA256"])
        await publish(s3)
        raw.put("runs/42/b", b"x", stored=["SHA256"])
        await self.compare(s3, s3_stub, Settings())

    async def test_more_work_takes_longer_and_costs_more(self, s3: S3, raw: Bucket) -> None:
        raw.put("runs/42/a", b"x", stored=["SHA256"])
        small = (await make(s3)).estimate
        raw.put("runs/42/b", Pattern(40 * MIB), stored=["CRC64NVME"])
        large = (await make(s3)).estimate
        assert small is not None
        assert large is not None
        assert large.usd > small.usd > 0
        assert large.seconds[0] > small.seconds[0]
        assert small.seconds[0] < small.seconds[1]

    @pytest.mark.parametrize(("seconds", "is_large"), [(0, True), (3, False), (900, False)])
    async def test_a_job_that_exceeds_an_invocation_is_large(
        self, s3: S3, raw: Bucket, monkeypatch: pytest.MonkeyPatch, seconds: int, is_large: bool
    ) -> None:
        monkeypatch.setattr(planner, "INVOCATION_SECONDS", seconds)
        raw.put("runs/42/a", b"x", stored=["SHA256"])
        made = await make(s3, ENGINE)
        assert made.route is not None
        assert (made.route.is_large, bool(made.notes)) == (is_large, seconds == 3)


async def test_fields_that_the_newest_revision_alone_has_are_named(
    s3: S3, raw: Bucket, packages: Bucket
) -> None:
    raw.put("runs/42/a.txt", b"hello")
    await publish(s3, metadata={"study": "A", "batch": 7})
    plan = await make(s3, metadata={"batch": 8})
    assert plan.metadata_lost == ("study",)
    assert any(note.endswith("would not have: study") for note in plan.notes)
    assert (await make(s3, metadata={"study": "A", "batch": 7})).metadata_lost == ()


async def test_whole_bucket_is_noted(s3: S3, raw: Bucket, packages: Bucket) -> None:
    raw.put("a.txt", b"hello")
    plan = await make(s3, source_prefix="s3://raw/", package_name="a/b")
    assert "It packages the whole bucket raw" in plan.notes
