from base64 import b64encode
from hashlib import sha256

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


@pytest.mark.parametrize(
    ("size_bytes", "expected"),
    [
        (0, 8 * MIB),
        (10_000 * 8 * MIB, 8 * MIB),
        (10_000 * 8 * MIB + 1, 16 * MIB),
        (20_000 * 8 * MIB + 1, 32 * MIB),
        (48 * TIB, 8 * 1024 * MIB),
    ],
)
def test_chunks_double_until_ten_thousand_are_enough(size_bytes: int, expected: int) -> None:
    assert chunk_size_bytes(size_bytes) == expected


@given(st.integers(min_value=0, max_value=50 * TIB))
def test_there_are_never_more_than_ten_thousand_chunks(size_bytes: int) -> None:
    assert size_bytes <= chunk_size_bytes(size_bytes) * 10_000


@pytest.mark.parametrize(
    "size_bytes", [0, 1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 10_000 * 8 * MIB + 5, 48 * TIB]
)
def test_chunk_ranges_cover_the_object_once(size_bytes: int) -> None:
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


def test_a_missing_chunk_is_refused() -> None:
    with pytest.raises(ValueError, match="1 digests for 2 chunks"):
        from_chunk_digests(SHA256, 9 * MIB, [DIGEST])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "AAAAAAAAAAA",  # no padding
        "AAAAAAAAAAB=",  # not canonical: bits beyond the digest
        "AAAAAAAAAAA=\n",
        "AAAA AAAAAAA=",
        "AAAAAAAAAAAAAA==",  # ten bytes
        "ÄAAAAAAAAAA=",
    ],
)
def test_what_is_no_base64_of_a_digest_is_none(text: str) -> None:
    assert decode_digest(CRC, text) is None


@pytest.mark.parametrize("kind", ["FULL_OBJECT", None])
@pytest.mark.parametrize("size_bytes", [1, 8 * MIB - 1, 8 * MIB])
def test_a_full_sha256_of_one_chunk_is_hashed_again(size_bytes: int, kind: str | None) -> None:
    stored = StoredChecksums(sha256=DIGEST_TEXT, type=kind)

    expected = b64encode(sha256(DIGEST).digest()).decode()
    assert from_stored(SHA256, size_bytes, stored) == Checksum("sha2-256-chunked", expected)


def test_a_full_sha256_of_more_than_one_chunk_does_not_serve() -> None:
    stored = StoredChecksums(sha256=DIGEST_TEXT, type="FULL_OBJECT")

    assert from_stored(SHA256, 8 * MIB + 1, stored) is None
    assert not needs_part_sizes(SHA256, 8 * MIB + 1, stored)


@pytest.mark.parametrize("size_bytes", [1, 8 * MIB])
def test_a_composite_of_one_part_and_one_chunk_is_not_hashed_again(size_bytes: int) -> None:
    stored = StoredChecksums(sha256=DIGEST_TEXT + "-1", type="COMPOSITE")

    assert from_stored(SHA256, size_bytes, stored) == Checksum("sha2-256-chunked", DIGEST_TEXT)
    assert not needs_part_sizes(SHA256, size_bytes, stored)


def test_a_composite_over_quilts_chunks_is_the_chunked_value() -> None:
    stored = StoredChecksums(sha256=DIGEST_TEXT + "-3", type="COMPOSITE")
    parts = [8 * MIB, 8 * MIB, 1]

    assert needs_part_sizes(SHA256, 16 * MIB + 1, stored)
    assert from_stored(SHA256, 16 * MIB + 1, stored, parts) == Checksum(
        "sha2-256-chunked", DIGEST_TEXT
    )


def test_a_composite_does_not_serve_before_its_part_sizes_are_known() -> None:
    stored = StoredChecksums(sha256=DIGEST_TEXT + "-3", type="COMPOSITE")

    assert from_stored(SHA256, 16 * MIB + 1, stored) is None


@pytest.mark.parametrize("parts", [[], [8 * MIB, 1, 8 * MIB], [16 * MIB, 1], [8 * MIB, 8 * MIB]])
def test_a_composite_over_other_parts_does_not_serve(parts: list[int]) -> None:
    stored = StoredChecksums(sha256=DIGEST_TEXT + "-3", type="COMPOSITE")

    assert from_stored(SHA256, 16 * MIB + 1, stored, parts) is None


@pytest.mark.parametrize(("parts", "size_bytes"), [(1, 9 * MIB), (2, 5), (4, 20 * MIB)])
def test_a_composite_of_another_number_of_parts_is_not_asked_about(
    parts: int, size_bytes: int
) -> None:
    stored = StoredChecksums(sha256=f"{DIGEST_TEXT}-{parts}", type="COMPOSITE")

    assert not needs_part_sizes(SHA256, size_bytes, stored)
    assert from_stored(SHA256, size_bytes, stored) is None


@pytest.mark.parametrize(
    "stored",
    [
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
    ],
    ids=repr,
)
def test_what_does_not_make_sense_does_not_serve(stored: StoredChecksums) -> None:
    assert from_stored(SHA256, 5, stored) is None
    assert not needs_part_sizes(SHA256, 5, stored)


@pytest.mark.parametrize("kind", ["FULL_OBJECT", None])
def test_a_crc64nvme_of_the_full_object_serves_for_any_size(kind: str | None) -> None:
    stored = StoredChecksums(crc64nvme=CRC_TEXT, type=kind)

    assert from_stored(CRC, 100 * MIB, stored) == Checksum("CRC64NVME", CRC_TEXT)


@pytest.mark.parametrize(
    "stored",
    [
        StoredChecksums(crc64nvme=CRC_TEXT, type="COMPOSITE"),
        StoredChecksums(crc64nvme=CRC_TEXT + "-1", type="COMPOSITE"),
        StoredChecksums(crc64nvme=DIGEST_TEXT, type="FULL_OBJECT"),
        StoredChecksums(sha256=DIGEST_TEXT, type="FULL_OBJECT"),
    ],
    ids=repr,
)
def test_another_crc64nvme_does_not_serve(stored: StoredChecksums) -> None:
    assert from_stored(CRC, 5, stored) is None
    assert not needs_part_sizes(CRC, 5, stored)


@pytest.mark.parametrize("algorithm", list(ChecksumAlgorithm))
@pytest.mark.parametrize(
    "stored",
    [
        StoredChecksums(),
        StoredChecksums(sha256=b64encode(sha256(b"").digest()).decode(), type="FULL_OBJECT"),
        StoredChecksums(sha256=DIGEST_TEXT + "-1", type="COMPOSITE"),
    ],
    ids=repr,
)
def test_an_empty_objects_checksum_needs_nothing_stored(
    algorithm: ChecksumAlgorithm, stored: StoredChecksums
) -> None:
    assert from_stored(algorithm, 0, stored) == of(b"", algorithm)
    assert not needs_part_sizes(algorithm, 0, stored)
