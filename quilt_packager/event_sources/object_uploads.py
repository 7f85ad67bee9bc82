"""Packaging of uploads: Event-Driven Packaging without a VPC and a relational database."""

from collections.abc import Sequence
from typing import Unpack

import msgspec
from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_s3 as s3
from quilt_packager_runtime.formats.event_names import UPLOADS_SOURCE
from quilt_packager_runtime.requests.events import objects_ready_pattern
from quilt_packager_runtime.settings.upload_settings import UploadSettings, check_ready_when
from quilt_packager_runtime.uploads.upload_events import uploads_pattern

from quilt_packager.contract import UPLOADS
from quilt_packager.engine.engine import PackagingEngine
from quilt_packager.engine.source_names import find_name
from quilt_packager.event_sources.coalescer import Coalescer
from quilt_packager.event_sources.package_options import (
    CommonOptions,
    check_buckets,
    read_options,
    watched_bucket_names,
)
from quilt_packager.guardrails.limits import (
    EventSourceName,
    KeyPrefix,
    PrefixDepth,
    ThresholdEventCount,
    ThresholdSeconds,
    find_violations,
)
from quilt_packager.guardrails.prop_types import find_wrong_types, raise_violations

_DEFAULTS = UploadSettings()

_DEFAULT_ID = "ObjectUploads"


class ObjectUploads:
    """Packages folders when uploads to them have stopped.

    A folder is ready after a number of uploads, or after a time without one. It is announced by one
    `package-objects-ready` event, in the shape of Event-Driven Packaging (EDP), on a bus of the
    engine, and packaged. The buckets must send their events to EventBridge.

    Args:
        buckets: Buckets to watch, all of them source buckets of the engine. Default: all of the
            engine's source buckets.
        threshold_event_count: Number of uploads after which a folder is packaged at once, from 1 to
            1000. Default: 20.
        threshold_duration: Time without an upload after which a folder is packaged, from 1
            second to 12 hours. Default: 5 minutes.
        prefix_depth: Number of path components of the folders that become packages, from 1 to 100.
            For an object in a shorter path, its own folder is packaged, but never the whole bucket.
            Default: 2.
        ignore_prefixes: Prefixes of keys to ignore, in addition to `.quilt/`. They are not globs.
            Default: none.
        ready_when: Package a folder only after the file that completes it: kinds of folders, such
            as `"illumina"` for `CopyComplete.txt`, or globs of such files, relative to the folder.
            The folder is announced when `threshold_duration` has passed since the upload of that
            file; at once, if `threshold_event_count` is 1. It may have any depth. Default: any
            upload counts.
        source: `source` of the announcements. Default: `quilt.packager.uploads`.
            `com.quiltdata.edp` replaces EDP.
        event_bus: Event bus for the announcements. Default: a new bus.
        enabled: Process uploads. Default: true. Disabled rules stay in place.
        construct_id: Id of the construct. Default: the name of the class.
        **options: Package options: `package_name`, `include_prefixes`, `exclude`,
            `contents`, `missing_parts`, `settle_seconds`, `require`, `require_timeout_seconds`,
            `verify_checksums`, `on_foreign_revision`. See `CommonOptions`.

    Raises:
        TypeError: Props are of another type. All violations are listed.
        ValueError: Props have invalid values. All of them are listed.

    Example:
        >>> uploads = ObjectUploads(
        ...     threshold_event_count=50,
        ...     threshold_duration=Duration.minutes(2),
        ...     package_name="plates/{folder}",
        ... )
    """

    def __init__(
        self,
        buckets: Sequence[s3.IBucket] | None = None,
        *,
        threshold_event_count: int = _DEFAULTS.threshold_event_count,
        threshold_duration: Duration | None = None,
        prefix_depth: int = _DEFAULTS.prefix_depth,
        ignore_prefixes: Sequence[str] = (),
        ready_when: str | Sequence[str] = (),
        source: str = UPLOADS_SOURCE,
        event_bus: events.IEventBus | None = None,
        enabled: bool = True,
        construct_id: str = _DEFAULT_ID,
        **options: Unpack[CommonOptions],
    ) -> None:
        wrong = find_wrong_types(
            {
                "buckets": (buckets, Sequence[s3.IBucket] | None),
                "threshold_duration": (threshold_duration, Duration | None),
                "ignore_prefixes": (ignore_prefixes, Sequence[str]),
                "event_bus": (event_bus, events.IEventBus | None),
                "enabled": (enabled, bool),
            }
        )
        duration_seconds = _DEFAULTS.threshold_duration_seconds
        if threshold_duration is not None and "threshold_duration" not in wrong:
            duration_seconds = int(threshold_duration.to_seconds(integral=False))
        violations = find_violations(
            {
                "threshold_event_count": (threshold_event_count, ThresholdEventCount),
                "threshold_duration, in seconds,": (duration_seconds, ThresholdSeconds),
                "prefix_depth": (prefix_depth, PrefixDepth),
                "ignore_prefixes": (list(ignore_prefixes), list[KeyPrefix]),
                "source": (source, EventSourceName),
            }
        )
        for check in (
            lambda: check_buckets(buckets),
            lambda: read_options("objects_ready", **options),
            lambda: check_ready_when(ready_when),
        ):
            try:
                check()
            except ValueError as error:
                violations.append(str(error))
        raise_violations("ObjectUploads", wrong_types=wrong.values(), violations=violations)
        self._options = read_options("objects_ready", **options)
        self._buckets = buckets
        self._settings = UploadSettings(
            threshold_event_count=threshold_event_count,
            threshold_duration_seconds=duration_seconds,
            prefix_depth=prefix_depth,
            ignore_prefixes=tuple(ignore_prefixes),
            ready_when=check_ready_when(ready_when),
            source=source,
        )
        self._event_bus = event_bus
        self._enabled = enabled
        self._construct_id = construct_id
        self._coalescer: Coalescer | None = None

    @property
    def coalescer(self) -> Coalescer:
        """The construct that records uploads: its queues, table, function, log group and bus.

        Raises:
            RuntimeError: The event source has not been added to an engine.
        """
        if self._coalescer is None:
            raise RuntimeError(
                f"{self._construct_id} has no coalescer yet; add it to an engine first"
            )
        return self._coalescer

    def bind(self, engine: PackagingEngine) -> None:
        """Add the coalescer, its bus, and the rules to and from it.

        Raises:
            LimitExceeded: The pattern of the buckets' names is too long.
            ValueError: A bucket is no source bucket of the engine, the id is not unique, or another
                source of the same announcements has other options.
        """
        if engine.node.try_find_child(self._construct_id):
            raise ValueError(
                f"{engine.node.path} has {self._construct_id!r} already; give the event source "
                "another construct_id"
            )
        names = watched_bucket_names("ObjectUploads", self._buckets, engine.source_buckets)
        pattern = uploads_pattern(names, self._settings.ignore_prefixes, self._settings.ready_when)
        engine.add_source_options(
            msgspec.structs.replace(
                self._options,
                # All source buckets is the default, which takes no space in the environment.
                only=names if self._buckets is not None else (),
                sender=self._settings.source,
            )
        )
        bus = self._event_bus or events.EventBus(engine, f"{self._construct_id}Bus")
        is_first = self._construct_id == _DEFAULT_ID
        name = find_name(self._construct_id, _DEFAULT_ID, UPLOADS)
        coalescer = self._coalescer = Coalescer(
            engine,
            self._construct_id,
            name=name,
            settings=self._settings,
            log_name="CoalescerLambda" if is_first else f"{self._construct_id}/CoalescerLambda",
            event_bus=bus,
        )
        rule = coalescer.add_rule(pattern, enabled=self._enabled)
        engine.name_source(rule, name, "objects_ready", sender=self._settings.source)
        engine.add_rule(
            f"{self._construct_id}Ready",
            pattern=objects_ready_pattern([self._settings.source]),
            description="Prefixes below which uploads have stopped",
            event_bus=bus,
            kind=None,
        )
