"""`quilt-packager package`: the work of Lambda in this process."""

import asyncio
import os
import time
from typing import TYPE_CHECKING, Annotated

import typer
from quilt_packager_runtime.errors import PackagerError
from quilt_packager_runtime.formats.outcome import Outcome, Result
from quilt_packager_runtime.requests.package_request import UnresolvedRequest
from quilt_packager_runtime.settings import Settings

from quilt_packager.cli.console.errors import ErrorReport, exit_code_of_job, report_error
from quilt_packager.cli.console.exits import OF_RESULT, Exit
from quilt_packager.cli.console.folder_metadata import (
    NoMetadataOption,
    fill_in_metadata,
    to_json,
)
from quilt_packager.cli.console.message_options import (
    ExcludeOption,
    MessageFields,
    MetadataOption,
    NameOption,
    TargetOption,
    WorkflowOption,
    read_body,
)
from quilt_packager.cli.console.options import (
    MessageArgument,
    ProfileOption,
    RegionOption,
    SourcesOption,
)
from quilt_packager.cli.console.outcomes import write_failure, write_json, write_success
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.cli.console.typed_folders import check_folder
from quilt_packager.operations.deployment import messages
from quilt_packager.operations.deployment.credentials import connect_s3

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.known_metadata import Known


def package(
    message: MessageArgument,
    *,
    more: SourcesOption = None,
    name: NameOption = None,
    metadata: MetadataOption = None,
    exclude: ExcludeOption = None,
    registry: TargetOption = None,
    workflow: WorkflowOption = None,
    no_metadata: NoMetadataOption = False,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write the outcome as JSON.")] = False,
) -> int:
    """Package a folder in this process.

    Runs the code that Lambda runs, once, with your own credentials. If the message has no metadata,
    that of the folder's RO-Crate or HealthOmics run is filled in. The exit code is 0 if the
    package was created or is unchanged, 2 if it was rejected, 4 if AWS cannot be used, 1 if it
    failed otherwise.

    Examples:
      quilt-packager package s3://raw/runs/42/
      quilt-packager package --json '{"source_prefix": "s3://raw/runs/42/",
        "registry": "packages", "package_name": "runs/42"}'
    """
    terminal = Terminal()
    request: UnresolvedRequest | None = None
    known: Known | None = None
    started = time.monotonic()
    try:
        body = read_body(message, more, MessageFields(name, metadata, exclude, registry, workflow))
        request = messages.resolve(body, profile=profile)
        check_folder(terminal, message, request, lambda: connect_s3(profile, region))
        known = fill_in_metadata(
            terminal,
            body,
            Settings(),
            lambda: connect_s3(profile, region),
            no_metadata=no_metadata,
        )
        if known.found:
            request = messages.resolve(known.body, profile=profile)
        outcome = asyncio.run(_package(request, terminal, profile, region))
    except PackagerError as error:
        outcome = Outcome.from_error(
            error,
            package_name=request.package_name if request else None,
            registry=request.registry if request else None,
        )
        if as_json:
            write_json(terminal, outcome, **to_json(known))
        else:
            source = str(request.source) if request else None
            write_failure(terminal, outcome, error, source=source)
        return exit_code_of_job(error)
    except Exception as error:
        report = report_error(error)
        if as_json and report.exit_code is not Exit.USAGE:
            # With --json every job has an outcome, even after an unexpected error.
            write_json(terminal, crash(report, request), **to_json(known))
        raise
    if as_json:
        write_json(terminal, outcome, **to_json(known))
    else:
        seconds = time.monotonic() - started
        write_success(terminal, outcome, seconds=seconds, source=str(request.source))
    return OF_RESULT[outcome.outcome]


def crash(report: ErrorReport, request: UnresolvedRequest | None) -> Outcome:
    """Create the outcome for an unexpected error, of a request if the message was valid."""
    return Outcome(
        outcome=Result.FAILED,
        package_name=request.package_name if request else None,
        registry=request.registry if request else None,
        code=report.code,
        reason=report.reason,
    )


async def _package(
    request: UnresolvedRequest, terminal: Terminal, profile: str | None, region: str | None
) -> Outcome:
    from quilt_packager_runtime.packaging import package as run_job
    from quilt_packager_runtime.requests.resolve import resolve

    from quilt_packager.cli.console.progress import JobProgress

    settings = Settings.from_environment(os.environ)
    s3 = connect_s3(profile, region, max_connections=settings.max_requests_in_flight)
    with JobProgress(terminal) as progress:
        complete = await resolve(request, settings=settings, s3=s3)
        return await run_job(complete, settings=settings, s3=s3, on_progress=progress)
