"""AWS CDK constructs that package S3 prefixes as Quilt packages.

Names are imported on first use: `aws_cdk` starts Node, which the command and the embedded AWS do
not need.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quilt_packager_runtime.settings import ChecksumAlgorithm

    from quilt_packager.app.flags import ContextError, ContextFlags
    from quilt_packager.app.stack import PackagingEngineStack, StackOptions
    from quilt_packager.bundling import BundlingError
    from quilt_packager.engine.engine import EventSource, PackagingEngine
    from quilt_packager.engine.imported import ImportedEngine, IPackagingEngine
    from quilt_packager.engine.outcome_rules import RuleOptions
    from quilt_packager.engine.promotion import PromoteWhen, Promotion
    from quilt_packager.engine.props import Audit, EngineProps
    from quilt_packager.event_sources.coalescer import Coalescer
    from quilt_packager.event_sources.object_uploads import ObjectUploads
    from quilt_packager.event_sources.package_options import CommonOptions, PackageOptions
    from quilt_packager.event_sources.sources import (
        CustomEvents,
        HealthOmicsRuns,
        ObjectsReady,
        WorkflowRunCrates,
    )
    from quilt_packager.guardrails.quotas import LimitExceeded
    from quilt_packager.monitoring.alarms import AlarmThresholds
    from quilt_packager.monitoring.metrics import MetricOptions

__all__ = [
    "AlarmThresholds",
    "Audit",
    "BundlingError",
    "ChecksumAlgorithm",
    "Coalescer",
    "CommonOptions",
    "ContextError",
    "ContextFlags",
    "CustomEvents",
    "EngineProps",
    "EventSource",
    "HealthOmicsRuns",
    "IPackagingEngine",
    "ImportedEngine",
    "LimitExceeded",
    "MetricOptions",
    "ObjectUploads",
    "ObjectsReady",
    "PackageOptions",
    "PackagingEngine",
    "PackagingEngineStack",
    "PromoteWhen",
    "Promotion",
    "RuleOptions",
    "StackOptions",
    "WorkflowRunCrates",
]

_MODULES = {
    "AlarmThresholds": "quilt_packager.monitoring.alarms",
    "Audit": "quilt_packager.engine.props",
    "BundlingError": "quilt_packager.bundling",
    "ChecksumAlgorithm": "quilt_packager_runtime.settings",
    "Coalescer": "quilt_packager.event_sources.coalescer",
    "CommonOptions": "quilt_packager.event_sources.package_options",
    "ContextError": "quilt_packager.app.flags",
    "ContextFlags": "quilt_packager.app.flags",
    "CustomEvents": "quilt_packager.event_sources.sources",
    "EngineProps": "quilt_packager.engine.props",
    "EventSource": "quilt_packager.engine.engine",
    "HealthOmicsRuns": "quilt_packager.event_sources.sources",
    "IPackagingEngine": "quilt_packager.engine.imported",
    "ImportedEngine": "quilt_packager.engine.imported",
    "LimitExceeded": "quilt_packager.guardrails.quotas",
    "MetricOptions": "quilt_packager.monitoring.metrics",
    "ObjectUploads": "quilt_packager.event_sources.object_uploads",
    "ObjectsReady": "quilt_packager.event_sources.sources",
    "PackageOptions": "quilt_packager.event_sources.package_options",
    "PackagingEngine": "quilt_packager.engine.engine",
    "PackagingEngineStack": "quilt_packager.app.stack",
    "PromoteWhen": "quilt_packager.engine.promotion",
    "Promotion": "quilt_packager.engine.promotion",
    "RuleOptions": "quilt_packager.engine.outcome_rules",
    "StackOptions": "quilt_packager.app.stack",
    "WorkflowRunCrates": "quilt_packager.event_sources.sources",
}


def __getattr__(name: str) -> object:
    """Import a public name from its module."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
