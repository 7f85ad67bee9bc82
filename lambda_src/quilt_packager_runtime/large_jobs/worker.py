"""The worker of a large job, which hashes a shard."""

import asyncio
import time

import msgspec

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.disk_space import translate_disk_full
from quilt_packager_runtime.errors import DeadlineExceeded, SourceChanged
from quilt_packager_runtime.formats.objects import Checksum, Source
from quilt_packager_runtime.hashing.hash_objects import hash_chunks, hash_objects
from quilt_packager_runtime.hashing.object_hasher import NotStored, ObjectHasher
from quilt_packager_runtime.large_jobs.batch_checksums import find_computable
from quilt_packager_runtime.large_jobs.shards import (
    ChecksumCounts,
    ChunkDigests,
    Item,
    JobFiles,
    ObjectChecksum,
    ResultRecord,
    Task,
    decode_tasks,
    encode_lines,
)
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.settings import Settings


class Work(msgspec.Struct, frozen=True):
    """The amount of work that was done of a shard.

    Attributes:
        objects: Number of objects, and of shares of very large objects.
        size_bytes: Number of their bytes.
    """

    objects: int = 0
    size_bytes: int = 0


async def hash_shard(
    s3: S3, files: JobFiles, item: Item, *, settings: Settings, deadline: float
) -> Work:
    """Hash the objects of a shard and write the result, unless the result exists.

    Objects that have changed since the shard was written are left out, and so are those that are
    not finished at the deadline, or that S3 Batch Operations has to hash: the job finds them
    missing when it continues.

    Args:
        s3: S3.
        files: The files of the job.
        item: The shard.
        settings: Algorithms, scratch buckets, concurrency.
        deadline: The time to stop, in seconds of `time.monotonic()`.

    Raises:
        DeadlineExceeded: Nothing was finished.
        Rejected: Objects can never be hashed.
    """
    result = files.result(item.shard)
    if await s3.read_if_exists(result, max_bytes=1) is not None:
        return Work()
    tasks = decode_tasks((await s3.get_object(files.shard(item.shard))).data)
    if item.region is not None:
        s3.remember_region(item.folder.bucket, item.region)
    for bucket, region in item.regions.items():
        s3.remember_region(bucket, region)
    # Logical keys do not matter here, if no two objects have the same.
    sources = {
        task.found.source: Source(task.bucket or item.folder.bucket, "", f"{task.found.source}/")
        for task in tasks
    }
    records: list[ResultRecord] = []
    size_bytes = 0
    buckets = {number: source.bucket for number, source in sources.items()}
    can_wait = find_computable(s3, buckets, settings)
    hasher = ObjectHasher(
        s3, buckets, settings, names_checksums=item.names_checksums, can_wait=can_wait
    )
    # Shares of large objects come first: at the deadline they are lost as a whole.
    for task in tasks:
        record = await _hash_chunks(hasher, task, settings=settings, deadline=deadline)
        if record is not None:
            records.append(record)
            size_bytes += task.size_bytes
    with translate_disk_full(), Inventory(item.folder, sources=sources) as inventory:
        inventory.add_again(task.found for task in tasks if task.chunks is None)
        inventory.names_checksums = item.names_checksums
        hashed = await hash_objects(
            s3,
            inventory,
            settings=settings,
            on_progress=lambda _done: None,
            deadline=deadline,
            skip_changed=True,
            can_wait=can_wait,
        )
        async for found, checksum in inventory.hashed():
            records.append(ObjectChecksum(found, checksum))
            size_bytes += found.size_bytes
    if tasks and not records and time.monotonic() >= deadline:
        raise DeadlineExceeded(
            f"Of {len(tasks)} lines of a shard, none was hashed in the time of one invocation.",
            why="Reading objects takes longer than the function may run.",
            remedy="Raise the function's memory or timeout, or make shards smaller.",
        )
    counts = ChecksumCounts(hashed.stored, hashed.computed)
    await s3.put_object(result, encode_lines([counts, *records]))
    return Work(len(records), size_bytes)


async def _hash_chunks(
    hasher: ObjectHasher, task: Task, *, settings: Settings, deadline: float
) -> ObjectChecksum | ChunkDigests | None:
    if task.chunks is None:
        return None
    try:
        async with asyncio.timeout_at(deadline):
            hashed = await hash_chunks(hasher, task.found, task.chunks)
    except (NotStored, SourceChanged, TimeoutError):
        return None
    if isinstance(hashed, Checksum):
        return ObjectChecksum(task.found, hashed)
    return ChunkDigests(task.found, settings.checksum_algorithms[0], task.chunks[0], hashed)
