"""Uploads become announcements: record them, look at windows, announce those that are due.

docs/adr/0050-coalescing.md argues why no upload is lost, wherever this dies, and why no
announcement is made twice unless it does.
"""

import time
from collections.abc import Callable, Collection, Mapping

import msgspec

from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.requests.events import OBJECTS_READY
from quilt_packager_runtime.requests.upload_settings import UploadSettings
from quilt_packager_runtime.uploads.wake_ups import Look, send_looks
from quilt_packager_runtime.uploads.window_table import WindowTable
from quilt_packager_runtime.uploads.windows import Window, is_due

CLAIM_MARGIN_MS = 10_000
"""How much longer a claim lasts than the invocation that made it: more than clocks differ by."""


def read_clock_ms() -> int:
    """The time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Coalescer:
    """Gathers uploads in windows, and announces the windows that are due.

    Args:
        settings: The thresholds, and where everything is.
        clock: The time, in milliseconds since 1970.
    """

    def __init__(
        self, settings: UploadSettings, *, clock: Callable[[], int] = read_clock_ms
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._table = WindowTable(settings.table)

    def schedule_quiet_checks(self, folders: Collection[SourceFolder]) -> int:
        """Have windows looked at when they are at rest. To be called before anything is recorded.

        Returns:
            When that is, in milliseconds since 1970.

        Raises:
            AwsError: Nothing may be recorded: nobody might look at it.
        """
        duration_ms = self._settings.threshold_duration_seconds * 1000
        quiet_at_ms = self._clock() + duration_ms
        looks = [Look(folder, quiet_at_ms) for folder in folders]
        send_looks(self._settings.queue_url, looks, delay_ms=duration_ms)
        return quiet_at_ms

    def record(
        self,
        folder: SourceFolder,
        uploads: Collection[bytes],
        *,
        quiet_at_ms: int,
        lifetime_ms: int,
    ) -> int:
        """Add uploads to their window, and announce it if they are enough.

        Args:
            folder: The window's folder.
            uploads: The uploads' digests.
            quiet_at_ms: When the window is looked at next, of `schedule_quiet_checks`.
            lifetime_ms: For how long this invocation may live on.

        Returns:
            How many uploads were announced.

        Raises:
            AwsError: The events must be delivered again.
        """
        window = self._table.add(folder, uploads, quiet_at_ms)
        now_ms = self._clock()
        if now_ms >= quiet_at_ms or window.quiet_at_ms > quiet_at_ms:
            # So late that the look may have been taken already, or that it gives way to another
            # that may have been: there is to be one after this.
            look = Look(folder, window.quiet_at_ms)
            send_looks(self._settings.queue_url, [look], delay_ms=window.quiet_at_ms - now_ms)
        if not is_due(window, self._settings, self._clock()):
            return 0
        # Whoever else has the claim: the look, if nothing else, announces what they leave.
        return self._announce(folder, window, lifetime_ms) or 0

    def look(self, look: Look, *, lifetime_ms: int) -> int:
        """Announce a window if it is at rest, or see to it that it is looked at again.

        Args:
            look: The look.
            lifetime_ms: For how long this invocation may live on.

        Returns:
            How many uploads were announced.

        Raises:
            AwsError: The look must be delivered again.
        """
        window = self._table.read(look.folder)
        now_ms = self._clock()
        if not window.new:
            return 0
        if is_due(window, self._settings, now_ms):
            announced = self._announce(look.folder, window, lifetime_ms)
            if announced is not None:
                return announced
            # Somebody else announces it, if they live: see about it when they cannot any more.
            until_ms = window.claimed_until_ms or now_ms + CLAIM_MARGIN_MS
            self._look_later(look, until_ms - now_ms)
        elif window.quiet_at_ms <= look.quiet_at_ms:
            self._look_later(look, window.quiet_at_ms - now_ms)
        # Otherwise uploads came since, and before they did a later look was sent.
        return 0

    def _announce(self, folder: SourceFolder, seen: Window, lifetime_ms: int) -> int | None:
        """Claim a window, announce it, close it. None: the claim was not to be had."""
        now_ms = self._clock()
        claimed = self._table.claim(
            folder,
            seen,
            now_ms=now_ms,
            until_ms=now_ms + lifetime_ms + CLAIM_MARGIN_MS,
            at_rest=len(seen.new) < self._settings.threshold_event_count,
        )
        if claimed is None:
            return None
        clients.put_event(
            self._settings.event_bus,
            source=self._settings.source,
            detail_type=OBJECTS_READY,
            detail=_describe(folder),
            resources=[f"arn:{self._settings.partition}:s3:::{folder.bucket}"],
        )
        self._table.close(folder, claimed)
        return len(claimed.new)

    def _look_later(self, look: Look, delay_ms: int) -> None:
        send_looks(self._settings.queue_url, [look], delay_ms=delay_ms)


def _describe(folder: SourceFolder) -> str:
    """The detail of an announcement, in EDP's shape."""
    detail: Mapping[str, str] = {
        "version": "0.1",
        "bucket": folder.bucket,
        "prefix": folder.prefix,
    }
    return msgspec.json.encode(detail).decode()
