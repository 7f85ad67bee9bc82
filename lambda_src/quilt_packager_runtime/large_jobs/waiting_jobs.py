"""Jobs that wait for required files, which an announcement of their folder's uploads can end.

A waiting job is noted in the scratch bucket, under its package. The job of an announcement takes
over its request, and publishes if the files are there; the waiting job then yields to this newer
message. If the waiting job was faster, the announcement is still one of its uploads, and keeps its
request. docs/adr/0044-required-files.md has the reasons.
"""

import hashlib
import time
from contextlib import suppress

import msgspec

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import NoSuchKey
from quilt_packager_runtime.formats.objects import JOBS_PREFIX, S3Uri
from quilt_packager_runtime.large_jobs.hand_off import read_message
from quilt_packager_runtime.large_jobs.shards import JobFiles
from quilt_packager_runtime.registry.publish import Package, read_latest
from quilt_packager_runtime.requests.package_request import PackageRequest, UnresolvedRequest

LOOK_SECONDS = 900
"""Maximum duration of a look, which is one invocation."""

MAX_NOTE_BYTES = 4096


class TakenOver(msgspec.Struct, frozen=True):
    """The request of another job, for an announcement of its folder's uploads.

    Attributes:
        request: The request, with the trigger of the announcement.
        is_waiting: The other job has not published, and looks again.
    """

    request: PackageRequest
    is_waiting: bool


class _Note(msgspec.Struct, frozen=True):
    """A job that waits, and looks again before `until_seconds`, in seconds since 1970."""

    job_id: str
    until_seconds: float


async def note_wait(s3: S3, files: JobFiles, request: PackageRequest, *, wait_seconds: int) -> None:
    """Note that a job waits. Its message is stored already.

    Args:
        s3: S3.
        files: The files of the job.
        request: Its request.
        wait_seconds: The time until its next look.
    """
    note = _Note(files.job_id, time.time() + wait_seconds + LOOK_SECONDS)
    uri = _location(files.bucket, request, request.package_name)
    await s3.put_object(uri, msgspec.json.encode(note))


async def take_over(s3: S3, scratch_bucket: str, request: UnresolvedRequest) -> TakenOver | None:
    """Take over the request of a job that waits for files, or did until now.

    Args:
        s3: S3.
        scratch_bucket: The scratch bucket.
        request: The request of an announcement.

    Returns:
        None if no job waits for files of the same package, if a newer message published it, or if
        the announcement waits for files itself.
    """
    if request.trigger.kind != "objects_ready" or request.require or request.package_name is None:
        return None
    uri = _location(scratch_bucket, request, request.package_name)
    note = await _read_note(s3, uri)
    if note is None or note.until_seconds < time.time():
        return None
    try:
        delivery = await read_message(s3, JobFiles(scratch_bucket, note.job_id))
    except NoSuchKey:
        return None
    waiting = delivery.complete_request
    latest = await read_latest(s3, Package(waiting.registry, waiting.package_name))
    due_ms = round(((delivery.sent_seconds or 0) + waiting.settle_seconds) * 1000)
    published_ms = -1 if latest.message is None else latest.message.due_ms
    if published_ms > due_ms:
        return None
    warning = f"As requested by {note.job_id}, which waited for files of the folder."
    taken_over = msgspec.structs.replace(
        waiting,
        trigger=request.trigger,
        settle_seconds=request.settle_seconds,
        warnings=(*waiting.warnings, warning),
    )
    return TakenOver(taken_over, is_waiting=published_ms < due_ms)


async def _read_note(s3: S3, uri: S3Uri) -> _Note | None:
    """Read a note; None if there is none, or if another version of the engine wrote it."""
    found = await s3.read_if_exists(uri, max_bytes=MAX_NOTE_BYTES)
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(found.data, type=_Note) if found else None
    return None


def _location(bucket: str, request: PackageRequest | UnresolvedRequest, package_name: str) -> S3Uri:
    package = "\n".join((str(request.source), request.registry, package_name))
    digest = hashlib.sha256(package.encode()).hexdigest()
    return S3Uri(bucket, f"{JOBS_PREFIX}waiting/{digest}.json")
