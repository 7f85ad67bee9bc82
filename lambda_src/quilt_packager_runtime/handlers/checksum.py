"""The map's worker: one item in, the checksums of one shard in the scratch bucket."""

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec

from quilt_packager_runtime.handlers import invocations
from quilt_packager_runtime.large_jobs import hand_off, worker
from quilt_packager_runtime.large_jobs.shards import Item, Job
from quilt_packager_runtime.large_jobs.worker import Work
from quilt_packager_runtime.reporting.log_events import ShardHashed
from quilt_packager_runtime.reporting.telemetry import log, record_step_failure

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


def handler(event: dict[str, Any], context: "LambdaContext") -> None:
    """Hash a shard. The answer is empty: the state machine keeps it for each of many shards."""
    item = msgspec.convert(event, Item)
    remaining_seconds = invocations.seconds_left(context)
    started = time.monotonic()
    work = asyncio.run(hash_shard(item, remaining_seconds))
    hashed = ShardHashed(
        message_id=item.job_id,
        round=item.round,
        shard=item.shard,
        objects=work.objects,
        bytes=work.size_bytes,
        seconds=round(time.monotonic() - started, 3),
    )
    log(hashed)


async def hash_shard(item: Item, remaining_seconds: float) -> Work:
    """Hash a shard, and leave the reason of a failure where others find it.

    Args:
        item: Which shard.
        remaining_seconds: How long it may take.

    Returns:
        What was done of it.

    Raises:
        PackagerError: The state machine is to try again, unless it was rejected.
    """
    settings = invocations.load_settings()
    job = Job(settings.scratch_bucket or "", item.job_id, item.round)
    deadline = asyncio.get_running_loop().time() + remaining_seconds
    try:
        return await worker.hash_shard(
            invocations.connect(), job, item, settings=settings, deadline=deadline
        )
    except Exception as error:
        failure = invocations.as_failure(error)
        record_step_failure(
            failure, message_id=item.job_id, step="hash", round=item.round, shard=item.shard
        )
        await hand_off.record_failure(invocations.connect(), job, item.shard, failure)
        if failure is error:
            raise
        raise failure from error
