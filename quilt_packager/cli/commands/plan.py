"""`quilt-packager plan`: a preview of a package."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec
import typer
from quilt_packager_runtime.errors import AccessDenied, Rejected
from quilt_packager_runtime.formats.outcome import Result

from quilt_packager.cli.console.errors import report_error
from quilt_packager.cli.console.exits import Exit
from quilt_packager.cli.console.folder_metadata import NoMetadataOption, fill_in_metadata
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
    JsonOption,
    MessageArgument,
    ProfileOption,
    RegionOption,
    SourcesOption,
    StackOption,
    find,
)
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.operations import formats
from quilt_packager.operations.deployment import messages

if TYPE_CHECKING:
    from quilt_packager_runtime.aws.s3 import S3
    from quilt_packager_runtime.errors import Explanation
    from quilt_packager_runtime.requests.package_request import UnresolvedRequest

    from quilt_packager.operations.deployment.configurations import Configuration
    from quilt_packager.operations.plans.estimates import Estimate
    from quilt_packager.operations.plans.plan import Checksums, Plan, Route

MAX_KINDS = 3
"""Number of request types shown separately."""


class Engine(NamedTuple):
    """The engine whose settings apply. Its name is None if there is no engine."""

    stack: str | None
    configuration: "Configuration"


def plan(
    message: MessageArgument,
    *,
    more: SourcesOption = None,
    name: NameOption = None,
    metadata: MetadataOption = None,
    exclude: ExcludeOption = None,
    registry: TargetOption = None,
    workflow: WorkflowOption = None,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact", help="Check every object for a stored checksum, with one HEAD each."
        ),
    ] = False,
    no_metadata: NoMetadataOption = False,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Preview a package without writing it.

    Shows all reasons for a rejection at once; the checksums that are known, stored, or to compute;
    the route, requests, price and time. Uses the engine's settings, if there is an engine, and your
    own permissions. The exit code is 0 if the folder can be packaged, 2 if it would be rejected,
    and 4 if your permissions are insufficient.

    Examples:
      quilt-packager plan s3://raw/runs/42/
      quilt-packager plan --exact --json '{"source_prefix": "s3://raw/runs/42/",
        "workflow": "ngs"}'
    """
    from quilt_packager.operations.deployment.credentials import connect_s3
    from quilt_packager.operations.plans.plan import Plan

    terminal = Terminal()
    engine = find_engine(terminal, stack, profile, region)
    fields = MessageFields(name, metadata, exclude, registry, workflow)
    body, settings = read_body(message, more, fields), engine.configuration.settings
    try:
        messages.check(body, settings)
        known = fill_in_metadata(
            terminal,
            body,
            settings,
            lambda: connect_s3(profile, region),
            no_metadata=no_metadata,
            shows_lost=False,  # the plan does
        )
        request = messages.resolve(known.body, settings, profile=profile)
    except Rejected as error:
        refusal = error.explanation
        if as_json:
            unknown = dict.fromkeys(Plan.__struct_fields__)
            refusals = {"refusals": [msgspec.to_builtins(refusal)], "notes": []}
            terminal.json({"engine": engine.stack, **unknown, **refusals, "metadata_found": None})
        else:
            _write_refusals(terminal, [refusal])
        return Exit.REJECTED
    made = asyncio.run(_plan(terminal, request, engine, connect_s3(profile, region), exact=exact))
    if as_json:
        found = {"metadata_found": known.found}
        terminal.json({"engine": engine.stack, **msgspec.to_builtins(made), **found})
    else:
        _write(terminal, made)
    return _exit_code(made.refusals)


def find_engine(
    terminal: Terminal, stack: str | None, profile: str | None, region: str | None
) -> Engine:
    """Find the engine that the options select, or use the settings of one without props."""
    from botocore.exceptions import ClientError

    from quilt_packager.operations.aws_errors import is_denied
    from quilt_packager.operations.deployment.configurations import (
        Configuration,
        read_configuration,
    )
    from quilt_packager.operations.errors import NoEngine

    try:
        deployment = find(stack, profile, region)
        return Engine(deployment.name, read_configuration(deployment))
    except (NoEngine, ClientError) as error:
        report = report_error(error)
        # Users with access to a bucket may have no access to stacks.
        if stack is not None or not (is_denied(error) or isinstance(error, NoEngine)):
            raise
    terminal.hint(f"{report.happened} Using the settings of an engine without props.")
    return Engine(None, Configuration.usual(os.environ))


async def _plan(
    terminal: Terminal, request: "UnresolvedRequest", engine: Engine, s3: "S3", *, exact: bool
) -> "Plan":
    from quilt_packager.cli.console.progress import JobProgress
    from quilt_packager.operations.plans import planner

    with JobProgress(terminal) as progress:
        return await planner.plan(
            request,
            settings=engine.configuration.settings,
            s3=s3,
            exact=exact,
            memory_mib=engine.configuration.memory_mib,
            on_progress=progress,
        )


def _write(terminal: Terminal, made: "Plan") -> None:
    if made.refusals:
        _write_refusals(terminal, made.refusals)
    elif made.unchanged:
        terminal.write("Already packaged: the latest revision is identical.")
    else:
        terminal.write("Can be packaged. Nothing was written.")
    terminal.write()
    terminal.fields(_describe(made))


def _exit_code(refusals: "Sequence[Explanation]") -> Exit:
    if any(each.code == AccessDenied.__name__ for each in refusals):
        return Exit.ACCESS
    return Exit.REJECTED if refusals else Exit.OK


def _write_refusals(terminal: Terminal, refusals: "Sequence[Explanation]") -> None:
    if _exit_code(refusals) is Exit.ACCESS:
        # The engine may have permissions that the user lacks.
        terminal.write("Unknown: your permissions are insufficient. Nothing was written.")
    else:
        terminal.write("Would be rejected. Nothing was written.")
    for each in refusals:
        terminal.write()
        terminal.outcome(Result.REJECTED, each.code)
        terminal.fields([("happened", each.happened), ("why", each.why), ("do", each.remedy)])


def _describe(made: "Plan") -> Iterator[tuple[str, str]]:
    if made.sources is None:
        yield "Source", made.source
    for number, each in enumerate(made.sources or ()):
        yield "" if number else "Sources", f"{each.prefix}  {each.into or '/'}"
    package = f"{made.package_name} in {made.registry}"
    if made.revision is not None:
        package += f", revision {made.revision:,}"
    yield "Package", package
    if not made.refusals:
        yield "Workflow", f"{made.workflow}, no violations" if made.workflow else "none"
    if made.contents is not None:
        contents = made.contents
        size, largest = formats.size(contents.size_bytes), formats.size(contents.largest_bytes)
        yield "Objects", f"{contents.objects:,}, {size}, largest {largest}"
    if made.checksums is not None:
        yield "Checksums", _describe_checksums(made.checksums)
    if made.route is not None:
        yield "Route", _describe_route(made.route)
    if made.estimate is not None:
        yield "Requests", _describe_requests(made.estimate)
        yield "Price", formats.usd(made.estimate.usd)
        yield "Time", formats.span(*made.estimate.seconds)
    for note in made.notes:
        yield "Note", note


def _describe_checksums(checksums: "Checksums") -> str:
    words = (
        f"{checksums.stored:,} stored, {checksums.reusable:,} reusable, "
        f"{checksums.computed:,} to compute"
    )
    if checksums.basis == "sample":
        words = f"about {words}: sampled {checksums.asked:,}, use --exact for all"
    return words


def _describe_route(route: "Route") -> str:
    if route.is_large:
        return f"large, {formats.count(route.shards, 'shard')}: {route.why}"
    return f"inline, though {route.why}" if route.why else "inline, one invocation"


def _describe_requests(estimate: "Estimate") -> str:
    kinds = sorted(estimate.requests.items(), key=lambda each: -each[1])
    parts = [f"{count:,} {kind}" for kind, count in kinds[:MAX_KINDS]]
    others = sum(count for _, count in kinds[MAX_KINDS:])
    if others:
        parts.append(f"{others:,} other")
    return f"{sum(estimate.requests.values()):,} ({', '.join(parts)})"
