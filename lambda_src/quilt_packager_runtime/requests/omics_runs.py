"""Runs of HealthOmics: an event names one, and `omics:GetRun` knows the rest."""

from collections.abc import Mapping
from typing import Any

from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import AccessDenied, NoRunOutput
from quilt_packager_runtime.requests.events import FolderReady, Ignored, OmicsRun, omics_folder
from quilt_packager_runtime.requests.messages import PackageRequest, request_for_folder
from quilt_packager_runtime.requests.omics_metadata import describe_run


def request_for_run(
    run: OmicsRun, *, default_registry: str | None = None
) -> PackageRequest | Ignored:
    """Ask for the package of a run, described by what may be known of it.

    Args:
        run: The run.
        default_registry: Where the package goes; None: to the source bucket.

    Raises:
        AccessDenied: The event does not tell where the run's output is, and we may not ask.
        NoRunOutput: Nobody knows where it is.
        AwsError: HealthOmics did not answer.
    """
    answer = _ask(run)
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


def _ask(run: OmicsRun) -> Mapping[str, Any]:
    """What HealthOmics says; where that is refused or gone, what the event says must do."""
    has_enough = run.source is not None
    if has_enough and not run.options.metadata and run.options.package_name is None:
        return {}
    try:
        return clients.get_run(run.run_id, region=run.arn.split(":")[3])
    except (AccessDenied, NoRunOutput):
        if has_enough:
            return {}
        raise
