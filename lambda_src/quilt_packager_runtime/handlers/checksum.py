"""The worker of the state machine's map: an item in, the checksums of its shard to S3."""

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec

from quilt_packager_runtime.handlers import invocations
from quilt_packager_runtime.large_jobs import hand_off, worker
from quilt_packager_runtime.large_jobs.shards import Item, JobFiles
from quilt_packager_runtime.large_jobs.worker import Work
from quilt_packager_runtime.reporting.log_events import ShardHashed
from quilt_packager_runtime.reporting.telemetry import log, record_step_failure

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


def handler(event: dict[str, Any], context: "LambdaContext") -> None:
    """Hash a shard. The answer is empty, because the state machine keeps each answer."""
    item = msgspec.convert(event, Item)
    started = time.monotonic()
    work = asyncio.run(hash_shard(item, invocations.deadline_of(context)))
    hashed = ShardHashed(
        message_id=item.job_id,
        round=item.round,
        shard=item.shard,
        objects=work.objects,
        bytes=work.size_bytes,
        seconds=round(time.monotonic() - started, 3),
    )
    log(hashed)


async def hash_shard(item: Item, deadline: float) -> Work:
    """Hash a shard, and store the reason of a failure.

    Raises:
        PackagerError: The state machine retries the item, unless it was rejected.
    """
    settings, s3 = invocations.load_settings(), invocations.connect()
    files = JobFiles(settings.scratch_bucket or "", item.job_id, item.round)
    try:
        return await worker.hash_shard(s3, files, item, settings=settings, deadline=deadline)
    except Exception as error:  # noqa: BLE001 - raised again
        failure = invocations.as_failure(error)
        record_step_failure(
            failure, message_id=item.job_id, step="hash", round=item.round, shard=item.shard
        )
        await hand_off.write_failure(s3, files, item.shard, failure)
        raise failure from failure.__cause__
