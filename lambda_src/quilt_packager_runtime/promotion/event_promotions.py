"""Promotions that an event of a created package triggers: their request and their report."""

import time
from typing import Any

import msgspec
from msgspec import UNSET

from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import PackagerError, Rejected
from quilt_packager_runtime.formats.event_names import EVENT_SOURCE
from quilt_packager_runtime.formats.objects import S3Uri, SourceFolder
from quilt_packager_runtime.promotion.promote import promote
from quilt_packager_runtime.promotion.promotion_request import (
    PromotionOutcome,
    PromotionRequest,
    PromotionResult,
)
from quilt_packager_runtime.registry.publish import (
    Message,
    Package,
    list_pointers,
    read_pointer,
)
from quilt_packager_runtime.reporting import telemetry
from quilt_packager_runtime.reporting.log_events import PromotionFailed, RevisionPromoted
from quilt_packager_runtime.settings.promotion_settings import PromotionSettings

PROMOTED = "Package Promoted"
FAILED = "Promotion Failed"
"""The `detail-type` of the events."""

MAX_POINTERS = 100
"""Maximum number of pointers that are read to find that of a revision."""


class CreatedPackage(msgspec.Struct, frozen=True):
    """The detail of an event of a created package."""

    registry: str
    package_name: str
    top_hash: str


class CreatedEvent(msgspec.Struct, frozen=True):
    """An event of a created package. Its id is the id of the promotion."""

    id: str
    detail: CreatedPackage


class EventPromotion:
    """A promotion that an event triggered.

    Args:
        event: The event.
        settings: The rule's settings.
        s3: S3.
    """

    def __init__(self, event: CreatedEvent, settings: PromotionSettings, s3: S3) -> None:
        created = event.detail
        self._event = event
        self._settings = settings
        self._s3 = s3
        self._started = time.monotonic()
        self.request = PromotionRequest(
            source=Package(created.registry, created.package_name),
            top_hash=created.top_hash,
            target=Package(settings.registry, created.package_name),
            copy_to=_folder_of(settings),
            workflow=UNSET if settings.workflow is None else settings.workflow or None,
            on_foreign_revision=settings.on_foreign_revision,
            accepted_metadata=settings.metadata,
            promoted_by=settings.engine,
        )

    @property
    def origin(self) -> dict[str, str]:
        """The fields of all log lines of the promotion."""
        request = self.request
        return {
            "event_id": self._event.id,
            "from_registry": request.source.registry,
            "from_package_name": request.source.name,
            "from_top_hash": request.top_hash or "",
            "registry": request.target.registry,
            "package_name": request.target.name,
        }

    async def run(self, deadline: float) -> PromotionOutcome:
        """Promote the revision; the errors are those of `promote`."""
        return await promote(
            self.request,
            s3=self._s3,
            message=await self._message(),
            deadline=deadline,
        )

    async def _message(self) -> Message:
        """Order the promotions of a package as its revisions are: by their pointers.

        Events arrive in any order, and have whole seconds.
        """
        package, top_hash = self.request.source, self.request.top_hash
        seconds = await list_pointers(self._s3, package)
        for second in reversed(seconds[-MAX_POINTERS:]):
            pointer = await read_pointer(self._s3, package, str(second))
            if pointer.top_hash == top_hash:
                return Message(second * 1000, self._event.id)
        return Message(0, self._event.id)  # the oldest: its pointer was deleted

    def report(self, outcome: PromotionOutcome) -> None:
        """Publish the event of a promotion, if it has published anything, and log it.

        Raises:
            AwsError: The event could not be published; promote again.
        """
        if outcome.outcome is PromotionResult.PROMOTED:
            self._publish(PROMOTED, outcome)
        fields = {**_known(outcome), **self.origin, "seconds": self._seconds()}
        telemetry.log(msgspec.convert(fields, RevisionPromoted))
        telemetry.count_promotion(
            promoted=int(outcome.outcome is PromotionResult.PROMOTED), copied=outcome.copied or 0
        )

    def report_failure(self, error: PackagerError) -> None:
        """Publish the event of a failed promotion; the event that triggered it is a dead letter.

        Raises:
            AwsError: The event could not be published, or the letter not be sent.
        """
        self._publish(FAILED, PromotionOutcome.from_error(self.request, error))
        clients.send_to_dead_letters(
            self._settings.dead_letter_queue_url,
            msgspec.json.encode(self._event).decode(),
            error,
            job_id=self._event.id,
            package_name=self.request.target.name,
            registry=self.request.target.registry,
        )
        self.log_failure(error, final=True)
        telemetry.count_promotion_failure()

    def log_failure(self, error: PackagerError, *, final: bool) -> None:
        """Log a failed attempt."""
        failed = PromotionFailed(
            **self.origin,
            final=final or isinstance(error, Rejected),
            code=error.code,
            reason=error.reason,
            happened=error.happened,
            why=error.why,
            remedy=error.remedy,
        )
        telemetry.log(failed, crash=telemetry.crash_of(error))

    def _publish(self, detail_type: str, outcome: PromotionOutcome) -> None:
        detail = {
            "version": "1",
            "engine": self._settings.engine,
            "event_id": self._event.id,
            "seconds": self._seconds(),
            **_known(outcome),
        }
        clients.put_event(
            self._settings.event_bus,
            source=EVENT_SOURCE,
            detail_type=detail_type,
            detail=msgspec.json.encode(detail).decode(),
        )

    def _seconds(self) -> float:
        return round(time.monotonic() - self._started, 3)


def _folder_of(settings: PromotionSettings) -> SourceFolder | None:
    if settings.copy_to is None:
        return None
    uri = S3Uri.parse(settings.copy_to)
    return SourceFolder(uri.bucket, uri.key)


def _known(outcome: PromotionOutcome) -> dict[str, Any]:
    fields = msgspec.structs.asdict(outcome)
    return {name: value for name, value in fields.items() if value is not None}
