import asyncio
from asyncio import gather, timeout
from collections.abc import AsyncIterator, Callable, Sequence
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.aws.s3_responses import VersionPage
from quilt_packager_runtime.errors import MalformedResponse, ServiceUnavailable
from quilt_packager_runtime.formats.objects import SourceFolder, SourceObject
from quilt_packager_runtime.listing import parallel_listing
from quilt_packager_runtime.listing.parallel_listing import RANGES_AT_ONCE, list_folder

from tests.s3_stub import Bucket, S3Stub, SyntheticBucket

ROOT = SourceFolder("raw", "")
PAGE = 10


@pytest.fixture
def bucket(s3_stub: S3Stub) -> Bucket:
    return s3_stub.create_bucket("raw")


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.s3_stub.listing.MAX_KEYS", PAGE)


async def list_keys(s3: S3, folder: SourceFolder = ROOT) -> list[str]:
    """List keys, sorted, each as often as it was listed."""
    found: list[SourceObject] = []
    await list_folder(s3, folder, found.extend)
    return sorted(each.key for each in found)


def fill(bucket: Bucket, keys: Sequence[str]) -> list[str]:
    for key in keys:
        bucket.put(key)
    return sorted(keys)


# The same as a serial listing

NAMES = st.sampled_from(["a", "b", "c1", "c10", "é", "\U0001f9ec", "+ %2F", "", "."])
KEYS = st.lists(NAMES, min_size=1, max_size=4).map("/".join).filter(bool)
NUMBERED = st.integers(0, 99).map("a/f{:03}.csv".format)
STEPS = st.lists(
    st.tuples(KEYS | NUMBERED, st.sampled_from(["put", "put", "put", "delete"])), max_size=80
)


@given(
    steps=STEPS,
    prefix=st.sampled_from(["", "a/", "c1/é/"]),
    page=st.integers(1, 7),
    at_once=st.integers(1, 20),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
async def test_a_parallel_listing_equals_a_serial_one(
    s3: S3,
    s3_stub: S3Stub,
    monkeypatch: pytest.MonkeyPatch,
    *,
    steps: Sequence[tuple[str, str]],
    prefix: str,
    page: int,
    at_once: int,
) -> None:
    s3_stub.reset()
    bucket = s3_stub.create_bucket("raw")
    for key, step in steps:
        if step == "put":
            bucket.put(key, key)
        else:
            bucket.delete(key)
    monkeypatch.setattr("tests.s3_stub.listing.MAX_KEYS", page)
    serial = [found async for each in s3.list_latest_versions("raw", prefix) for found in each]
    monkeypatch.setattr(parallel_listing, "RANGES_AT_ONCE", at_once)
    parallel: list[SourceObject] = []
    await list_folder(s3, SourceFolder("raw", prefix), parallel.extend)
    assert sorted(parallel, key=lambda found: found.key) == serial


@pytest.mark.usefixtures("small_pages")
async def test_keys_with_versions_of_several_pages_are_listed_once(s3: S3, bucket: Bucket) -> None:
    keys = fill(bucket, [f"f{n:02}" for n in range(50)])
    for key in keys[::7]:
        for content in range(3 * PAGE):
            bucket.put(key, str(content))
        newest = bucket.put(key, b"the newest")
    for key in keys[1::7]:
        bucket.delete(key)
    found: list[SourceObject] = []
    await list_folder(s3, ROOT, found.extend)
    assert sorted(each.key for each in found) == [key for key in keys if key not in keys[1::7]]
    sizes = {each.key: each.size_bytes for each in found}
    assert {sizes[key] for key in keys[::7]} == {newest.size_bytes}


@pytest.mark.usefixtures("small_pages")
async def test_keys_outside_the_folder_are_not_listed(s3: S3, bucket: Bucket) -> None:
    inside = fill(bucket, [f"run/{n:03}/a" for n in range(100)])
    fill(bucket, [f"{folder}/{n:03}/a" for folder in ("ru", "run-2", "run2") for n in range(50)])
    assert await list_keys(s3, SourceFolder("raw", "run/")) == inside


@pytest.mark.usefixtures("small_pages")
async def test_objects_written_during_a_listing_are_listed_at_most_once(
    s3: S3, s3_stub: S3Stub, bucket: Bucket
) -> None:
    keys = fill(bucket, [f"run/{n:03}/a" for n in range(200)])
    pause = s3_stub.on("ListObjectVersions", nth=9).pause_before()

    async def write() -> None:
        held = await pause.reached()
        fill(bucket, [f"run/{n:03}/{name}" for n in range(200) for name in "ab"])
        held.release()

    listed, _ = await gather(list_keys(s3), write())
    assert sorted({*listed, *keys}) == listed


# What it costs


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize(("objects", "requests"), [(1, 1), (PAGE, 1), (PAGE + 1, 2), (2 * PAGE, 2)])
async def test_a_folder_of_two_pages_takes_two_requests(
    s3: S3, s3_stub: S3Stub, bucket: Bucket, objects: int, requests: int
) -> None:
    fill(bucket, [f"{n:03}/{n % 7}" for n in range(objects)])
    await list_keys(s3)
    assert s3_stub.counts == {"ListObjectVersions": requests}


def in_folders_of_a_page(n: int) -> str:
    return f"data/d{n // PAGE:05}/f{n % PAGE:03}.csv"


def flat(n: int) -> str:
    return f"f{n:08}.csv"


def flat_without_padding(n: int) -> str:
    return f"sample_{n}.fastq.gz"


def at_random(n: int) -> str:
    return f"{n * 0x9E3779B97F4A7C15 % 2**64:016x}.bin"


def in_folders_of_two_objects(n: int) -> str:
    return f"s{n // 2:06}/f{n % 2}"


def in_one_folder_of_many(n: int) -> str:
    return f"p{n:03}/x" if n < PAGE else f"p005/f{n:07}"


def by_date(n: int) -> str:
    return f"{2000 + n // 360}/{n // 30 % 12 + 1:02}/{n % 30 + 1:02}/x.parquet"


def of_an_image(n: int) -> str:
    return f"img.zarr/0/{n // 100}.{n // 10 % 10}.{n % 10}"


SHAPES = [
    in_folders_of_a_page,
    flat,
    flat_without_padding,
    at_random,
    in_folders_of_two_objects,
    in_one_folder_of_many,
    by_date,
    of_an_image,
]


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_hundred_pages_take_at_most_119_requests(
    s3: S3, s3_stub: S3Stub, bucket: Bucket, shape: Callable[[int], str]
) -> None:
    keys = fill(bucket, [shape(n) for n in range(100 * PAGE)])
    assert await list_keys(s3) == keys
    assert 100 < s3_stub.counts["ListObjectVersions"] <= 119


async def test_a_hundred_thousand_objects_take_at_most_119_requests(
    s3: S3, s3_stub: S3Stub
) -> None:
    s3_stub.store.add(SyntheticBucket("raw", 100_000))
    listed: list[int] = []
    await list_folder(s3, ROOT, lambda found: listed.append(len(found)))
    assert sum(listed) == 100_000
    assert s3_stub.counts["ListObjectVersions"] <= 119


# Many at a time


class SlowS3:
    """Answers each request after one tick, and counts ticks and requests at a time."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = sorted(keys)
        self.ticks = 0
        self.most_at_once = 0
        self._waiting: list[asyncio.Future[None]] = []

    async def list_version_pages(
        self, bucket: str, prefix: str, *, after: str = "", delimiter: str = "", **_: object
    ) -> AsyncIterator[VersionPage]:
        keys = [key for key in self.keys if key.startswith(prefix) and key > after]
        names = {prefix + key[len(prefix) :].partition("/")[0] + "/" for key in keys}
        folders = sorted(names) if delimiter else []
        for start in range(0, len(keys) or 1, PAGE):
            await self._tick()
            page = keys[start : start + PAGE]
            next_key = page[-1] if start + PAGE < len(keys) else None
            objects = [SourceObject(key, 1, "e", "v") for key in page]
            yield VersionPage(objects, folders, None if folders else next_key)

    async def _tick(self) -> None:
        answered = asyncio.get_running_loop().create_future()
        if not self._waiting:
            asyncio.get_running_loop().call_later(0.002, self._answer)
        self._waiting.append(answered)
        await answered

    def _answer(self) -> None:
        self.ticks += 1
        self.most_at_once = max(self.most_at_once, len(self._waiting))
        waiting, self._waiting = self._waiting, []
        for answered in waiting:
            answered.set_result(None)


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_hundred_pages_take_the_time_of_forty_at_most(shape: Callable[[int], str]) -> None:
    slow = SlowS3([shape(n) for n in range(100 * PAGE)])
    assert await list_keys(cast("S3", slow)) == slow.keys
    assert slow.ticks <= 40
    assert slow.most_at_once <= RANGES_AT_ONCE


@pytest.mark.usefixtures("small_pages")
async def test_a_stalled_page_delays_only_its_range(
    s3: S3, s3_stub: S3Stub, bucket: Bucket
) -> None:
    keys = fill(bucket, [in_folders_of_a_page(n) for n in range(100 * PAGE)])
    listed: list[str] = []
    half_is_listed = asyncio.Event()

    def take(found: list[SourceObject]) -> None:
        listed.extend(each.key for each in found)
        if len(listed) >= 50 * PAGE:
            half_is_listed.set()

    pause = s3_stub.on("ListObjectVersions", nth=30).pause_before()
    job = asyncio.create_task(list_folder(s3, ROOT, take))
    held = await pause.reached()
    async with timeout(20):  # before awscrt gives up waiting, and asks again
        await half_is_listed.wait()
    held.release()
    await job
    assert sorted(listed) == keys


# What goes wrong


@pytest.mark.usefixtures("small_pages")
async def test_a_failed_range_fails_the_listing(s3: S3, s3_stub: S3Stub, bucket: Bucket) -> None:
    fill(bucket, [in_folders_of_a_page(n) for n in range(100 * PAGE)])
    s3_stub.on("ListObjectVersions", nth=20, times=None).answer(503, "SlowDown")
    with pytest.raises(ServiceUnavailable):
        await list_keys(s3)


class PagesS3:
    """Answers every request with these pages."""

    def __init__(self, *pages: Sequence[str]) -> None:
        self._pages = pages

    async def list_version_pages(
        self, bucket: str, prefix: str, **_: object
    ) -> AsyncIterator[VersionPage]:
        for keys in self._pages:
            yield VersionPage([SourceObject(key, 1, "e", "v") for key in keys], [], keys[-1])


@pytest.mark.parametrize(
    "pages",
    [
        pytest.param([["b", "a"]], id="in-no-order"),
        pytest.param([["a", "a"]], id="twice"),
        pytest.param([["c", "d"], ["a", "e"]], id="backwards"),
    ],
)
async def test_keys_out_of_order_are_a_malformed_response(pages: Sequence[Sequence[str]]) -> None:
    with pytest.raises(MalformedResponse, match="not in order"):
        await list_keys(cast("S3", PagesS3(*pages)))
