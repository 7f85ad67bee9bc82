"""AWS CDK constructs that package S3 prefixes as Quilt packages.

Names are imported on first use: `aws_cdk` starts Node, which the command and the embedded AWS do
not need.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quilt_packager_runtime.settings import ChecksumAlgorithm

    from quilt_packager.app.flags import ContextError, ContextFlags
    from quilt_packager.app.stack import PackagingEngineStack
    from quilt_packager.bundling import BundlingError
    from quilt_packager.engine.engine import EventSource, PackagingEngine
    from quilt_packager.event_sources.object_uploads import ObjectUploads
    from quilt_packager.event_sources.sources import (
        CustomEvents,
        HealthOmicsRuns,
        ObjectsReady,
        WorkflowRunCrates,
    )
    from quilt_packager.guardrails.quotas import LimitExceeded

__all__ = [
    "BundlingError",
    "ChecksumAlgorithm",
    "ContextError",
    "ContextFlags",
    "CustomEvents",
    "EventSource",
    "HealthOmicsRuns",
    "LimitExceeded",
    "ObjectUploads",
    "ObjectsReady",
    "PackagingEngine",
    "PackagingEngineStack",
    "WorkflowRunCrates",
]

_MODULES = {
    "BundlingError": "quilt_packager.bundling",
    "ChecksumAlgorithm": "quilt_packager_runtime.settings",
    "ContextError": "quilt_packager.app.flags",
    "ContextFlags": "quilt_packager.app.flags",
    "CustomEvents": "quilt_packager.event_sources.sources",
    "EventSource": "quilt_packager.engine.engine",
    "HealthOmicsRuns": "quilt_packager.event_sources.sources",
    "LimitExceeded": "quilt_packager.guardrails.quotas",
    "ObjectUploads": "quilt_packager.event_sources.object_uploads",
    "ObjectsReady": "quilt_packager.event_sources.sources",
    "PackagingEngine": "quilt_packager.engine.engine",
    "PackagingEngineStack": "quilt_packager.app.stack",
    "WorkflowRunCrates": "quilt_packager.event_sources.sources",
}


def __getattr__(name: str) -> object:
    """Import a public name from its module."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
