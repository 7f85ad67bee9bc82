"""`quilt-packager promote`: a revision of a package, published in another registry."""

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, get_args

import msgspec
import typer
from msgspec import UNSET
from quilt_packager_runtime.errors import PackagerError
from quilt_packager_runtime.formats.objects import REGISTRY_PREFIX
from quilt_packager_runtime.settings.promotion_settings import PromotionAction

from quilt_packager.cli.console.errors import Misuse, exit_code_of_job
from quilt_packager.cli.console.exits import Exit
from quilt_packager.cli.console.options import (
    JsonOption,
    ProfileOption,
    RegionOption,
    RegistryOption,
    StackOption,
    check_name,
    find,
    find_registry,
    parse_folder_argument,
    parse_registry_argument,
)
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.cli.console.usage import did_you_mean
from quilt_packager.operations import formats
from quilt_packager.operations.aws_errors import explain_aws_error

if TYPE_CHECKING:
    from quilt_packager_runtime.aws.s3 import S3
    from quilt_packager_runtime.formats.objects import SourceFolder
    from quilt_packager_runtime.promotion.promotion_request import (
        PromotionOutcome,
        PromotionRequest,
    )


RevisionArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME[@HASH]",
        help="Package, and the beginning of a top hash. Default: the latest revision.",
        show_default=False,
    ),
]
ToOption = Annotated[
    str, typer.Option("--to", metavar="BUCKET", help="Registry that gets the revision.")
]
NameOption = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="Name of the package there. Default: the same."),
]
CopyDataOption = Annotated[
    str | None,
    typer.Option(
        "--copy-data",
        metavar="FOLDER",
        help="Copy the objects inside S3 to a folder, such as s3://bucket/prefix/. Default: they "
        "stay where they are.",
    ),
]
WorkflowOption = Annotated[
    str | None,
    typer.Option(
        "--workflow",
        metavar="ID",
        help='Workflow of the other registry, "" for none. Default: its default workflow.',
    ),
]
ActionOption = Annotated[
    str,
    typer.Option(
        "--on-foreign-revision",
        metavar="ACTION",
        help="Keep (hold) or replace (replace) a newest revision that is no promotion of this "
        "package.",
    ),
]


def promote(
    revision: RevisionArgument,
    *,
    to: ToOption,
    registry: RegistryOption = None,
    name: NameOption = None,
    copy_data: CopyDataOption = None,
    workflow: WorkflowOption = None,
    on_foreign_revision: ActionOption = "hold",
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Publish a revision of a package in another registry.

    Checks the workflow of that registry first. Without --copy-data, only the manifest and the
    pointers are written. A promotion that was interrupted continues if it is repeated: nothing is
    copied twice. Objects are not copied to a folder that the engine packages. The exit code is 0 if
    the revision is the latest there, 2 if it was rejected, 4 if AWS cannot be used, 1 if the
    promotion failed otherwise.

    Examples:
      quilt-packager promote runs/42 --to production
      quilt-packager promote runs/42@1f4c0a --to production --name assays/42
      quilt-packager promote runs/42 --registry lab --to production
        --copy-data s3://production/data/
    """
    from quilt_packager_runtime.promotion.promotion_request import (
        PromotionOutcome,
        PromotionRequest,
    )
    from quilt_packager_runtime.registry.publish import Package

    from quilt_packager.operations.deployment.credentials import caller_of, connect_s3

    package_name, _, top_hash = revision.partition("@")
    check_name(package_name)
    check_name(name or package_name)
    target = Package(parse_registry_argument(to), name or package_name)
    folder = None if copy_data is None else _parse_folder(copy_data)
    action = _parse_action(on_foreign_revision)
    source = Package(find_registry(registry, stack, profile, region), package_name)
    if folder is not None:
        _check_unwatched(folder, stack, profile, region)
    request = PromotionRequest(
        source=source,
        target=target,
        copy_to=folder,
        workflow=UNSET if workflow is None else workflow or None,
        on_foreign_revision=action,
        promoted_by=caller_of(profile, region),
    )
    report = _Report(Terminal(), as_json=as_json)
    try:
        s3 = connect_s3(profile, region)
        outcome = asyncio.run(_run(s3, request, top_hash or "latest", report.terminal))
    except PackagerError as error:
        report.write(PromotionOutcome.from_error(request, error), error)
        return exit_code_of_job(error)
    report.write(outcome)
    return Exit.OK


async def _run(
    s3: "S3", request: "PromotionRequest", revision: str, terminal: Terminal
) -> "PromotionOutcome":
    from quilt_packager_runtime.promotion.promote import promote as run_promotion

    from quilt_packager.cli.console.progress import JobProgress
    from quilt_packager.operations.revisions.revisions import RevisionLookup

    found = await RevisionLookup(s3, request.source).find(revision)
    complete = msgspec.structs.replace(request, top_hash=found.top_hash)
    with JobProgress(terminal) as progress:
        return await run_promotion(complete, s3=s3, on_progress=progress)


def _parse_action(text: str) -> PromotionAction:
    try:
        action: PromotionAction = msgspec.convert(text, PromotionAction)
    except msgspec.ValidationError:
        actions = get_args(PromotionAction)
        raise Misuse(
            f"Invalid --on-foreign-revision: {text}",
            why=f"The values are: {', '.join(actions)}.{did_you_mean(text, actions)}",
            remedy="--on-foreign-revision replace",
        ) from None
    return action


def _parse_folder(text: str) -> "SourceFolder":
    folder = parse_folder_argument(text)
    if not folder.prefix.startswith(REGISTRY_PREFIX):
        return folder
    raise Misuse(
        f"Invalid folder: {text}",
        why=f"{REGISTRY_PREFIX} holds the registry itself.",
        remedy="Copy to another prefix.",
    )


def _check_unwatched(
    folder: "SourceFolder", stack: str | None, profile: str | None, region: str | None
) -> None:
    """Reject a folder that the engine packages: it would package the copies again.

    Promotions need no engine, and S3 servers other than AWS have none, so it is asked only where it
    can be.
    """
    from quilt_packager.operations.errors import NoEngine, SeveralEngines
    from quilt_packager.operations.sources.watchers import find_watchers

    try:
        deployment = find(stack, profile, region)
        watchers = find_watchers(deployment, folder)
    except Exception as error:
        is_known = isinstance(error, NoEngine | SeveralEngines) or explain_aws_error(error)
        if stack is None and is_known:
            return
        raise
    if watchers:
        raise Misuse(
            f"No objects are copied to {folder}.",
            why=f"The event source {watchers[0]} of {deployment.name} would package the copies.",
            remedy="Copy to a folder outside of its sources, or add it to ignore_prefixes.",
        )


class _Report:
    """Writes the outcome of a promotion."""

    def __init__(self, terminal: Terminal, *, as_json: bool) -> None:
        self.terminal = terminal
        self._as_json = as_json
        self._started = time.monotonic()

    def write(self, outcome: "PromotionOutcome", error: PackagerError | None = None) -> None:
        """Write an outcome, with the error that ended the promotion, if any."""
        if self._as_json:
            self.terminal.json(msgspec.to_builtins(outcome))
        elif error is not None:
            self.terminal.outcome(outcome.outcome, error.code)
            self.terminal.fields(
                [("happened", error.happened), ("why", error.why), ("do", error.remedy)]
            )
        else:
            self._write_success(outcome)

    def _write_success(self, outcome: "PromotionOutcome") -> None:
        facts = [
            f"{outcome.package_name} in {outcome.registry}",
            formats.count(outcome.objects or 0, "object"),
            formats.size(outcome.bytes or 0),
            formats.duration(time.monotonic() - self._started),
        ]
        self.terminal.outcome(outcome.outcome, ", ".join(facts))
        copies = f"{outcome.copied} copied to {outcome.copied_to}, {outcome.present} were there"
        fields = {
            "from": f"{outcome.from_package_name} in {outcome.from_registry}",
            "by": outcome.promoted_by,
            "top hash": outcome.top_hash,
            "objects": copies if outcome.copied_to else None,
            "warning": outcome.remark,
        }
        self.terminal.fields([(name, value) for name, value in fields.items() if value])
