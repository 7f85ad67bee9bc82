"""HealthOmics runs: an event names a run, and `omics:GetRun` has its output and its details."""

from collections.abc import Mapping
from typing import Any

from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import AccessDenied, NoRunOutput
from quilt_packager_runtime.requests.events import FolderReady, Ignored, OmicsRun, omics_folder
from quilt_packager_runtime.requests.omics_metadata import describe_run
from quilt_packager_runtime.requests.package_request import UnresolvedRequest, request_for_folder


def request_for_run(
    run: OmicsRun, *, default_registry: str | None = None
) -> UnresolvedRequest | Ignored:
    """Request the package of a run, with metadata of the event and of `omics:GetRun`.

    Args:
        run: The run.
        default_registry: The registry of the package; None for the source bucket.

    Raises:
        AccessDenied: The event does not have the location of the output, and the lookup is denied.
        NoRunOutput: The location of the output is unknown.
        AwsError: HealthOmics did not answer.
    """
    answer = _get_run(run)
    source = run.source
    if source is None:
        if not answer.get("outputUri"):
            raise clients.no_output(run.run_id, "the run has no outputUri")
        source = omics_folder(answer["outputUri"], run.run_id)
        refused = run.options.refuse(source)
        if refused:
            return Ignored(refused)
    return request_for_folder(
        FolderReady(source, run.trigger, run.options),
        described=describe_run(run, answer),
        default_registry=default_registry,
    )


def _get_run(run: OmicsRun) -> Mapping[str, Any]:
    """Look up a run. If that is refused or the run is gone, the event has to be enough."""
    has_enough = run.source is not None
    if has_enough and not run.options.metadata and run.options.package_name is None:
        return {}
    try:
        return clients.get_run(run.run_id, region=run.arn.split(":")[3])
    except (AccessDenied, NoRunOutput):
        if has_enough:
            return {}
        raise
