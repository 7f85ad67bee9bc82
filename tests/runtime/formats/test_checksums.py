from base64 import b64encode
from hashlib import sha256
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quilt_packager_runtime.formats.checksums import (
    chunk_hasher,
    chunk_ranges,
    chunk_size_bytes,
    decode_digest,
    from_chunk_digests,
    from_stored,
    needs_part_sizes,
)
from quilt_packager_runtime.formats.objects import Checksum, ChecksumAlgorithm, StoredChecksums

SHA256 = ChecksumAlgorithm.SHA256_CHUNKED
CRC = ChecksumAlgorithm.CRC64NVME
MIB = 1024 * 1024
TIB = 1024**4

DIGEST = sha256(b"some bytes").digest()
DIGEST_TEXT = b64encode(DIGEST).decode()
CRC_TEXT = b64encode(b"12345678").decode()


def of(data: bytes, algorithm: ChecksumAlgorithm) -> Checksum:
    digests = []
    for first, last in chunk_ranges(len(data)):
        chunk = chunk_hasher(algorithm)
        chunk.update(data[first : last + 1])
        digests.append(chunk.digest())
    return from_chunk_digests(algorithm, len(data), digests)


def test_chunks_double_until_ten_thousand_are_enough() -> None:
    chunk_sizes = {
        0: 8 * MIB,
        10_000 * 8 * MIB: 8 * MIB,
        10_000 * 8 * MIB + 1: 16 * MIB,
        20_000 * 8 * MIB + 1: 32 * MIB,
        48 * TIB: 8 * 1024 * MIB,
    }
    assert {size: chunk_size_bytes(size) for size in chunk_sizes} == chunk_sizes


@given(st.integers(min_value=0, max_value=50 * TIB))
def test_an_object_has_at_most_ten_thousand_chunks(size_bytes: int) -> None:
    assert size_bytes <= chunk_size_bytes(size_bytes) * 10_000


def test_chunk_ranges_cover_the_object_once() -> None:
    for size_bytes in [0, 1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 10_000 * 8 * MIB + 5, 48 * TIB]:
        ranges = list(chunk_ranges(size_bytes))
        starts = [first for first, _ in ranges]
        ends = [last + 1 for _, last in ranges]
        assert [0, *ends] == [*starts, size_bytes]


def test_an_empty_object_has_a_single_sha256() -> None:
    assert of(b"", SHA256) == Checksum(
        "sha2-256-chunked", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    )


def test_an_empty_object_has_a_zero_crc() -> None:
    assert of(b"", CRC) == Checksum("CRC64NVME", "AAAAAAAAAAA=")


def test_an_object_of_one_chunk_is_hashed_twice() -> None:
    twice = sha256(sha256(b"hello").digest()).digest()

    assert of(b"hello", SHA256).value == b64encode(twice).decode()


def test_crc64nvme_of_a_known_text() -> None:
    # The check value of CRC-64/NVME in the catalogue of parametrised CRC algorithms.
    assert of(b"123456789", CRC).value == b64encode(bytes.fromhex("ae8b14860a799888")).decode()


@given(st.lists(st.binary(max_size=9), max_size=9), st.sampled_from(list(ChecksumAlgorithm)))
def test_slices_do_not_change_the_digest(slices: list[bytes], algorithm: ChecksumAlgorithm) -> None:
    sliced, whole = chunk_hasher(algorithm), chunk_hasher(algorithm)
    for each in slices:
        sliced.update(bytearray(each))
    whole.update(b"".join(slices))

    assert sliced.digest() == whole.digest()


def test_a_missing_chunk_is_rejected() -> None:
    with pytest.raises(ValueError, match="1 digests for 2 chunks"):
        from_chunk_digests(SHA256, 9 * MIB, [DIGEST])


def test_other_text_than_base64_of_a_digest_is_none() -> None:
    for text in [
        "",
        "AAAAAAAAAAA",  # no padding
        "AAAAAAAAAAB=",  # not canonical: bits beyond the digest
        "AAAAAAAAAAA=\n",
        "AAAA AAAAAAA=",
        "AAAAAAAAAAAAAA==",  # ten bytes
        "ÄAAAAAAAAAA=",
    ]:
        assert decode_digest(CRC, text) is None, text


def test_a_full_sha256_of_one_chunk_is_hashed_again() -> None:
    expected = Checksum("sha2-256-chunked", b64encode(sha256(DIGEST).digest()).decode())
    for kind, size_bytes in product(["FULL_OBJECT", None], [1, 8 * MIB - 1, 8 * MIB]):
        stored = StoredChecksums(sha256=DIGEST_TEXT, type=kind)
        assert from_stored(SHA256, size_bytes, stored) == expected


def test_a_full_sha256_of_more_than_one_chunk_is_not_usable() -> None:
    stored = StoredChecksums(sha256=DIGEST_TEXT, type="FULL_OBJECT")

    assert from_stored(SHA256, 8 * MIB + 1, stored) is None
    assert not needs_part_sizes(SHA256, 8 * MIB + 1, stored)


def test_a_composite_of_one_part_and_one_chunk_is_the_chunked_value() -> None:
    stored = StoredChecksums(sha256=DIGEST_TEXT + "-1", type="COMPOSITE")

    for size_bytes in [1, 8 * MIB]:
        assert from_stored(SHA256, size_bytes, stored) == Checksum("sha2-256-chunked", DIGEST_TEXT)
        assert not needs_part_sizes(SHA256, size_bytes, stored)


def test_a_composite_of_quilts_chunks_is_the_chunked_value() -> None:
    stored = StoredChecksums(sha256=DIGEST_TEXT + "-3", type="COMPOSITE")
    parts = [8 * MIB, 8 * MIB, 1]

    assert needs_part_sizes(SHA256, 16 * MIB + 1, stored)
    assert from_stored(SHA256, 16 * MIB + 1, stored, parts) == Checksum(
        "sha2-256-chunked", DIGEST_TEXT
    )


def test_a_composite_needs_its_part_sizes() -> None:
    stored = StoredChecksums(sha256=DIGEST_TEXT + "-3", type="COMPOSITE")

    assert from_stored(SHA256, 16 * MIB + 1, stored) is None


def test_a_composite_of_other_parts_is_not_usable() -> None:
    stored = StoredChecksums(sha256=DIGEST_TEXT + "-3", type="COMPOSITE")

    for parts in [[], [8 * MIB, 1, 8 * MIB], [16 * MIB, 1], [8 * MIB, 8 * MIB]]:
        assert from_stored(SHA256, 16 * MIB + 1, stored, parts) is None


def test_a_composite_of_another_number_of_parts_needs_no_part_sizes() -> None:
    for parts, size_bytes in [(1, 9 * MIB), (2, 5), (4, 20 * MIB)]:
        stored = StoredChecksums(sha256=f"{DIGEST_TEXT}-{parts}", type="COMPOSITE")
        assert not needs_part_sizes(SHA256, size_bytes, stored)
        assert from_stored(SHA256, size_bytes, stored) is None


def test_an_invalid_sha256_is_not_usable() -> None:
    for stored in [
        StoredChecksums(),
        StoredChecksums(type="FULL_OBJECT"),
        StoredChecksums(sha256="nonsense", type="FULL_OBJECT"),
        StoredChecksums(sha256=CRC_TEXT, type="FULL_OBJECT"),
        StoredChecksums(sha256=DIGEST_TEXT, type="COMPOSITE"),
        StoredChecksums(sha256=DIGEST_TEXT + "-1", type="FULL_OBJECT"),
        StoredChecksums(sha256=DIGEST_TEXT + "-0", type="COMPOSITE"),
        StoredChecksums(sha256=DIGEST_TEXT + "-", type="COMPOSITE"),
        StoredChecksums(sha256=DIGEST_TEXT + "-1-1", type="COMPOSITE"),
        StoredChecksums(sha256=DIGEST_TEXT + "-" + "9" * 5000, type="COMPOSITE"),
        StoredChecksums(crc64nvme=CRC_TEXT, type="FULL_OBJECT"),
    ]:
        assert from_stored(SHA256, 5, stored) is None
        assert not needs_part_sizes(SHA256, 5, stored)


def test_a_crc64nvme_of_the_full_object_is_usable_for_any_size() -> None:
    for kind in ["FULL_OBJECT", None]:
        stored = StoredChecksums(crc64nvme=CRC_TEXT, type=kind)
        assert from_stored(CRC, 100 * MIB, stored) == Checksum("CRC64NVME", CRC_TEXT)


def test_an_invalid_crc64nvme_is_not_usable() -> None:
    for stored in [
        StoredChecksums(crc64nvme=CRC_TEXT, type="COMPOSITE"),
        StoredChecksums(crc64nvme=CRC_TEXT + "-1", type="COMPOSITE"),
        StoredChecksums(crc64nvme=DIGEST_TEXT, type="FULL_OBJECT"),
        StoredChecksums(sha256=DIGEST_TEXT, type="FULL_OBJECT"),
    ]:
        assert from_stored(CRC, 5, stored) is None
        assert not needs_part_sizes(CRC, 5, stored)


def test_the_checksum_of_an_empty_object_is_known() -> None:
    for algorithm, stored in product(
        list(ChecksumAlgorithm),
        [
            StoredChecksums(),
            StoredChecksums(sha256=b64encode(sha256(b"").digest()).decode(), type="FULL_OBJECT"),
            StoredChecksums(sha256=DIGEST_TEXT + "-1", type="COMPOSITE"),
        ],
    ):
        assert from_stored(algorithm, 0, stored) == of(b"", algorithm)
        assert not needs_part_sizes(algorithm, 0, stored)
