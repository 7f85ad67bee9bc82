"""Undocumented behaviour of awscrt's client that the runtime depends on."""

from collections.abc import Callable
from typing import Any

import pytest
from awscrt.s3 import S3Client
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import PreconditionFailed, ServiceUnavailable
from quilt_packager_runtime.formats.objects import S3Uri

from tests.hashes import MIB
from tests.s3_stub import Pattern, Rule, S3Stub

SIZE_BYTES = 8 * MIB
URI = S3Uri("raw", "k")


@pytest.fixture
def delivered(monkeypatch: pytest.MonkeyPatch, s3_stub: S3Stub) -> list[int]:
    """The sizes of the pieces of bodies that awscrt gives."""
    s3_stub.create_bucket("raw").put("k", Pattern(SIZE_BYTES))
    sizes: list[int] = []
    make_request = S3Client.make_request

    def spied(client: S3Client, *, on_body: Callable[..., None], **options: Any) -> Any:
        def spy(chunk: bytes, **details: Any) -> None:
            sizes.append(len(chunk))
            on_body(chunk, **details)

        return make_request(client, on_body=spy, **options)

    monkeypatch.setattr(S3Client, "make_request", spied)
    return sizes


FAULTS: dict[str, Callable[[Rule], object]] = {
    "cut": lambda rule: rule.cut_body(5 * MIB),
    "throttled": lambda rule: rule.answer(503, "SlowDown"),
    "dropped": lambda rule: rule.drop_connection(),
    "lost": lambda rule: rule.lose_reply(),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_body_is_complete_after_any_number_of_attempts(
    s3: S3, s3_stub: S3Stub, delivered: list[int], fault: Callable[[Rule], object]
) -> None:
    fault(s3_stub.on("GetObject", times=3))
    await s3.get_object(URI, last_byte=SIZE_BYTES - 1)
    assert s3_stub.counts == {"GetObject": 4}
    assert delivered == [SIZE_BYTES]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_an_incomplete_body_is_never_delivered(
    s3: S3, s3_stub: S3Stub, delivered: list[int], fault: Callable[[Rule], object]
) -> None:
    fault(s3_stub.on("GetObject", times=None))
    with pytest.raises(ServiceUnavailable):
        await s3.get_object(URI, last_byte=SIZE_BYTES - 1)
    assert s3_stub.counts == {"GetObject": 6}
    assert not delivered


async def test_an_error_is_never_delivered_as_a_body(s3: S3, delivered: list[int]) -> None:
    with pytest.raises(PreconditionFailed):
        await s3.get_object(URI, if_match='"another"')
    assert not delivered


async def test_a_read_of_any_size_is_one_request(
    s3: S3, s3_stub: S3Stub, delivered: list[int]
) -> None:
    s3_stub.store.buckets["raw"].put("k", Pattern(100 * MIB), etag="e")
    await s3.get_object(URI)
    assert s3_stub.counts == {"GetObject": 1}
    assert sum(delivered) == 100 * MIB
