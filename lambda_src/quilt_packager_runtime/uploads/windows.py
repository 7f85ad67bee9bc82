"""The policy of windows, without a clock or a table: the folder of an upload, and when it is due.

A window holds the uploads below one prefix that no announcement is known to cover.
"""

import hashlib

import msgspec

from quilt_packager_runtime.formats.objects import REGISTRY_PREFIX, SourceFolder
from quilt_packager_runtime.formats.recognisers import find_completed
from quilt_packager_runtime.settings.upload_settings import UploadSettings
from quilt_packager_runtime.uploads.upload_events import Upload

DIGEST_BYTES = 16


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a window.

    Attributes:
        uploads: Digests of the uploads that no announcement is known to cover.
        announced: Digests of the uploads that the last announcement covered, to recognize
            duplicate deliveries.
        quiet_at_ms: Time at which the window is quiet without further uploads, in milliseconds
            since 1970.
        generation: Number of announcements so far.
        claimed_until_ms: End of the claim of an invocation that may be announcing the window.
    """

    uploads: frozenset[bytes] = frozenset()
    announced: frozenset[bytes] = frozenset()
    quiet_at_ms: int = 0
    generation: int = 0
    claimed_until_ms: int | None = None

    @property
    def new(self) -> frozenset[bytes]:
        """The uploads that need an announcement."""
        return self.uploads - self.announced


def is_due(window: Window, settings: UploadSettings, now_ms: int) -> bool:
    """Return whether to announce a window: it has enough new uploads, or any and is quiet.

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
    """Return the folder whose window an upload belongs to.

    None for packages, ignored prefixes, objects at the root of a bucket, which would package the
    whole bucket, and the empty objects that represent folders. With `ready_when`, the completion
    marker of a folder opens its window, and None is returned for all other objects.

    Example:
        >>> find_folder(Upload("b", "lab/plate/raw/1.csv", "0a", 5), UploadSettings())
        SourceFolder(bucket='b', prefix='lab/plate/')
        >>> find_folder(Upload("b", "lab/1.csv", "0a", 5), UploadSettings())
        SourceFolder(bucket='b', prefix='lab/')
        >>> marked = UploadSettings(ready_when=("illumina",))
        >>> find_folder(Upload("b", "lab/1/run/CopyComplete.txt", "0a", 5), marked)
        SourceFolder(bucket='b', prefix='lab/1/run/')
    """
    *components, name = upload.key.split("/")
    is_marker = not name and upload.size_bytes == 0
    is_ignored = upload.key.startswith((REGISTRY_PREFIX, *settings.ignore_prefixes))
    if not components or is_marker or is_ignored:
        return None
    if settings.ready_when:
        prefix = find_completed(upload.key, settings.ready_when)
        return SourceFolder(upload.bucket, prefix) if prefix is not None else None
    return SourceFolder(upload.bucket, "/".join(components[: settings.prefix_depth]) + "/")


def identify(upload: Upload) -> bytes:
    """Return a digest that only deliveries of the same event share.

    S3's sequencers distinguish uploads to one key, in any order of delivery.
    """
    # A sequencer has no `/`, so two pairs never make the same text.
    text = f"{upload.sequencer}/{upload.key}"
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).digest()
