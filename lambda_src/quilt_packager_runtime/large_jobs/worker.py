"""What a worker of a large job does with its shard."""

import asyncio

import msgspec

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.disk_space import translate_disk_full
from quilt_packager_runtime.errors import DeadlineExceeded, SourceChanged
from quilt_packager_runtime.formats.objects import Checksum
from quilt_packager_runtime.hashing.hash_objects import hash_chunks, hash_objects
from quilt_packager_runtime.hashing.object_hasher import ObjectHasher
from quilt_packager_runtime.large_jobs.shards import (
    ChecksumCounts,
    ChunkDigests,
    Item,
    Job,
    ObjectChecksum,
    ResultRecord,
    Task,
    decode_tasks,
    encode_lines,
)
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.settings import Settings


class Work(msgspec.Struct, frozen=True):
    """What was done of a shard.

    Attributes:
        objects: How many objects, and shares of very large ones.
        size_bytes: How large they are.
    """

    objects: int = 0
    size_bytes: int = 0


async def hash_shard(s3: S3, job: Job, item: Item, *, settings: Settings, deadline: float) -> Work:
    """Hash what a shard names, and write what was found; nothing, if that is there already.

    What changed since the shard was written is left out, and so is what there was no time for:
    whoever takes the job up again sees that it is missing.

    Args:
        s3: S3.
        job: The job.
        item: Which shard.
        settings: Algorithms, scratch buckets, concurrency.
        deadline: When to stop, in seconds of the event loop's clock.

    Returns:
        What was done.

    Raises:
        DeadlineExceeded: There was time for nothing at all.
        Rejected: Objects cannot be hashed, whoever tries how often.
    """
    result = job.result(item.shard)
    if await s3.read_if_exists(result, max_bytes=1) is not None:
        return Work()
    tasks = decode_tasks((await s3.get_object(job.shard(item.shard))).data)
    findings: list[ResultRecord] = []
    size_bytes = 0
    hasher = ObjectHasher(s3, item.folder.bucket, settings)
    # First what is lost as a whole when its time is over; of objects, each that is done is kept.
    for task in tasks:
        finding = await _hash_chunks(hasher, task, settings=settings, deadline=deadline)
        if finding is not None:
            findings.append(finding)
            size_bytes += task.size_bytes
    with translate_disk_full(), Inventory(item.folder) as inventory:
        inventory.add(task.found for task in tasks if task.chunks is None)
        hashed = await hash_objects(
            s3,
            inventory,
            settings=settings,
            on_progress=lambda _done: None,
            deadline=deadline,
            skip_changed=True,
        )
        async for found, checksum in inventory.hashed():
            findings.append(ObjectChecksum(found, checksum))
            size_bytes += found.size_bytes
    if tasks and not findings and asyncio.get_running_loop().time() >= deadline:
        raise DeadlineExceeded(
            f"Of {len(tasks)} lines of a shard, none was hashed in the time of one invocation.",
            why="Reading objects takes longer than the function may run.",
            remedy="Raise the function's memory or timeout, or make shards smaller.",
        )
    tally = ChecksumCounts(hashed.stored, hashed.computed)
    await s3.put_object(result, encode_lines([tally, *findings]))
    return Work(len(findings), size_bytes)


async def _hash_chunks(
    hasher: ObjectHasher, task: Task, *, settings: Settings, deadline: float
) -> ObjectChecksum | ChunkDigests | None:
    if task.chunks is None:
        return None
    try:
        async with asyncio.timeout_at(deadline):
            hashed = await hash_chunks(hasher, task.found, task.chunks)
    except (SourceChanged, TimeoutError):
        return None
    if isinstance(hashed, Checksum):
        return ObjectChecksum(task.found, hashed)
    return ChunkDigests(task.found, settings.checksum_algorithms[0], task.chunks[0], hashed)
