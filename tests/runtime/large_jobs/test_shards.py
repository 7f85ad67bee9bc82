"""Shards of a large job: each object once, within the limits of a worker."""

from collections.abc import AsyncIterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quilt_packager_runtime.formats.checksums import count_chunks
from quilt_packager_runtime.formats.objects import (
    Checksum,
    ChecksumAlgorithm,
    SourceFolder,
    SourceObject,
)
from quilt_packager_runtime.large_jobs.shards import (
    ChecksumCounts,
    ChunkDigests,
    Item,
    JobFiles,
    ObjectChecksum,
    ResultRecord,
    Task,
    cut,
    decode_result,
    decode_tasks,
    encode_lines,
    plan_shards,
)

MIB, GIB, TIB = 2**20, 2**30, 2**40
SHARD_BYTES = 32 * GIB

sizes = st.one_of(st.integers(0, 64 * MIB), st.integers(0, 48 * TIB))
objects = st.lists(
    st.builds(
        SourceObject,
        key=st.text(st.characters(codec="utf-8"), min_size=1),
        size_bytes=sizes,
        etag=st.text(st.characters(codec="utf-8")),
        version_id=st.none() | st.text(st.characters(codec="utf-8")),
        archived=st.booleans(),
    ),
    max_size=20,
    unique_by=lambda found: found.key,
)


async def plan(found: list[SourceObject], max_objects: int, max_bytes: int) -> list[list[Task]]:
    async def blocks() -> AsyncIterator[list[SourceObject]]:
        yield found[:3]
        yield found[3:]

    shards = plan_shards(blocks(), max_objects=max_objects, max_bytes=max_bytes)
    return [shard async for shard in shards]


def chunks_of(task: Task) -> range:
    return range(*(task.chunks or (0, count_chunks(task.found.size_bytes))))


@given(objects, st.integers(1, 5), st.integers(8 * GIB, 64 * GIB))
async def test_shards_hold_each_chunk_of_each_object_once(
    found: list[SourceObject], max_objects: int, max_bytes: int
) -> None:
    shards = await plan(found, max_objects, max_bytes)
    planned: dict[str, list[int]] = {}
    for task in (task for shard in shards for task in shard):
        planned.setdefault(task.found.key, []).extend(chunks_of(task))
    assert planned == {each.key: list(range(count_chunks(each.size_bytes))) for each in found}


@given(objects, st.integers(1, 5), st.integers(8 * GIB, 64 * GIB))
async def test_shards_are_within_their_limits(
    found: list[SourceObject], max_objects: int, max_bytes: int
) -> None:
    for shard in await plan(found, max_objects, max_bytes):
        assert 1 <= len(shard) <= max_objects
        assert sum(task.size_bytes for task in shard) <= max_bytes


@given(objects)
def test_tasks_survive_their_file(found: list[SourceObject]) -> None:
    tasks = [task for each in found for task in cut(each, max_bytes=SHARD_BYTES)]
    assert decode_tasks(encode_lines(tasks)) == tasks


@given(objects, st.binary(min_size=32, max_size=32))
def test_results_survive_their_file(found: list[SourceObject], digest: bytes) -> None:
    findings: list[ResultRecord] = [ChecksumCounts(3, 4)]
    for each in found:
        findings.append(ObjectChecksum(each, Checksum("sha2-256-chunked", "AAAA=")))
        findings.append(ChunkDigests(each, ChecksumAlgorithm.SHA256_CHUNKED, 7, [digest]))
    assert decode_result(encode_lines(findings)) == findings


@pytest.mark.parametrize(
    ("size_bytes", "chunk_bytes", "shards"),
    [(5 * TIB, GIB, 160), (39 * TIB, 4 * GIB, 1248), (48 * TIB, 8 * GIB, 1536)],
)
async def test_very_large_objects_are_shared_by_workers(
    size_bytes: int, chunk_bytes: int, shards: int
) -> None:
    found = SourceObject("huge", size_bytes, "e", "v")
    planned = await plan([found], 20_000, SHARD_BYTES)
    assert len(planned) == shards
    first, *_, last = [task for (task,) in planned]
    assert first.chunks == (0, SHARD_BYTES // chunk_bytes)
    assert last.chunks is not None
    assert last.chunks[1] == count_chunks(size_bytes)


def test_a_chunk_larger_than_a_shard_is_not_cut() -> None:
    found = SourceObject("huge", 48 * TIB, "e", "v")
    tasks = list(cut(found, max_bytes=GIB))
    assert len(tasks) == count_chunks(48 * TIB) == 6144
    assert {task.size_bytes for task in tasks} == {8 * GIB}


def test_files_of_a_job_have_different_locations() -> None:
    rounds = [JobFiles("scratch", "id", number) for number in range(2)]
    files = [
        uri
        for job in rounds
        for uri in (
            job.items,
            *(job.shard(number) for number in range(3)),
            *(job.result(name) for name in (0, 1, "kept", "kept-000000")),
            *(job.failure(name) for name in (0, 1, "publish")),
        )
    ]
    assert len(set(files)) == len(files)
    assert all(uri.key.startswith("jobs/id/") for uri in [*files, rounds[0].message])


def test_input_is_equal_for_equal_jobs() -> None:
    assert JobFiles("scratch", "id").to_input() == JobFiles("scratch", "id").to_input()


def test_files_of_one_source_are_those_of_earlier_versions() -> None:
    found = SourceObject("runs/42/a", 5, '"e"', "v1")
    item = Item("id", 0, 1, SourceFolder("raw", "runs/42/"), "eu-west-1", names_checksums=True)
    assert encode_lines([Task(found), Task(found, (0, 2))]) == (
        b'{"found":{"key":"runs/42/a","size_bytes":5,"etag":"\\"e\\"","version_id":"v1"}}\n'
        b'{"found":{"key":"runs/42/a","size_bytes":5,"etag":"\\"e\\"","version_id":"v1"},'
        b'"chunks":[0,2]}\n'
    )
    assert encode_lines([item]) == (
        b'{"job_id":"id","round":0,"shard":1,"folder":{"bucket":"raw","prefix":"runs/42/"},'
        b'"region":"eu-west-1","names_checksums":true}\n'
    )


def test_an_item_of_an_earlier_version_is_read() -> None:
    line = (
        b'{"job_id":"id","round":0,"shard":1,"folder":{"bucket":"raw","prefix":"f/"},'
        b'"region":null,"names_checksums":false}'
    )
    assert msgspec.json.decode(line, type=Item) == Item("id", 0, 1, SourceFolder("raw", "f/"))
