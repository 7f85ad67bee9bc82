"""How uploads are coalesced: set by the construct, read by the handler, one class for both."""

from collections.abc import Mapping
from typing import Self

import msgspec

from quilt_packager_runtime.formats.event_names import UPLOADS_SOURCE

VARIABLE = "QUILT_PACKAGER_UPLOADS"


class UploadSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one coalescer of uploads. One variable carries them all, as JSON.

    Attributes:
        threshold_event_count: How many uploads are announced without waiting for more.
        threshold_duration_seconds: How long no upload must have come for fewer to be announced.
        prefix_depth: How many components the prefixes have that are announced.
        ignore_prefixes: Prefixes of keys that are never announced.
        source: The source of the announcements.
        event_bus: The bus that they are put on.
        partition: AWS's partition, which ARNs begin with.
        table: The table of windows.
        queue_url: The coalescer's own queue.
        dead_letter_queue_url: Where messages go that it cannot read.

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
        """The environment variable that carries these settings."""
        return {VARIABLE: msgspec.json.encode(self).decode()}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read what `to_environment` wrote.

        Raises:
            ValueError: The variable is missing, or has a value of the wrong form.
        """
        try:
            return msgspec.json.decode(environment.get(VARIABLE, ""), type=cls)
        except msgspec.DecodeError as error:
            raise ValueError(f"{VARIABLE} does not fit: {error}") from error
