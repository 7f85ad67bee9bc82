"""When uploads below a prefix have come to rest: the policy, without a clock or a table of its own.

A window holds the uploads below one prefix that no announcement is known to cover.
"""

import hashlib

import msgspec

from quilt_packager_runtime.formats.objects import REGISTRY_PREFIX, SourceFolder
from quilt_packager_runtime.requests.upload_settings import UploadSettings
from quilt_packager_runtime.uploads.upload_events import Upload

DIGEST_BYTES = 16


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the uploads below one prefix.

    Attributes:
        uploads: The digests of those that no announcement is known to cover.
        announced: The digests of those that the last announcement covered: what is delivered once
            more is known again.
        quiet_at_ms: When it is at rest if nothing else comes, in milliseconds since 1970.
        turn: How many announcements there were.
        claimed_until_ms: Until when somebody may be announcing it; None: nobody is.
    """

    uploads: frozenset[bytes] = frozenset()
    announced: frozenset[bytes] = frozenset()
    quiet_at_ms: int = 0
    turn: int = 0
    claimed_until_ms: int | None = None

    @property
    def new(self) -> frozenset[bytes]:
        """The uploads that an announcement is wanted for."""
        return self.uploads - self.announced


def is_due(window: Window, settings: UploadSettings, now_ms: int) -> bool:
    """Tell whether a window is to be announced: enough uploads have come, or none for long enough.

    Args:
        window: The window.
        settings: The thresholds.
        now_ms: The time, in milliseconds since 1970.

    Example:
        >>> window = Window(uploads=frozenset({b"one"}), quiet_at_ms=1000)
        >>> settings = UploadSettings(threshold_event_count=2)
        >>> is_due(window, settings, 999), is_due(window, settings, 1000)
        (False, True)
    """
    if not window.new:
        return False
    return len(window.new) >= settings.threshold_event_count or window.quiet_at_ms <= now_ms


def find_folder(upload: Upload, settings: UploadSettings) -> SourceFolder | None:
    """Find the folder whose window an upload goes into; None: it opens none.

    That are packages, what is ignored, what lies at a bucket's root, which would package the whole
    bucket, and the empty objects that stand for folders.

    Args:
        upload: The upload.
        settings: The depth of folders, and what is ignored.

    Example:
        >>> find_folder(Upload("b", "lab/plate/raw/1.csv", "0a", 5), UploadSettings())
        SourceFolder(bucket='b', prefix='lab/plate/')
        >>> find_folder(Upload("b", "lab/1.csv", "0a", 5), UploadSettings())
        SourceFolder(bucket='b', prefix='lab/')
    """
    *components, name = upload.key.split("/")
    is_marker = not name and upload.size_bytes == 0
    if not components or is_marker or upload.key.startswith(ignored_prefixes(settings)):
        return None
    return SourceFolder(upload.bucket, "/".join(components[: settings.prefix_depth]) + "/")


def ignored_prefixes(settings: UploadSettings) -> tuple[str, ...]:
    """The prefixes below which nothing opens a window; packages are always among them."""
    return (REGISTRY_PREFIX, *settings.ignore_prefixes)


def identify(upload: Upload) -> bytes:
    """A digest that is equal for two deliveries of one event, and for nothing else.

    S3's sequencers tell two uploads to one key apart, in whatever order they come.
    """
    # A sequencer has no `/`, so no two pairs make one text.
    text = f"{upload.sequencer}/{upload.key}"
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).digest()
