"""Packaging of uploads: Event-Driven Packaging without a VPC and a relational database."""

from collections.abc import Sequence
from typing import Unpack

import msgspec
from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_s3 as s3
from quilt_packager_runtime.formats.event_names import UPLOADS_SOURCE
from quilt_packager_runtime.requests.events import objects_ready_pattern
from quilt_packager_runtime.settings.source_options import SourceOptions
from quilt_packager_runtime.settings.upload_settings import UploadSettings
from quilt_packager_runtime.uploads.upload_events import uploads_pattern

from quilt_packager.contract import UPLOADS
from quilt_packager.engine.engine import PackagingEngine
from quilt_packager.engine.source_names import find_name
from quilt_packager.event_sources.coalescer import Coalescer
from quilt_packager.event_sources.package_options import CommonOptions
from quilt_packager.guardrails.limits import (
    EventSourceName,
    KeyPrefix,
    PrefixDepth,
    ThresholdEventCount,
    ThresholdSeconds,
    find_violations,
)

_DEFAULTS = UploadSettings()

_DEFAULT_ID = "ObjectUploads"


class ObjectUploads:
    """Packages folders when uploads to them have stopped.

    A folder is ready after enough uploads, or after a long enough time without one. It is
    announced by one `package-objects-ready` event, in the shape of Event-Driven Packaging (EDP), on
    a bus of the engine's own, and packaged. The buckets must send their events to EventBridge.

    Args:
        buckets: The buckets to watch, all of them source buckets of the engine. Default: all of
            the engine's source buckets.
        threshold_event_count: Number of uploads after which a folder is packaged at once, from 1 to
            1000. Default: 20.
        threshold_duration: Time without an upload after which a folder is packaged, from 1
            second to 12 hours. Default: 5 minutes.
        prefix_depth: Number of path components of folders that become packages, from 1 to 100. An
            object higher up has its own folder packaged, but never the whole bucket. Default: 2.
        ignore_prefixes: Prefixes of keys, no globs, that are ignored. Default: only `.quilt/`
            is.
        source: The source of the announcements. Default: `quilt.packager.uploads`;
            `com.quiltdata.edp` stands in for EDP.
        event_bus: The bus for the announcements. Default: a new bus.
        enabled: Process uploads. Default: true. Disabled rules stay in place.
        construct_id: The id of its construct. Default: the class's name.
        **options: Options of its packages: `package_name`, `include_prefixes`, `exclude`,
            `settle_seconds`.

    Raises:
        ValueError: Props have invalid values. All of them are listed.
    """

    def __init__(
        self,
        buckets: Sequence[s3.IBucket] | None = None,
        *,
        threshold_event_count: int = _DEFAULTS.threshold_event_count,
        threshold_duration: Duration | None = None,
        prefix_depth: int = _DEFAULTS.prefix_depth,
        ignore_prefixes: Sequence[str] = (),
        source: str = UPLOADS_SOURCE,
        event_bus: events.IEventBus | None = None,
        enabled: bool = True,
        construct_id: str = _DEFAULT_ID,
        **options: Unpack[CommonOptions],
    ) -> None:
        duration_seconds = _DEFAULTS.threshold_duration_seconds
        if threshold_duration is not None:
            duration_seconds = int(threshold_duration.to_seconds())
        violations = find_violations(
            {
                "threshold_event_count": (threshold_event_count, ThresholdEventCount),
                "threshold_duration, in seconds,": (duration_seconds, ThresholdSeconds),
                "prefix_depth": (prefix_depth, PrefixDepth),
                "ignore_prefixes": (list(ignore_prefixes), list[KeyPrefix]),
                "source": (source, EventSourceName),
            }
        )
        if buckets is not None and not buckets:
            violations.append("buckets is empty; leave it out to watch all source buckets")
        try:
            self._options = msgspec.convert({"kind": "objects_ready", **options}, SourceOptions)
        except msgspec.ValidationError as error:
            violations.append(str(error))
        if violations:
            raise ValueError("Invalid props of ObjectUploads: " + "; ".join(violations))
        self._buckets = buckets
        self._settings = UploadSettings(
            threshold_event_count=threshold_event_count,
            threshold_duration_seconds=duration_seconds,
            prefix_depth=prefix_depth,
            ignore_prefixes=tuple(ignore_prefixes),
            source=source,
        )
        self._event_bus = event_bus
        self._enabled = enabled
        self._construct_id = construct_id

    def bind(self, engine: PackagingEngine) -> None:
        """Add the coalescer, its bus, and the rules to and from it.

        Raises:
            ValueError: A bucket is no source bucket of the engine, the engine has such uploads
                already, or others of the same announcements with other options, or the names are
                too many for one rule.
        """
        if engine.node.try_find_child(self._construct_id):
            raise ValueError(
                f"{engine.node.path} has {self._construct_id!r} already; give the event source "
                "another construct_id"
            )
        names = tuple(bucket.bucket_name for bucket in self._find_buckets(engine))
        pattern = uploads_pattern(names, self._settings.ignore_prefixes)
        engine.add_source_options(
            msgspec.structs.replace(
                self._options,
                # No job is of other buckets: all of them need no room in the environment.
                only=names if self._buckets is not None else (),
                sender=self._settings.source,
            )
        )
        bus = self._event_bus or events.EventBus(engine, f"{self._construct_id}Bus")
        is_first = self._construct_id == _DEFAULT_ID
        name = find_name(self._construct_id, _DEFAULT_ID, UPLOADS)
        coalescer = Coalescer(
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

    def _find_buckets(self, engine: PackagingEngine) -> Sequence[s3.IBucket]:
        sources = {bucket.bucket_name for bucket in engine.source_buckets}
        buckets = engine.source_buckets if self._buckets is None else self._buckets
        foreign_buckets = [bucket for bucket in buckets if bucket.bucket_name not in sources]
        if foreign_buckets:
            paths = ", ".join(bucket.node.path for bucket in foreign_buckets)
            raise ValueError(f"buckets of ObjectUploads that are no source_buckets: {paths}")
        return buckets
