"""Coalescing of uploads: records them in windows, checks windows, and announces those that are due.

docs/adr/0050-coalescing.md shows why no upload is lost if an invocation dies anywhere, and why no
window is announced twice otherwise.
"""

import time
from collections.abc import Callable, Collection

import msgspec

from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.requests.events import OBJECTS_READY
from quilt_packager_runtime.settings.upload_settings import UploadSettings
from quilt_packager_runtime.uploads.wake_ups import WindowCheck, send_checks
from quilt_packager_runtime.uploads.window_table import WindowTable
from quilt_packager_runtime.uploads.windows import Window, is_due

CLAIM_MARGIN_MS = 10_000
"""Time that a claim outlasts the invocation that made it: more than clocks differ by."""


def read_clock_ms() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Coalescer:
    """Collects uploads in windows, and announces the windows that are due.

    Args:
        settings: Thresholds and resources.
        clock: Returns the time in milliseconds since 1970.
    """

    def __init__(
        self, settings: UploadSettings, *, clock: Callable[[], int] = read_clock_ms
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._table = WindowTable(settings.table)

    def schedule_quiet_checks(self, folders: Collection[SourceFolder]) -> int:
        """Schedule a check of each window for when it is quiet. Call this before `record`.

        Returns:
            The time of the checks, in milliseconds since 1970.

        Raises:
            AwsError: Do not record anything: a quiet window could go undetected.
        """
        duration_ms = self._settings.threshold_duration_seconds * 1000
        quiet_at_ms = self._clock() + duration_ms
        checks = [WindowCheck(folder, quiet_at_ms) for folder in folders]
        send_checks(self._settings.queue_url, checks, delay_ms=duration_ms)
        return quiet_at_ms

    def record(
        self,
        folder: SourceFolder,
        uploads: Collection[bytes],
        *,
        quiet_at_ms: int,
        lifetime_ms: int,
    ) -> int:
        """Add uploads to their window, and announce the window if there are enough of them.

        Args:
            folder: Folder of the window.
            uploads: Digests of the uploads.
            quiet_at_ms: Time that `schedule_quiet_checks` returned.
            lifetime_ms: Maximum remaining time of the invocation.

        Returns:
            The number of uploads that were announced.

        Raises:
            AwsError: The events must be delivered again.
        """
        window = self._table.add(folder, uploads, quiet_at_ms)
        now_ms = self._clock()
        if now_ms >= quiet_at_ms or window.quiet_at_ms > quiet_at_ms:
            # The scheduled check, or a later one that it yields to, may have been handled before
            # the uploads were added.
            self._schedule_check(
                WindowCheck(folder, window.quiet_at_ms), window.quiet_at_ms, now_ms
            )
        if not is_due(window, self._settings, self._clock()):
            return 0
        # If another invocation has the claim, a later check announces the remaining uploads.
        return self._announce(folder, window, lifetime_ms) or 0

    def check(self, check: WindowCheck, *, lifetime_ms: int) -> int:
        """Announce a window if it is due; otherwise ensure that another check follows.

        Args:
            check: Message that asks for the check.
            lifetime_ms: Maximum remaining time of the invocation.

        Returns:
            The number of uploads that were announced.

        Raises:
            AwsError: The check must be delivered again.
        """
        window = self._table.read(check.folder)
        now_ms = self._clock()
        if not window.new:
            return 0
        if is_due(window, self._settings, now_ms):
            announced = self._announce(check.folder, window, lifetime_ms)
            if announced is not None:
                return announced
            # Another invocation has the claim. If it dies, this check comes when the claim ends.
            claim_end_ms = window.claimed_until_ms or now_ms + CLAIM_MARGIN_MS
            self._schedule_check(check, claim_end_ms, now_ms)
        elif window.quiet_at_ms <= check.quiet_at_ms:
            self._schedule_check(check, window.quiet_at_ms, now_ms)
        # Otherwise there are later uploads, whose own check was sent before they were recorded.
        return 0

    def _announce(self, folder: SourceFolder, seen: Window, lifetime_ms: int) -> int | None:
        """Claim, announce and close a window; None if it could not be claimed."""
        now_ms = self._clock()
        claimed = self._table.claim(
            folder,
            seen,
            now_ms=now_ms,
            until_ms=now_ms + lifetime_ms + CLAIM_MARGIN_MS,
            because_quiet=len(seen.new) < self._settings.threshold_event_count,
        )
        if claimed is None:
            return None
        # In the shape of Event-Driven Packaging (EDP).
        detail = {"version": "0.1", "bucket": folder.bucket, "prefix": folder.prefix}
        clients.put_event(
            self._settings.event_bus,
            source=self._settings.source,
            detail_type=OBJECTS_READY,
            detail=msgspec.json.encode(detail).decode(),
            resources=[f"arn:{self._settings.partition}:s3:::{folder.bucket}"],
        )
        self._table.close(folder, claimed)
        return len(claimed.new)

    def _schedule_check(self, check: WindowCheck, at_ms: int, now_ms: int) -> None:
        send_checks(self._settings.queue_url, [check], delay_ms=at_ms - now_ms)
