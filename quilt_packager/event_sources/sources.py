"""Event sources: each binds a pattern of the runtime's `events.py` to an engine.

Built-in sources send the whole event; `events.py` has its translation beside its pattern.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Unpack

import msgspec
from aws_cdk import aws_events as events
from aws_cdk import aws_s3 as s3
from quilt_packager_runtime.requests.events import (
    health_omics_pattern,
    objects_ready_pattern,
    workflow_run_crate_pattern,
)

from quilt_packager import contract
from quilt_packager.engine.engine import PackagingEngine
from quilt_packager.engine.source_names import find_name
from quilt_packager.event_sources.package_options import (
    PackageOptions,
    check_buckets,
    read_options,
    watched_bucket_names,
)
from quilt_packager.guardrails import permissions
from quilt_packager.guardrails.prop_types import check_props

_OMICS_ID = "HealthOmicsRuns"
_CRATES_ID = "WorkflowRunCrates"
_READY_ID = "ObjectsReady"


class HealthOmicsRuns:
    """Packages the output folder of HealthOmics runs.

    Args:
        statuses: Statuses on which a run is packaged. Default: `COMPLETED`.
        metadata: `run` for the run's metadata from the event and HealthOmics, or `none`. Default:
            `run`.
        parameters: Include the run's parameters in the metadata. Values of parameters whose name
            suggests a secret are redacted. Default: false.
        enabled: Send events to the queue. Default: true. A disabled rule stays in place.
        construct_id: Id of the rule. Default: the name of the class.
        **options: Package options: `package_name`, `include_prefixes`, `ignore_prefixes`,
            `exclude`, `contents`, `missing_parts`, `settle_seconds`, `require`,
            `require_timeout_seconds`, `verify_checksums`, `on_foreign_revision`. See
            `PackageOptions`.

    Raises:
        TypeError: A prop is of another type.
        ValueError: `statuses` is empty or has an unknown status, or an option is invalid. All
            violations are listed.

    Example:
        >>> failed = HealthOmicsRuns(
        ...     statuses=["FAILED", "CANCELLED"],
        ...     package_name="failed-runs/{run_id}",
        ...     construct_id="FailedRuns",
        ... )
    """

    def __init__(
        self,
        *,
        statuses: Sequence[str] = ("COMPLETED",),
        metadata: Literal["run", "none"] = "run",
        parameters: bool = False,
        enabled: bool = True,
        construct_id: str = _OMICS_ID,
        **options: Unpack[PackageOptions],
    ) -> None:
        check_props(
            "HealthOmicsRuns",
            {"statuses": (statuses, Sequence[str]), "enabled": (enabled, bool)},
            {
                "statuses": lambda: health_omics_pattern(statuses),
                "metadata": lambda: _is_wanted(metadata, "run"),
                "options": lambda: read_options("health_omics", parameters=parameters, **options),
            },
        )
        self._pattern = health_omics_pattern(statuses)
        self._options = read_options(
            "health_omics",
            only=statuses,
            metadata=_is_wanted(metadata, "run"),
            parameters=parameters,
            **options,
        )
        self._description = f"HealthOmics runs that are {', '.join(statuses)}"
        self._enabled = enabled
        self._construct_id = construct_id

    def bind(self, engine: PackagingEngine) -> None:
        """Add the rule, and allow the function to describe runs."""
        engine.add_rule(
            self._construct_id,
            pattern=self._pattern,
            description=self._description,
            enabled=self._enabled,
            name=find_name(self._construct_id, _OMICS_ID, contract.OMICS),
            kind="health_omics",
        )
        engine.add_source_options(self._options)
        permissions.add_statements(engine.packager_function, [permissions.get_omics_runs(engine)])


class WorkflowRunCrates:
    """Packages folders to which a Workflow Run RO-Crate is written.

    The buckets must send their events to EventBridge.

    Args:
        buckets: Buckets to watch, all of them source buckets of the engine. Default: all of the
            engine's source buckets.
        metadata: `crate` for the metadata in the crate, or `none`. Default: `crate`.
        allow_bucket_root: Package the whole bucket for a crate at its root. Default: false.
        enabled: Send events to the queue. Default: true. A disabled rule stays in place.
        construct_id: Id of the rule. Default: the name of the class.
        **options: Package options: `package_name`, `include_prefixes`, `ignore_prefixes`,
            `exclude`, `contents`, `missing_parts`, `settle_seconds`, `require`,
            `require_timeout_seconds`, `verify_checksums`, `on_foreign_revision`. See
            `PackageOptions`.

    Raises:
        TypeError: A prop is of another type.
        ValueError: `buckets` is empty, or an option is invalid. All violations are listed.

    Example:
        >>> crates = WorkflowRunCrates(
        ...     package_name="{workflow_name}/{run_id}", exclude=["work/**"], settle_seconds=120
        ... )
    """

    def __init__(
        self,
        *,
        buckets: Sequence[s3.IBucket] | None = None,
        metadata: Literal["crate", "none"] = "crate",
        allow_bucket_root: bool = False,
        enabled: bool = True,
        construct_id: str = _CRATES_ID,
        **options: Unpack[PackageOptions],
    ) -> None:
        check_props(
            "WorkflowRunCrates",
            {"buckets": (buckets, Sequence[s3.IBucket] | None), "enabled": (enabled, bool)},
            {
                "buckets": lambda: check_buckets(buckets),
                "metadata": lambda: _is_wanted(metadata, "crate"),
                "options": lambda: read_options(
                    "workflow_run_crate", allow_bucket_root=allow_bucket_root, **options
                ),
            },
        )
        self._buckets = buckets
        self._options = read_options(
            "workflow_run_crate",
            metadata=_is_wanted(metadata, "crate"),
            allow_bucket_root=allow_bucket_root,
            **options,
        )
        self._enabled = enabled
        self._construct_id = construct_id

    def bind(self, engine: PackagingEngine) -> None:
        """Add the rule.

        Raises:
            ValueError: A bucket is no source bucket of the engine: its jobs would be rejected.
        """
        names = watched_bucket_names("WorkflowRunCrates", self._buckets, engine.source_buckets)
        engine.add_source_options(msgspec.structs.replace(self._options, only=names))
        engine.add_rule(
            self._construct_id,
            pattern=workflow_run_crate_pattern(
                names, allow_bucket_root=self._options.allow_bucket_root
            ),
            description="Workflow Run RO-Crates that are written",
            enabled=self._enabled,
            name=find_name(self._construct_id, _CRATES_ID, contract.CRATES),
            kind="workflow_run_crate",
        )


class ObjectsReady:
    """Packages prefixes that Event-Driven Packaging (EDP) announces as ready.

    The engine's own `ObjectUploads` have their own options.

    Args:
        event_bus: EDP's event bus.
        allow_bucket_root: Package the whole bucket for an event with an empty prefix. Default:
            false.
        enabled: Send events to the queue. Default: true. A disabled rule stays in place.
        construct_id: Id of the rule. Default: the name of the class.
        **options: Package options: `package_name`, `include_prefixes`, `ignore_prefixes`,
            `exclude`, `contents`, `missing_parts`, `settle_seconds`, `require`,
            `require_timeout_seconds`, `verify_checksums`, `on_foreign_revision`. See
            `PackageOptions`.

    Raises:
        TypeError: A prop is of another type.
        ValueError: An option is invalid.

    Example:
        >>> from aws_cdk import Stack
        >>> bus = events.EventBus.from_event_bus_name(Stack(), "EdpBus", "edp")
        >>> ready = ObjectsReady(bus, ignore_prefixes=["tmp"])
    """

    def __init__(
        self,
        event_bus: events.IEventBus,
        *,
        allow_bucket_root: bool = False,
        enabled: bool = True,
        construct_id: str = _READY_ID,
        **options: Unpack[PackageOptions],
    ) -> None:
        check_props(
            "ObjectsReady",
            {"event_bus": (event_bus, events.IEventBus), "enabled": (enabled, bool)},
            {
                "options": lambda: read_options(
                    "objects_ready", allow_bucket_root=allow_bucket_root, **options
                )
            },
        )
        self._event_bus = event_bus
        self._options = read_options(
            "objects_ready", allow_bucket_root=allow_bucket_root, **options
        )
        self._enabled = enabled
        self._construct_id = construct_id

    def bind(self, engine: PackagingEngine) -> None:
        """Add the rule to EDP's bus."""
        engine.add_source_options(self._options)
        engine.add_rule(
            self._construct_id,
            pattern=objects_ready_pattern(),
            description="Prefixes that EDP announces as ready",
            event_bus=self._event_bus,
            enabled=self._enabled,
            name=find_name(self._construct_id, _READY_ID, contract.EDP),
            kind="objects_ready",
        )


class CustomEvents:
    r"""Sends events of any kind to the queue.

    EventBridge does not escape values that it inserts into a quoted string. If keys may contain `"`
    or `\`, use them as whole values, or omit the message to send the whole event.

    Args:
        pattern: Event pattern: an `aws_events.EventPattern`, or EventBridge's own JSON.
        message: Message for an event. Default: the whole event, which the runtime must be able to
            translate.
        event_bus: Event bus of the events. Default: the account's default bus.
        enabled: Send events to the queue. Default: true. A disabled rule stays in place.
        construct_id: Id of the rule. Default: the name of the class.
        name: Name of the source, by which it is switched on and off. Default: the rule's id.

    Raises:
        TypeError: A prop is of another type.
        ValueError: The pattern is empty, which EventBridge does not accept.

    Example:
        >>> runs = CustomEvents(
        ...     {"source": ["lab.sequencer"], "detail-type": ["run done"]},
        ...     message=events.RuleTargetInput.from_object(
        ...         {"source_prefix": events.EventField.from_path("$.detail.uri")}
        ...     ),
        ...     name="Sequencer",
        ... )
    """

    def __init__(
        self,
        pattern: events.EventPattern | Mapping[str, object],
        *,
        message: events.RuleTargetInput | None = None,
        event_bus: events.IEventBus | None = None,
        enabled: bool = True,
        construct_id: str = "CustomEvents",
        name: str | None = None,
    ) -> None:
        check_props(
            "CustomEvents",
            {
                "pattern": (pattern, events.EventPattern),
                "message": (message, events.RuleTargetInput | None),
                "event_bus": (event_bus, events.IEventBus | None),
                "enabled": (enabled, bool),
            },
            {"pattern": lambda: _check_pattern(pattern)},
        )
        self._pattern = _as_json(pattern)
        self._message = message
        self._event_bus = event_bus
        self._enabled = enabled
        self._construct_id = construct_id
        self._name = name

    def bind(self, engine: PackagingEngine) -> None:
        """Add the rule."""
        engine.add_rule(
            self._construct_id,
            pattern=self._pattern,
            description="Events that ask for a package",
            message=self._message,
            event_bus=self._event_bus,
            enabled=self._enabled,
            name=self._name,
        )


def _is_wanted(metadata: str, name: str) -> bool:
    if metadata not in {name, "none"}:
        raise ValueError(f"metadata is {metadata!r}; it may be {name!r} or 'none'")
    return metadata == name


def _check_pattern(pattern: events.EventPattern | Mapping[str, object]) -> None:
    if not _as_json(pattern):
        raise ValueError("pattern is empty; name at least a source")


def _as_json(pattern: events.EventPattern | Mapping[str, object]) -> Mapping[str, object]:
    if not isinstance(pattern, events.EventPattern):
        return pattern
    fields = {
        "account": pattern.account,
        "detail": pattern.detail,
        "detail-type": pattern.detail_type,
        "id": pattern.id,
        "region": pattern.region,
        "resources": pattern.resources,
        "source": pattern.source,
        "time": pattern.time,
        "version": pattern.version,
    }
    return {name: value for name, value in fields.items() if value is not None}
