"""The event sources of an engine, its check, and the reasons for which folders are not packaged."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from quilt_packager_runtime.formats.objects import SourceFolder

from quilt_packager.admin.model.caching import Answer, Cached, CachedEach
from quilt_packager.operations.checks.check import check
from quilt_packager.operations.checks.finding import Finding
from quilt_packager.operations.deployment.configurations import read_upload_settings
from quilt_packager.operations.deployment.credentials import connect_s3
from quilt_packager.operations.deployment.deployments import Deployment
from quilt_packager.operations.folders.answer import Answer as FolderAnswer
from quilt_packager.operations.folders.answer import answer
from quilt_packager.operations.folders.history import FolderHistory, read_history
from quilt_packager.operations.sources.activity import count_events, find_last_events
from quilt_packager.operations.sources.flags import read_deployed_flags
from quilt_packager.operations.sources.sources import Source, list_sources, set_enabled

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCES_SECONDS = 10
"""Time before sources are read again: they may be switched in the console."""

EVENTS_SECONDS = 60
"""Time before events are counted again: CloudWatch metrics arrive late."""

DEPLOYED_SECONDS = 600
"""Time before parts that only a deployment changes are read again."""

EXPLAINED_SECONDS = 15

LOOK_BACK = timedelta(days=7)
"""Time in which jobs of a folder are searched, as `quilt-packager explain` does."""


class Events(NamedTuple):
    """The events of each source, by its name.

    Attributes:
        counts: Number of events in the last day.
        last: Hour of the last event.
    """

    counts: dict[str, int]
    last: dict[str, datetime]


class Explained(NamedTuple):
    """The reason for which a folder was packaged, or was not."""

    history: FolderHistory
    answer: FolderAnswer


class SettingsViews:
    """The views of the Settings page. Threads may share it.

    Args:
        deployment: The engine.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._sources = Cached(lambda: list_sources(deployment))
        self._events = Cached(self._read_events)
        self._flags = Cached(lambda: read_deployed_flags(deployment))
        self._uploads = Cached(lambda: read_upload_settings(deployment))
        self._check = Cached(lambda: check(deployment))
        self._explained = CachedEach(self._explain)

    def sources(self) -> Answer[list[Source]]:
        """Return the event sources."""
        return self._sources.get(SOURCES_SECONDS)

    def events(self) -> Answer[Events]:
        """Return the events of each source."""
        return self._events.get(EVENTS_SECONDS)

    def has_fresh_events(self) -> bool:
        """Return True if `events` would make no request."""
        return self._events.is_fresh(EVENTS_SECONDS)

    def flags(self) -> Answer[dict[str, Any] | None]:
        """Return the flags of the last deployment; None for an engine without flags."""
        return self._flags.get(DEPLOYED_SECONDS)

    def uploads(self) -> Answer[Any]:
        """Return the settings of the coalescers of uploads."""
        return self._uploads.get(DEPLOYED_SECONDS)

    def start(self) -> None:
        """Begin to read all that sources are shown with, at the same time."""
        self._sources.start(SOURCES_SECONDS)
        self._flags.start(DEPLOYED_SECONDS)
        self._uploads.start(DEPLOYED_SECONDS)

    def is_fresh(self) -> bool:
        """Return True if sources can be shown without a request."""
        return self._sources.is_fresh(SOURCES_SECONDS) and self._flags.is_fresh(DEPLOYED_SECONDS)

    def switch(self, name: str, *, enabled: bool) -> Source:
        """Turn a source on or off, and return its state in EventBridge."""
        after = set_enabled(self._deployment, name, enabled=enabled)
        self._sources.invalidate()
        self.sources()
        return after

    def run_check(self) -> None:
        """Begin a check of the engine, unless one is running. It writes to the scratch bucket."""
        self._check.start(0)

    def last_check(self, *, waits: bool) -> Answer[list[Finding]]:
        """Return the findings of the last check, which may be running."""
        return self._check.wait() if waits else self._check.peek()

    def is_checking(self) -> bool:
        """Return True if a check is running."""
        return self._check.is_running

    def explained(self, folder: SourceFolder) -> Answer[Explained]:
        """Return the reason for which a folder was packaged, or was not."""
        return self._explained.of(folder).get(EXPLAINED_SECONDS)

    def _read_events(self) -> Events:
        sources: Sequence[Source] = self.sources().value or []
        counts = count_events(self._deployment, sources)
        return Events(counts, find_last_events(self._deployment, sources))

    def _explain(self, folder: SourceFolder) -> Explained:
        options = self._deployment.options
        reading = read_history(
            self._deployment,
            folder,
            connect_s3(options.profile, options.region),
            since=datetime.now(UTC) - LOOK_BACK,
        )
        history = asyncio.run(reading)
        return Explained(history, answer(self._deployment, history))
