"""Errors of operating an engine."""

from quilt_packager_runtime.errors import ExplainedError


class OperationError(ExplainedError):
    """An operation on an engine failed."""


class LookupFailed(OperationError):
    """The requested thing does not exist, or is ambiguous; another request may succeed."""


class NoEngine(LookupFailed):
    """The stack does not exist, or has no engine."""


class SeveralEngines(LookupFailed):
    """More than one engine matches."""


class UnknownSource(LookupFailed):
    """The engine has no event source of that name."""


class UnknownFailure(LookupFailed):
    """No failure has that id or code, or the beginning of the id is ambiguous."""


class UnknownJob(LookupFailed):
    """The log has no such job."""


class NotWaiting(LookupFailed):
    """The job does not wait for files."""


class SeveralJobs(LookupFailed):
    """More than one job matches."""


class NoPackageRequested(LookupFailed):
    """The message requests no package."""


class NoLineage(LookupFailed):
    """The engine keeps no index of lineage."""


class MissingExtra(LookupFailed):
    """An optional library is not installed."""


class UnknownPackage(LookupFailed):
    """The registry has no such package."""


class UnknownRevision(LookupFailed):
    """The package has no such revision."""


class SeveralRevisions(LookupFailed):
    """More than one revision matches."""


class BrokenManifest(OperationError):
    """A revision cannot be read."""


class UnusableInventory(LookupFailed):
    """The S3 Inventory report cannot be used."""


class SendFailed(OperationError):
    """SQS did not take a message."""


class SlowResponse(OperationError):
    """AWS did not answer in time."""
