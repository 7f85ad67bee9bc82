"""Each route to an object's checksum gives what quilt3 computes of its bytes."""

from collections.abc import Sequence
from functools import cache

import msgspec
import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.formats.checksums import chunk_ranges
from quilt_packager_runtime.formats.objects import Checksum, ChecksumAlgorithm

from tests.hashes import CRC64NVME, MIB, SHA256, hash_bucket, quilt3_checksum
from tests.s3_stub import Pattern, S3Stub

CHUNK_BYTES = 8 * MIB
SIZES = [1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 300 * MIB]
ALGORITHMS = [SHA256, CRC64NVME]


class Requests(msgspec.Struct):
    """The requests of a route for one object."""

    heads: int = 1
    attributes: int = 0
    reads: int = 0
    copies: int = 0


def body(size_bytes: int) -> Pattern:
    """Repeats a text of an odd length: no two chunks are equal, so their order counts."""
    return Pattern(size_bytes, "odd".ljust(100 - len(str(size_bytes)), "."))


@cache
def expected_checksum(algorithm: ChecksumAlgorithm, size_bytes: int) -> Checksum:
    return quilt3_checksum(body(size_bytes).read(0, size_bytes), algorithm)


def chunk_sizes(size_bytes: int) -> list[int]:
    return [last - first + 1 for first, last in chunk_ranges(size_bytes)]


async def check(
    s3: S3,
    stub: S3Stub,
    algorithm: ChecksumAlgorithm,
    size_bytes: int,
    expected: Requests,
    *,
    stored: Sequence[str] = (),
    part_sizes: Sequence[int] = (),
    scratch_bucket: str | None = None,
) -> None:
    scratch = stub.create_bucket("scratch")
    bucket = stub.create_bucket("raw")
    bucket.put("k", body(size_bytes), stored=stored, part_sizes=part_sizes, etag="0123")
    hashed = await hash_bucket(s3, checksum_algorithms=(algorithm,), scratch_bucket=scratch_bucket)
    assert hashed.checksums == [expected_checksum(algorithm, size_bytes)]
    assert (
        Requests(
            heads=stub.counts["HeadObject"],
            attributes=stub.counts["GetObjectAttributes"],
            reads=stub.counts["GetObject"],
            copies=stub.counts["UploadPartCopy"],
        )
        == expected
    )
    assert not scratch.uploads


def test_no_two_chunks_of_the_bodies_are_equal() -> None:
    chunks = [body(300 * MIB).read(first, 100) for first, _ in chunk_ranges(300 * MIB)]
    assert len(set(chunks)) == len(chunks)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_an_empty_object(s3: S3, s3_stub: S3Stub, algorithm: ChecksumAlgorithm) -> None:
    await check(s3, s3_stub, algorithm, 0, Requests(heads=0), scratch_bucket="scratch")


@pytest.mark.parametrize("size_bytes", [1, CHUNK_BYTES - 1, CHUNK_BYTES])
async def test_a_stored_sha256_of_one_chunk(s3: S3, s3_stub: S3Stub, size_bytes: int) -> None:
    await check(s3, s3_stub, SHA256, size_bytes, Requests(), stored=["SHA256"])


@pytest.mark.parametrize("size_bytes", SIZES)
async def test_a_stored_crc64nvme(s3: S3, s3_stub: S3Stub, size_bytes: int) -> None:
    await check(s3, s3_stub, CRC64NVME, size_bytes, Requests(), stored=["CRC64NVME"])


@pytest.mark.parametrize("size_bytes", [1, CHUNK_BYTES - 1, CHUNK_BYTES])
async def test_a_stored_composite_of_one_part(s3: S3, s3_stub: S3Stub, size_bytes: int) -> None:
    await check(
        s3, s3_stub, SHA256, size_bytes, Requests(), stored=["SHA256"], part_sizes=[size_bytes]
    )


@pytest.mark.parametrize("size_bytes", [CHUNK_BYTES + 1, 300 * MIB])
async def test_a_stored_composite_of_quilts_parts(s3: S3, s3_stub: S3Stub, size_bytes: int) -> None:
    part_sizes = chunk_sizes(size_bytes)
    await check(
        s3,
        s3_stub,
        SHA256,
        size_bytes,
        Requests(attributes=1),
        stored=["SHA256"],
        part_sizes=part_sizes,
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("size_bytes", SIZES)
async def test_bytes_read_here(
    s3: S3, s3_stub: S3Stub, algorithm: ChecksumAlgorithm, size_bytes: int
) -> None:
    reads = len(chunk_sizes(size_bytes))
    await check(s3, s3_stub, algorithm, size_bytes, Requests(reads=reads))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("size_bytes", [CHUNK_BYTES, CHUNK_BYTES + 1, 300 * MIB])
async def test_copies_inside_s3(
    s3: S3, s3_stub: S3Stub, algorithm: ChecksumAlgorithm, size_bytes: int
) -> None:
    copies = len(chunk_sizes(size_bytes))
    await check(
        s3, s3_stub, algorithm, size_bytes, Requests(copies=copies), scratch_bucket="scratch"
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("size_bytes", [1, CHUNK_BYTES - 1])
async def test_small_objects_are_read_instead_of_copied(
    s3: S3, s3_stub: S3Stub, algorithm: ChecksumAlgorithm, size_bytes: int
) -> None:
    await check(s3, s3_stub, algorithm, size_bytes, Requests(reads=1), scratch_bucket="scratch")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("size_bytes", [CHUNK_BYTES, CHUNK_BYTES + 1, 300 * MIB])
async def test_copies_without_a_checksum_are_followed_by_reads(
    s3: S3, s3_stub: S3Stub, algorithm: ChecksumAlgorithm, size_bytes: int
) -> None:
    s3_stub.store.copies_return_checksums = False
    reads = len(chunk_sizes(size_bytes))
    await check(
        s3,
        s3_stub,
        algorithm,
        size_bytes,
        Requests(copies=1, reads=reads),
        scratch_bucket="scratch",
    )


@pytest.mark.parametrize(
    ("stored", "part_sizes"),
    [
        pytest.param(["SHA256"], [], id="sha256-of-the-whole"),
        pytest.param(["SHA256"], [5 * MIB, 6 * MIB], id="other-parts"),
        pytest.param(["SHA256"], [11 * MIB], id="one-part"),
        pytest.param(["SHA256"], [5 * MIB, 5 * MIB, MIB], id="more-parts"),
        pytest.param(["CRC64NVME"], [8 * MIB, 3 * MIB], id="crc64nvme"),
        pytest.param(["CRC32"], [8 * MIB, 3 * MIB], id="crc32"),
        pytest.param(["SHA1"], [8 * MIB, 3 * MIB], id="sha1"),
    ],
)
async def test_stored_checksums_of_another_kind_are_not_used(
    s3: S3, s3_stub: S3Stub, stored: list[str], part_sizes: list[int]
) -> None:
    right_number = stored == ["SHA256"] and len(part_sizes) == 2  # S3 is asked for their sizes
    await check(
        s3,
        s3_stub,
        SHA256,
        11 * MIB,
        Requests(attributes=int(right_number), reads=2),
        stored=stored,
        part_sizes=part_sizes,
    )


@pytest.mark.parametrize("stored", [["SHA256"], ["CRC32"], []])
async def test_a_missing_crc64nvme_is_computed(s3: S3, s3_stub: S3Stub, stored: list[str]) -> None:
    await check(s3, s3_stub, CRC64NVME, 11 * MIB, Requests(reads=2), stored=stored)
