"""SQS batches of uploads and of window checks in, events of quiet folders out."""

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
"""Minimum time that is left of an invocation when a step begins."""


@cache
def load_settings() -> UploadSettings:
    """Return the coalescer's settings, read once per execution environment."""
    return UploadSettings.from_environment(os.environ)


class Batch:
    """The messages of one invocation.

    Attributes:
        failed: The ids of the messages that SQS has to redeliver.
        recorded: Number of recorded uploads.
    """

    def __init__(self, context: "LambdaContext") -> None:
        self.failed: set[str] = set()
        self.recorded = 0
        self._context = context
        self._coalescer = Coalescer(load_settings())
        # For each folder, the digests of its uploads by their messages.
        self._uploads: dict[SourceFolder, dict[str, bytes]] = {}
        self._invalid: dict[str, tuple[str, Rejected]] = {}

    def add(self, message_id: str, body: str) -> None:
        """Check a window at once; collect the other messages for the methods below."""
        try:
            arrival = parse_arrival(body)
        except Rejected as rejection:
            self._invalid[message_id] = body, rejection
            return
        with self._redelivered_if_failed([message_id]):
            match arrival:
                case WindowCheck() as check:
                    announced = self._coalescer.check(check, lifetime_ms=self._lifetime_ms())
                    _record(check.folder, announced)
                case Upload() as upload:
                    folder = find_folder(upload, load_settings())
                    if folder is not None:
                        self._uploads.setdefault(folder, {})[message_id] = identify(upload)

    def record_uploads(self) -> None:
        """Record the uploads, folder by folder."""
        with self._redelivered_if_failed([each for ids in self._uploads.values() for each in ids]):
            # First, because a recorded upload without a check could go undetected.
            quiet_at_ms = self._coalescer.schedule_quiet_checks(self._uploads)
            for folder, uploads in self._uploads.items():
                with self._redelivered_if_failed(uploads):
                    announced = self._coalescer.record(
                        folder,
                        set(uploads.values()),
                        quiet_at_ms=quiet_at_ms,
                        lifetime_ms=self._lifetime_ms(),
                    )
                    self.recorded += len(uploads)
                    _record(folder, announced)

    def move_invalid_messages(self) -> None:
        """Move messages that describe no upload to the dead-letter queue.

        The last step: if the function dies, its whole batch is redelivered, and what it has moved
        would be moved again.
        """
        for message_id, (body, rejection) in self._invalid.items():
            with self._redelivered_if_failed([message_id]):
                clients.send_to_dead_letters(load_settings().dead_letter_queue_url, body, rejection)
                log(MessageRejected(reason=rejection.reason))

    @contextmanager
    def _redelivered_if_failed(self, message_ids: Collection[str]) -> Iterator[None]:
        """Let SQS redeliver the messages of a step that fails. Repeating half of it is harmless."""
        try:
            yield
        except PackagerError as failure:
            not_recorded = UploadsNotRecorded(
                code=failure.code, reason=failure.reason, messages=len(message_ids)
            )
            log(not_recorded)
            self.failed.update(message_ids)

    def _lifetime_ms(self) -> int:
        """Return the time that is left of the invocation, if it is enough for a step."""
        lifetime_ms: int = self._context.get_remaining_time_in_millis()
        if lifetime_ms < DEADLINE_MARGIN_MS:
            raise DeadlineExceeded(
                "The uploads of a batch could not all be recorded in the time of one invocation.",
                why="They lie below too many prefixes, or DynamoDB is slow.",
                remedy="Set a smaller prefix_depth if this recurs; no upload is lost.",
            )
        return lifetime_ms


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Record uploads and check windows; SQS redelivers the messages named in the response."""
    batch = Batch(context)
    for message in event["Records"]:
        batch.add(message["messageId"], message["body"])
    batch.record_uploads()
    record_uploads(batch.recorded)
    batch.move_invalid_messages()
    return {"batchItemFailures": [{"itemIdentifier": each} for each in sorted(batch.failed)]}


def _record(folder: SourceFolder, announced: int) -> None:
    if announced:
        record_ready_prefix(folder, uploads=announced)
