"""Settings of the coalescer: the construct writes them, the handler reads them."""

from collections.abc import Mapping
from typing import Self

import msgspec

from quilt_packager_runtime.formats.event_names import UPLOADS_SOURCE

VARIABLE = "QUILT_PACKAGER_UPLOADS"


class UploadSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one coalescer of uploads. One variable carries them all, as JSON.

    Attributes:
        threshold_event_count: Number of uploads after which a prefix is announced at once.
        threshold_duration_seconds: Seconds without an upload after which a prefix is announced.
        prefix_depth: Number of path components of announced prefixes.
        ignore_prefixes: Prefixes of keys that are never announced.
        source: The source of the announcements.
        event_bus: The bus of the announcements.
        partition: The AWS partition, for ARNs.
        table: The table of windows.
        queue_url: The coalescer's own queue.
        dead_letter_queue_url: The queue of messages that cannot be parsed.

    Example:
        >>> settings = UploadSettings(prefix_depth=3, ignore_prefixes=("tmp/", "a,b/"))
        >>> UploadSettings.from_environment(settings.to_environment()) == settings
        True
    """

    threshold_event_count: int = 20
    threshold_duration_seconds: int = 300
    prefix_depth: int = 2
    ignore_prefixes: tuple[str, ...] = ()
    source: str = UPLOADS_SOURCE
    event_bus: str = ""
    partition: str = "aws"
    table: str = ""
    queue_url: str = ""
    dead_letter_queue_url: str = ""

    def to_environment(self) -> dict[str, str]:
        """Return the environment variable with these settings."""
        return {VARIABLE: msgspec.json.encode(self).decode()}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Parse the variable that `to_environment` returns.

        Raises:
            ValueError: The variable is missing, or has a value of the wrong form.
        """
        try:
            return msgspec.json.decode(environment.get(VARIABLE, ""), type=cls)
        except msgspec.DecodeError as error:
            raise ValueError(f"{VARIABLE} does not fit: {error}") from error
