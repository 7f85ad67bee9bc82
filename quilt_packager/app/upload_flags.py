"""The flag for uploads: `true`, the JSON of the props of an `ObjectUploads`, or a file of it."""

from pathlib import Path

import msgspec
from quilt_packager_runtime.settings.upload_settings import UploadSettings, check_ready_when

from quilt_packager.guardrails.limits import (
    BucketName,
    EventSourceName,
    KeyPrefix,
    PrefixDepth,
    ThresholdEventCount,
    ThresholdSeconds,
)

_DEFAULTS = UploadSettings()


class UploadRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The props of an `ObjectUploads`.

    Attributes:
        buckets: Names of the source buckets to watch. Empty: all source buckets.
        threshold_event_count: Number of uploads after which a folder is packaged at once.
        threshold_duration: Seconds without an upload after which a folder is packaged.
        prefix_depth: Number of path components of the folders that become packages.
        ignore_prefixes: Prefixes of keys to ignore.
        ready_when: Kinds of folders, or globs of files, that complete a folder.
        source: The source of the announcements.
        enabled: Send uploads to the coalescer.
    """

    buckets: tuple[BucketName, ...] = ()
    threshold_event_count: ThresholdEventCount = _DEFAULTS.threshold_event_count
    threshold_duration: ThresholdSeconds = _DEFAULTS.threshold_duration_seconds
    prefix_depth: PrefixDepth = _DEFAULTS.prefix_depth
    ignore_prefixes: tuple[KeyPrefix, ...] = ()
    ready_when: str | tuple[str, ...] = ()
    source: EventSourceName = _DEFAULTS.source
    enabled: bool = True

    def __post_init__(self) -> None:
        """Validate the completion markers."""
        check_ready_when(self.ready_when)


def read_upload_rules(text: str) -> UploadRules | None:
    """Read the flag. None: uploads are not packaged.

    Args:
        text: `true`, a JSON object, the path of a file with one, or empty.

    Raises:
        ValueError: The JSON cannot be read, or a prop is invalid.

    Example:
        >>> read_upload_rules('{"prefix_depth": 3}').prefix_depth
        3
        >>> read_upload_rules("")
    """
    if not text:
        return None
    if text == "true":
        return UploadRules()
    try:
        data = text.encode() if text.startswith("{") else Path(text).read_bytes()
        return msgspec.json.decode(data, type=UploadRules)
    except (OSError, msgspec.DecodeError) as error:
        raise ValueError(str(error)) from error
