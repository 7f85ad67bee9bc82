from base64 import b64encode
from hashlib import sha256, shake_128

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quilt3.checksums import calculate_multipart_checksum_bytes, get_checksum_chunksize
from quilt_packager_runtime.formats.checksums import (
    MANIFEST_TYPES,
    chunk_hasher,
    chunk_ranges,
    chunk_size_bytes,
    from_chunk_digests,
    from_stored,
)
from quilt_packager_runtime.formats.objects import ChecksumAlgorithm, StoredChecksums

SHA256 = ChecksumAlgorithm.SHA256_CHUNKED
MIB = 1024 * 1024
SIZES = [0, 1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 24 * MIB + 17]


@given(st.integers(min_value=0, max_value=50 * 1024**4))
def test_chunk_sizes_are_quilt3s(size_bytes: int) -> None:
    assert chunk_size_bytes(size_bytes) == get_checksum_chunksize(size_bytes)


@pytest.mark.parametrize("algorithm", list(ChecksumAlgorithm))
@pytest.mark.parametrize("size_bytes", SIZES)
def test_hashed_bytes_have_quilt3s_checksum(algorithm: ChecksumAlgorithm, size_bytes: int) -> None:
    data = shake_128(b"data").digest(size_bytes)
    digests = []
    for first, last in chunk_ranges(size_bytes):
        chunk = chunk_hasher(algorithm)
        chunk.update(data[first : last + 1])
        digests.append(chunk.digest())
    checksum = from_chunk_digests(algorithm, size_bytes, digests)

    name = MANIFEST_TYPES[algorithm]
    assert checksum.type == name
    assert checksum.value == calculate_multipart_checksum_bytes(data, checksum_type=name)


@pytest.mark.parametrize("size_bytes", SIZES)
def test_a_stored_sha256_makes_quilt3s_checksum(size_bytes: int) -> None:
    data = shake_128(b"data").digest(size_bytes)
    expected = calculate_multipart_checksum_bytes(data, checksum_type=MANIFEST_TYPES[SHA256])
    full = StoredChecksums(sha256=b64encode(sha256(data).digest()).decode(), type="FULL_OBJECT")
    chunks = [data[first : last + 1] for first, last in chunk_ranges(size_bytes)] or [b""]
    digest = sha256(b"".join(sha256(chunk).digest() for chunk in chunks)).digest()
    composite = StoredChecksums(
        sha256=f"{b64encode(digest).decode()}-{len(chunks)}", type="COMPOSITE"
    )

    from_full = from_stored(SHA256, size_bytes, full)
    from_parts = from_stored(SHA256, size_bytes, composite, [len(chunk) for chunk in chunks])

    assert from_full is None or from_full.value == expected
    assert (from_full is None) == (size_bytes > 8 * MIB)
    assert from_parts is not None
    assert from_parts.value == expected
