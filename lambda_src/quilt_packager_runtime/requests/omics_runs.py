"""HealthOmics runs: an event names a run, and `omics:GetRun` has its output and its details."""

from collections.abc import Mapping
from typing import Any

from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import AccessDenied, AwsError, NoRunOutput
from quilt_packager_runtime.requests.events import FolderReady, Ignored, OmicsRun, omics_folder
from quilt_packager_runtime.requests.omics_metadata import describe_run
from quilt_packager_runtime.requests.package_request import UnresolvedRequest, request_for_folder

DENIED_CODES = frozenset({"AccessDenied", "AccessDeniedException"})
# For responses without an error code boto3 uses the status: then HealthOmics does not exist there.
UNKNOWN_RUN_CODES = frozenset({"ResourceNotFoundException", "ValidationException", "400", "404"})


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
    answer = _look_up(run)
    source = run.source
    if source is None:
        if not answer.get("outputUri"):
            raise _no_output(run.run_id, "the run has no outputUri")
        source = omics_folder(answer["outputUri"], run.run_id)
        refused = run.options.refuse(source)
        if refused:
            return Ignored(refused)
    return request_for_folder(
        FolderReady(source, run.trigger, run.options),
        described=describe_run(run, answer),
        default_registry=default_registry,
    )


def _look_up(run: OmicsRun) -> Mapping[str, Any]:
    """Look up a run. If that is refused or the run is gone, the event has to be enough."""
    has_enough = run.source is not None
    if has_enough and not run.options.metadata and run.options.package_name is None:
        return {}
    try:
        return get_run(run.run_id, region=run.arn.split(":")[3])
    except (AccessDenied, NoRunOutput):
        if has_enough:
            return {}
        raise


def get_run(run_id: str, *, region: str) -> dict[str, Any]:
    """Return the description of a HealthOmics run.

    Args:
        run_id: The run.
        region: Region of the run.

    Returns:
        The response of `omics:GetRun`. Its `outputUri` is the parent of the run's folder.

    Raises:
        AccessDenied: A policy denies `omics:GetRun`.
        NoRunOutput: The run does not exist.
        AwsError: HealthOmics did not answer.
    """
    try:
        with clients.calling():
            run: dict[str, Any] = clients.connect("omics", region).get_run(id=run_id)
    except clients.CallFailed as failure:
        if failure.code in DENIED_CODES:
            raise AccessDenied(
                f"Access denied: omics:GetRun on run {run_id}.",
                why="The event has no runOutputUri, and no policy allows the lookup.",
                remedy="Allow omics:GetRun, deploy, and send the event again.",
            ) from failure
        if failure.code in UNKNOWN_RUN_CODES:
            raise _no_output(run_id, f"HealthOmics knows no such run in {region}") from failure
        raise AwsError(
            f"HealthOmics did not describe run {run_id}: {failure}.",
            why="The event lacks fields that only HealthOmics has.",
            remedy="The job is retried automatically; investigate if this recurs.",
        ) from failure
    return run


def _no_output(run_id: str, happened: str) -> NoRunOutput:
    return NoRunOutput(
        f"The output location of HealthOmics run {run_id} is unknown: {happened}.",
        why="The event has no runOutputUri, and the run was deleted, or ran elsewhere.",
        remedy="Send a message with the run's output folder as its source_prefix.",
    )
