"""SQS batches of uploads and of checks of their windows in; announcements out."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import DeadlineExceeded, PackagerError, Rejected
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.reporting.log_events import MessageRejected, UploadsNotRecorded
from quilt_packager_runtime.reporting.telemetry import log, record_ready_prefix, record_uploads
from quilt_packager_runtime.settings.upload_settings import UploadSettings
from quilt_packager_runtime.uploads.coalescer import Coalescer
from quilt_packager_runtime.uploads.upload_events import Upload
from quilt_packager_runtime.uploads.wake_ups import WindowCheck, parse_arrival
from quilt_packager_runtime.uploads.windows import find_folder, identify

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

DEADLINE_MARGIN_MS = 10_000
"""With less than this left of Lambda's time, nothing is begun that would be cut."""


@cache
def load_settings() -> UploadSettings:
    """Return the coalescer's settings, read once per execution environment."""
    return UploadSettings.from_environment(os.environ)


class Batch:
    """The messages of one invocation.

    Args:
        context: Lambda's, which knows how much time is left.

    Attributes:
        failed: The ids of the messages that SQS is to deliver again.
        recorded: Number of recorded uploads.
    """

    def __init__(self, context: "LambdaContext") -> None:
        self.failed: set[str] = set()
        self.recorded = 0
        self._context = context
        self._coalescer = Coalescer(load_settings())
        # Of each folder the messages, with the digests of their uploads.
        self._uploads: dict[SourceFolder, dict[str, bytes]] = {}

    def take(self, message_id: str, body: str) -> None:
        """Check a window at once; collect uploads by folder for `record_uploads`."""
        with self._delivered_again([message_id]):
            match read_arrival(body):
                case WindowCheck() as check:
                    announced = self._coalescer.check(check, lifetime_ms=self._lifetime_ms())
                    _record(check.folder, announced)
                case Upload() as upload:
                    folder = find_folder(upload, load_settings())
                    if folder is not None:
                        self._uploads.setdefault(folder, {})[message_id] = identify(upload)

    def record_uploads(self) -> None:
        """Record the uploads, folder by folder."""
        with self._delivered_again([each for ids in self._uploads.values() for each in ids]):
            # Checks are on their way before there is anything to check.
            quiet_at_ms = self._coalescer.schedule_quiet_checks(self._uploads)
            for folder, uploads in self._uploads.items():
                with self._delivered_again(uploads):
                    announced = self._coalescer.record(
                        folder,
                        set(uploads.values()),
                        quiet_at_ms=quiet_at_ms,
                        lifetime_ms=self._lifetime_ms(),
                    )
                    self.recorded += len(uploads)
                    _record(folder, announced)

    @contextmanager
    def _delivered_again(self, message_ids: Collection[str]) -> Iterator[None]:
        """Name the messages of a step that fails: half of it does no harm when done twice."""
        try:
            yield
        except PackagerError as failure:
            again = UploadsNotRecorded(
                code=failure.code, reason=failure.reason, messages=len(message_ids)
            )
            log(again)
            self.failed.update(message_ids)

    def _lifetime_ms(self) -> int:
        """For how long this invocation lives on, unless that is too short to begin anything."""
        lifetime_ms: int = self._context.get_remaining_time_in_millis()
        if lifetime_ms < DEADLINE_MARGIN_MS:
            raise DeadlineExceeded(
                "The uploads of a batch could not all be recorded in the time of one invocation.",
                why="They lie below too many prefixes, or DynamoDB is slow.",
                remedy="The rest is delivered again by itself; a smaller prefix_depth helps.",
            )
        return lifetime_ms


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Record uploads and check windows; SQS redelivers the messages named in the response."""
    batch = Batch(context)
    for message in event["Records"]:
        batch.take(message["messageId"], message["body"])
    batch.record_uploads()
    record_uploads(batch.recorded)
    return {"batchItemFailures": [{"itemIdentifier": each} for each in sorted(batch.failed)]}


def read_arrival(body: str) -> Upload | WindowCheck | None:
    """Read a message, or put it where its owner will look for it.

    Raises:
        AwsError: It could not be put there.
    """
    try:
        return parse_arrival(body)
    except Rejected as rejection:
        clients.send_to_dead_letters(load_settings().dead_letter_queue_url, body, rejection)
        log(MessageRejected(reason=rejection.reason))
        return None


def _record(folder: SourceFolder, announced: int) -> None:
    if announced:
        record_ready_prefix(folder, uploads=announced)
