"""`quilt-packager show`: a revision of a package, with its metadata and entries."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from quilt_packager_runtime.formats.globs import check_globs

from quilt_packager.cli.console.errors import Misuse
from quilt_packager.cli.console.exits import Exit
from quilt_packager.cli.console.options import (
    JsonOption,
    ProfileOption,
    RegionOption,
    RegistryOption,
    StackOption,
    check_name,
    find_registry,
)
from quilt_packager.cli.console.tables import Column
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.cli.console.usage import sentence
from quilt_packager.operations import formats

if TYPE_CHECKING:
    from quilt_packager_runtime.aws.s3 import S3
    from quilt_packager_runtime.formats.manifest_lines import ManifestLine
    from quilt_packager_runtime.registry.publish import Package

    from quilt_packager.operations.revisions.packages import EntryPage, RevisionPage
    from quilt_packager.operations.revisions.revisions import Revision

ENTRY_COLUMNS = (Column("PATH"), Column("SIZE", right=True), Column("OBJECT", wide=True))
REVISION_COLUMNS = (
    Column("REVISION"),
    Column("PUBLISHED"),
    Column("MADE BY"),
    Column("JOB", wide=True),
)

LISTED = 50
MOST_LISTED = 100_000
HASH_CHARACTERS = 12
UNKNOWN = "-"


def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME[@REV]",
            help="Package, and a revision as for diff. Default: the latest.",
            show_default=False,
        ),
    ],
    *,
    registry: RegistryOption = None,
    glob: Annotated[
        str,
        typer.Option("--glob", metavar="GLOB", help="Only entries with a matching path."),
    ] = "",
    revisions: Annotated[
        bool, typer.Option("--revisions", help="List the revisions instead of the entries of one.")
    ] = False,
    limit: Annotated[
        int,
        typer.Option(
            "--limit",
            metavar="N",
            min=1,
            max=MOST_LISTED,
            help="Maximum number of entries or revisions.",
        ),
    ] = LISTED,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show a revision of a package, with its metadata and entries.

    Examples:
      quilt-packager show runs/42
      quilt-packager show runs/42@-2 --glob '*.bam' --limit 1000
      quilt-packager show runs/42 --revisions
    """
    from quilt_packager_runtime.registry.publish import Package

    from quilt_packager.operations.deployment.credentials import connect_s3
    from quilt_packager.operations.revisions.packages import list_revisions

    package_name, _, wanted = name.partition("@")
    check_name(package_name)
    if glob:
        _check_glob(glob)
    terminal = Terminal()
    package = Package(find_registry(registry, stack, profile, region), package_name)
    s3 = connect_s3(profile, region)
    if revisions:
        page = asyncio.run(list_revisions(s3, package, limit=limit))
        _write_revisions(terminal, page, as_json=as_json)
        return Exit.OK
    revision, entries = asyncio.run(_read(s3, package, wanted or "latest", glob, limit))
    if as_json:
        terminal.json(_to_json(package, revision, entries))
    else:
        _write_entries(terminal, package, revision, entries)
    return Exit.OK


async def _read(
    s3: "S3", package: "Package", wanted: str, glob: str, limit: int
) -> tuple["Revision", "EntryPage"]:
    from quilt_packager.operations.revisions.packages import read_entries
    from quilt_packager.operations.revisions.revisions import RevisionLookup

    revision = await RevisionLookup(s3, package).find(wanted)
    return revision, await read_entries(s3, package, revision.top_hash, glob=glob, limit=limit)


def _check_glob(glob: str) -> None:
    try:
        check_globs([glob])
    except ValueError as error:
        raise Misuse(
            f"Invalid --glob: {glob}", why=sentence(str(error)), remedy="--glob '*.bam'"
        ) from None


def _write_revisions(terminal: Terminal, page: "RevisionPage", *, as_json: bool) -> None:
    if as_json:
        for each in page.revisions:
            terminal.json(msgspec.to_builtins(each))
    else:
        rows = []
        for each in page.revisions:
            top_hash = terminal.shorten(each.top_hash or UNKNOWN, HASH_CHARACTERS)
            published = terminal.when(each.published) if each.published else UNKNOWN
            rows.append([top_hash, published, each.made_by, each.message_id or UNKNOWN])
        terminal.table(REVISION_COLUMNS, rows)
    if len(page.revisions) < page.total:
        terminal.hint(f"The newest {len(page.revisions):,} of {page.total:,}: use --limit.")


def _write_entries(
    terminal: Terminal, package: "Package", revision: "Revision", page: "EntryPage"
) -> None:
    header = page.header
    facts = [
        ("Package", package.name),
        ("Registry", package.registry),
        ("Revision", revision.top_hash),
    ]
    if revision.published is not None:
        facts.append(("Published", terminal.when(revision.published)))
    if header.message:
        facts.append(("Message", header.message))
    if header.workflow and header.workflow.get("id"):
        facts.append(("Workflow", str(header.workflow["id"])))
    for number, (key, value) in enumerate((header.user_meta or {}).items()):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        facts.append(("" if number else "Metadata", f"{key}: {text}"))
    terminal.facts(facts)
    terminal.write()
    if page.entries:
        terminal.table(ENTRY_COLUMNS, map(_entry_row, page.entries))
    else:
        terminal.write("No entries.")
    if page.following is not None:
        terminal.hint("There are more entries: use a larger --limit, or --glob.")


def _entry_row(entry: "ManifestLine") -> list[str]:
    size = UNKNOWN if entry.size is None else formats.size(entry.size)
    return [entry.logical_key, size, _location(entry) or UNKNOWN]


def _location(entry: "ManifestLine") -> str | None:
    return next((key for key in entry.physical_keys or [] if isinstance(key, str)), None)


def _to_json(package: "Package", revision: "Revision", page: "EntryPage") -> dict[str, Any]:
    header = page.header
    return {
        "package_name": package.name,
        "registry": package.registry,
        **msgspec.to_builtins(revision),
        "message": header.message,
        "workflow": (header.workflow or {}).get("id"),
        "metadata": header.user_meta or {},
        "entries": [
            {
                "logical_key": each.logical_key,
                "size_bytes": each.size,
                "uri": _location(each),
                "hash": msgspec.to_builtins(each.hash) if each.hash else None,
            }
            for each in page.entries
        ],
        "has_more": page.following is not None,
    }
