"""HealthOmics runs: an event names a run, and `omics:GetRun` has its output and its details."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import (
    AccessDenied,
    AwsError,
    NoRunOutput,
    PackagerError,
    printable,
)
from quilt_packager_runtime.requests.events import FolderReady, Ignored, OmicsRun, omics_folder
from quilt_packager_runtime.requests.omics_metadata import RUN_FIELDS, describe_run, list_input_uris
from quilt_packager_runtime.requests.package_request import UnresolvedRequest, request_for_folder

if TYPE_CHECKING:
    from types_boto3_omics.client import OmicsClient

DENIED_CODES = frozenset({"AccessDenied", "AccessDeniedException"})
# For responses without an error code boto3 uses the status: then HealthOmics does not exist there.
UNKNOWN_RUN_CODES = frozenset({"ResourceNotFoundException", "ValidationException", "400", "404"})

_TYPES: dict[str, type] = {
    **dict.fromkeys(("name", "workflowId", "workflowVersionName", "failureReason"), str),
    "engineVersion": str,
    **dict.fromkeys(("outputUri", "runOutputUri"), str),
    **dict.fromkeys(("startTime", "stopTime"), datetime),
    "tags": dict,
}
"""Types of the fields that are used. botocore does not check the types of a response."""


def request_for_run(
    run: OmicsRun,
    *,
    default_registry: str | None = None,
    may_retry: bool = False,
    omics: "OmicsClient | None" = None,
) -> UnresolvedRequest | Ignored:
    """Request the package of a run, with metadata of the event and of `omics:GetRun`.

    If HealthOmics does not describe the run, the event's fields have to be enough.

    Args:
        run: The run.
        default_registry: The registry of the package; None for the source bucket.
        may_retry: The job has attempts left, in which HealthOmics may answer.
        omics: Client of HealthOmics in the run's region. Default: that of the environment.

    Raises:
        AccessDenied: The event does not have the location of the output, and the lookup is denied.
        NoRunOutput: The location of the output is unknown.
        AwsError: HealthOmics did not answer, and the event does not have the location of the
            output, or the job has attempts left.
    """
    answer, warning = _look_up(run, may_retry=may_retry, omics=omics)
    source = run.source
    if source is None:
        if not answer.get("outputUri"):
            raise _no_output(run.run_id, "the run has no outputUri")
        source = omics_folder(answer["outputUri"], run.run_id)
        refused = run.options.refuse(source)
        if refused:
            return Ignored(refused)
    request = request_for_folder(
        FolderReady(source, run.trigger, run.options),
        described=describe_run(run, answer),
        default_registry=default_registry,
    )
    if request.metadata is not None:
        inputs = list_input_uris(answer.get("parameters"))
        request = msgspec.structs.replace(request, input_uris=inputs)
    if answer.get("engineVersion"):
        request = _without_summary(request)
    if warning is None:
        return request
    return msgspec.structs.replace(
        request,
        warnings=(warning, *request.warnings),
        lacks_run_fields=request.metadata is not None,
    )


def _without_summary(request: UnresolvedRequest) -> UnresolvedRequest:
    """Require no summary of a Nextflow run: other engines have no `engineVersion`."""
    require = tuple(each for each in request.require if each != "healthomics_outputs")
    return msgspec.structs.replace(request, require=require)


def _look_up(
    run: OmicsRun, *, may_retry: bool, omics: "OmicsClient | None"
) -> tuple[Mapping[str, Any], str | None]:
    """Look up a run, and return its valid fields, with a warning if some are missing."""
    has_enough = run.source is not None
    options = run.options
    needs_engine = "healthomics_outputs" in options.require
    if has_enough and not (options.metadata or needs_engine or options.package_name is not None):
        return {}, None
    try:
        answer = get_run(run.run_id, region=run.region, omics=omics)
    except PackagerError as error:
        # Without a failed call, the response was malformed: another would be, too.
        is_transient = isinstance(error, AwsError) and isinstance(
            error.__cause__, clients.CallFailed
        )
        if not has_enough or (is_transient and may_retry):
            raise
        described = describe_run(run, {}).keys()
        unwanted = (
            {"failure_reason"} if run.options.parameters else {"failure_reason", "parameters"}
        )
        missing = [each for each in RUN_FIELDS if each not in described | unwanted]
        return {}, f"The metadata lacks {', '.join(missing)} of the run. {error.happened}"
    malformed = [
        name
        for name, expected in _TYPES.items()
        if not isinstance(answer.get(name), expected | None)
    ]
    if not malformed:
        return answer, None
    valid = {name: value for name, value in answer.items() if name not in malformed}
    return valid, f"HealthOmics returned malformed fields of the run: {', '.join(malformed)}."


def get_run(run_id: str, *, region: str, omics: "OmicsClient | None" = None) -> dict[str, Any]:
    """Return the description of a HealthOmics run.

    Args:
        run_id: The run.
        region: Region of the run.
        omics: Client of HealthOmics in that region. Default: that of the environment.

    Returns:
        The response of `omics:GetRun`. Its `outputUri` is the parent of the run's folder.

    Raises:
        AccessDenied: A policy denies `omics:GetRun`.
        NoRunOutput: The run does not exist.
        AwsError: HealthOmics did not answer, or its response was malformed.
    """
    try:
        with clients.calling():
            client: OmicsClient = omics or clients.connect("omics", region)
            run: dict[str, Any] = {**client.get_run(id=run_id)}
        if run.get("id") != run_id:
            raise LookupError("the response describes no such run")  # noqa: TRY301 - as malformed
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
            remedy="Retry; investigate if this recurs.",
        ) from failure
    except Exception as error:
        raise AwsError(
            f"HealthOmics did not describe run {run_id}: {printable(str(error))}.",
            why="Its response was malformed.",
            remedy="Retry; investigate if this recurs.",
        ) from error
    return run


def _no_output(run_id: str, happened: str) -> NoRunOutput:
    return NoRunOutput(
        f"The output location of HealthOmics run {run_id} is unknown: {happened}.",
        why="The event has no runOutputUri, and the run was deleted, or ran elsewhere.",
        remedy="Send a message with the run's output folder as its source_prefix.",
    )
