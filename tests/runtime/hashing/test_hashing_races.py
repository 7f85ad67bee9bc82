"""An object that changes while it is hashed fails the job, or gets a correct hash.

The change occurs at each request of a job, before S3 applies it or after.
"""

import asyncio
from collections.abc import Callable

import msgspec
import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import SourceChanged
from quilt_packager_runtime.formats.objects import Checksum, SourceObject

from tests.hashes import MIB, hash_listed, list_folder, quilt3_checksum
from tests.s3_stub import Bucket, Pattern, Rule, S3Stub, Versioning

LARGE_BYTES = 11 * MIB
PARTS_OF_QUILT = (8 * MIB, 3 * MIB)
OTHER_PARTS = (5 * MIB, 6 * MIB)


class Content(msgspec.Struct, frozen=True):
    body: bytes | Pattern
    stored: tuple[str, ...] = ()
    part_sizes: tuple[int, ...] = ()

    def put(self, bucket: Bucket) -> None:
        bucket.put("k", self.body, stored=self.stored, part_sizes=self.part_sizes)


class Race(msgspec.Struct, frozen=True):
    """A listed object and its later change."""

    content: Content
    change: Callable[[Bucket], object]
    scratch_bucket: str | None = None


def delete(bucket: Bucket) -> None:
    bucket.delete("k")


def delete_version(bucket: Bucket) -> None:
    bucket.delete("k", bucket.versions("k")[0].version_id)


STORED = Content(b"before", ("SHA256",))
SMALL = Content(b"before")
WITHOUT_HEAD = Content(b"before", ("CRC32",))
LARGE_WITHOUT_HEAD = Content(Pattern(LARGE_BYTES, "before"), ("CRC32",))
LARGE = Content(Pattern(LARGE_BYTES, "before"))
LARGE_AFTER = Content(Pattern(LARGE_BYTES, "after"))
IN_PARTS = Content(Pattern(LARGE_BYTES, "before"), ("SHA256",), PARTS_OF_QUILT)
IN_OTHER_PARTS = Content(Pattern(LARGE_BYTES, "before"), ("SHA256",), OTHER_PARTS)
IN_PARTS_AFTER = Content(Pattern(LARGE_BYTES, "after"), ("SHA256",), PARTS_OF_QUILT)

RACES = {
    "stored, overwritten": Race(STORED, Content(b"after!", ("SHA256",)).put),
    "stored, deleted": Race(STORED, delete),
    "stored, version deleted": Race(STORED, delete_version),
    "one read, overwritten": Race(SMALL, Content(b"after!").put),
    "one read, grown": Race(SMALL, Content(b"after, and longer").put),
    "one read, shrunk": Race(SMALL, Content(b"a").put),
    "one read, emptied": Race(SMALL, Content(b"").put),
    "one read, deleted": Race(SMALL, delete),
    "one read, version deleted": Race(SMALL, delete_version),
    "read without a HEAD, overwritten": Race(WITHOUT_HEAD, Content(b"after!").put),
    "read without a HEAD, grown": Race(WITHOUT_HEAD, LARGE_AFTER.put),
    "read without a HEAD, emptied": Race(WITHOUT_HEAD, Content(b"").put),
    "read without a HEAD, version deleted": Race(WITHOUT_HEAD, delete_version),
    "copied without a HEAD, overwritten": Race(LARGE_WITHOUT_HEAD, LARGE_AFTER.put, "scratch"),
    "copied without a HEAD, version deleted": Race(LARGE_WITHOUT_HEAD, delete_version, "scratch"),
    "ranges, overwritten": Race(LARGE, LARGE_AFTER.put),
    "ranges, shrunk": Race(LARGE, SMALL.put),
    "ranges, deleted": Race(LARGE, delete),
    "ranges, version deleted": Race(LARGE, delete_version),
    "copies, overwritten": Race(LARGE, LARGE_AFTER.put, "scratch"),
    "copies, shrunk": Race(LARGE, SMALL.put, "scratch"),
    "copies, deleted": Race(LARGE, delete, "scratch"),
    "copies, version deleted": Race(LARGE, delete_version, "scratch"),
    "parts, overwritten": Race(IN_PARTS, IN_PARTS_AFTER.put),
    "parts, version deleted": Race(IN_PARTS, delete_version),
    "other parts, overwritten with Quilt's": Race(IN_OTHER_PARTS, IN_PARTS_AFTER.put),
    "other parts, the same bytes written in Quilt's": Race(IN_OTHER_PARTS, IN_PARTS.put),
}


async def list_anew(s3: S3, stub: S3Stub, race: Race, versioning: Versioning) -> list[SourceObject]:
    stub.reset()
    stub.create_bucket("scratch")
    race.content.put(stub.create_bucket("raw", versioning=versioning))
    listed = await list_folder(s3)
    stub.forget_requests()
    return listed


async def hash_one(s3: S3, listed: list[SourceObject], race: Race) -> Checksum:
    hashed = await hash_listed(
        s3,
        listed,
        names_checksums=bool(race.content.stored),
        scratch_bucket=race.scratch_bucket,
    )
    [checksum] = hashed.checksums
    return checksum


@pytest.mark.parametrize("versioning", Versioning, ids=lambda each: each.name)
@pytest.mark.parametrize("race", RACES.values(), ids=RACES)
async def test_a_changing_object_gets_a_correct_hash_or_fails_the_job(
    s3: S3, s3_stub: S3Stub, race: Race, versioning: Versioning
) -> None:
    listed = await list_anew(s3, s3_stub, race, versioning)
    data = s3_stub.store.buckets["raw"].versions("k")[0].data
    right = await hash_one(s3, listed, race)
    assert right == quilt3_checksum(data)

    for nth in range(1, len(s3_stub.requests) + 1):
        for stop in (Rule.pause_before, Rule.pause_after):
            listed = await list_anew(s3, s3_stub, race, versioning)
            pause = stop(s3_stub.on(nth=nth))
            job = asyncio.create_task(hash_one(s3, listed, race))
            await pause.reached()
            race.change(s3_stub.store.buckets["raw"])
            pause.open()
            try:
                assert await job == right
            except SourceChanged:
                # A version never changes; it can only be deleted.
                assert versioning is not Versioning.ENABLED or race.change is delete_version
            assert not s3_stub.store.buckets["scratch"].uploads


@pytest.mark.parametrize("versioning", [Versioning.OFF, Versioning.SUSPENDED])
@pytest.mark.parametrize(
    "content",
    [STORED, SMALL, LARGE, IN_PARTS, WITHOUT_HEAD],
    ids=["stored", "small", "large", "parts", "without a HEAD"],
)
async def test_an_object_overwritten_after_the_listing_fails_the_job(
    s3: S3, s3_stub: S3Stub, content: Content, versioning: Versioning
) -> None:
    race = Race(content, content.put)
    listed = await list_anew(s3, s3_stub, race, versioning)
    s3_stub.store.buckets["raw"].put("k", b"something else")
    with pytest.raises(SourceChanged, match="s3://raw/k changed"):
        await hash_one(s3, listed, race)
    first = "GetObject" if content is WITHOUT_HEAD else "HeadObject"
    asked = [request.operation for request in s3_stub.requests]
    assert asked == [first, "HeadObject", "ListObjectVersions"]
