"""`quilt-packager discover`: folders that could be packages."""

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from quilt_packager.cli.commands.plan import Engine, find_engine
from quilt_packager.cli.console.errors import Misuse
from quilt_packager.cli.console.exits import Exit
from quilt_packager.cli.console.options import (
    JsonOption,
    ProfileOption,
    RegionOption,
    StackOption,
    parse_folder_argument,
)
from quilt_packager.cli.console.progress import JobProgress
from quilt_packager.cli.console.tables import Column, Row
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.cli.console.usage import sentence
from quilt_packager.operations import formats

if TYPE_CHECKING:
    from quilt_packager_runtime.aws.s3 import S3
    from quilt_packager_runtime.formats.objects import S3Uri, SourceFolder

    from quilt_packager.operations.backfills import ProposedPackage

COLUMNS = (
    "STATE",
    "KIND",
    Column("OBJECTS", right=True, wide=True),
    Column("SIZE", right=True),
    Column("PACKAGE", wide=True),
    "FOLDER",
)

MAX_ROWS = 1000
"""Maximum number of folders in the table: --json has all."""


def discover(
    folder: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER",
            help="Bucket or folder, such as s3://bucket/ or s3://bucket/folder/.",
            show_default=False,
        ),
    ],
    *,
    inventory: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="manifest.json of an S3 Inventory report in CSV, instead of a listing.",
            show_default=False,
        ),
    ] = None,
    registry: Annotated[
        str | None,
        typer.Option(
            metavar="BUCKET", help="Bucket with the packages. Default: the engine's registry."
        ),
    ] = None,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Find folders that could be packages, by their files.

    Lists the folder once, and recognises RO-Crates, runs of nf-core, HealthOmics, Illumina,
    Nanopore and Cell Ranger, BIDS, Zarr, Data Packages, DICOM series and folders with a checksum
    list. Shows which lack the file that completes them, and which are packaged already. Nothing is
    changed. With --json, the lines are the input of backfill.

    Examples:
      quilt-packager discover s3://raw/runs/
      quilt-packager discover s3://raw/ --json | quilt-packager backfill -
    """
    from quilt_packager.operations.deployment.credentials import connect_s3

    terminal = Terminal()
    wanted = parse_folder_argument(folder)
    manifest = _parse_manifest(inventory) if inventory is not None else None
    engine = find_engine(terminal, stack, profile, region)
    s3 = connect_s3(profile, region)
    report = _Report(terminal, as_json=as_json)
    asyncio.run(_discover(report, s3, wanted, manifest, engine=engine, registry=registry))
    report.end()
    return Exit.OK


def _parse_manifest(text: str) -> "S3Uri":
    from quilt_packager_runtime.formats.objects import S3Uri

    try:
        return S3Uri.parse(text)
    except ValueError as error:
        raise Misuse(
            f"Invalid inventory: {text}",
            why=sentence(str(error)),
            remedy="Give it as s3://bucket/prefix/source/config/date/manifest.json.",
        ) from error


class _Report:
    """Writes the proposals: lines of JSON at once, or a summary and a table at the end."""

    def __init__(self, terminal: Terminal, *, as_json: bool) -> None:
        self.terminal = terminal
        self._as_json = as_json
        self._rows: list[Row] = []
        self._states: Counter[str] = Counter()
        self._objects = 0
        self._archived = 0
        self._usd = 0.0
        self.listed = 0

    def add(self, proposed: "ProposedPackage") -> None:
        if self._as_json:
            self.terminal.json(msgspec.to_builtins(proposed))
        state, reason = _judge(proposed)
        self._states[state] += 1
        self._objects += proposed.objects
        if state == "ready":
            self._usd += proposed.usd
            self._archived += proposed.archived
        if len(self._rows) < MAX_ROWS:
            shown = (
                state,
                proposed.kind,
                f"{proposed.objects:,}",
                formats.size(proposed.bytes),
                proposed.package_name or "",
                proposed.folder,
            )
            self._rows.append(Row(shown, reason))

    def end(self) -> None:
        if self._as_json:
            return
        found = self._states.total()
        states = ", ".join(f"{count:,} {state}" for state, count in self._states.most_common())
        summary = f"{formats.count(found, 'folder')} in {formats.count(self.listed, 'object')}"
        self.terminal.write(f"{summary}{f': {states}' if states else ''}.")
        if found:
            self.terminal.table(COLUMNS, self._rows)
        if found > MAX_ROWS:
            self.terminal.hint(f"{found - MAX_ROWS:,} more folders: --json has all.")
        if other := self.listed - self._objects:
            self.terminal.hint(f"{formats.count(other, 'object')} in no such folder.")
        if self._archived:
            archived = formats.count(self._archived, "archived object")
            self.terminal.hint(f"{archived} may have to be restored, at a price not included.")
        if ready := self._states["ready"]:
            usd = formats.usd(self._usd)
            self.terminal.hint(f"Packages of the {ready:,} ready would cost about {usd}.")


def _judge(proposed: "ProposedPackage") -> tuple[str, str]:
    """Return the state of a proposal, and its reason."""
    if proposed.packaged_as is not None:
        return "packaged", f"It is in the package {proposed.packaged_as}."
    if proposed.missing:
        return "incomplete", f"It has no {', '.join(proposed.missing)}."
    if proposed.problem is not None:
        return "not usable", proposed.problem
    return "ready", ""


async def _discover(
    report: _Report,
    s3: "S3",
    folder: "SourceFolder",
    manifest: "S3Uri | None",
    *,
    engine: Engine,
    registry: str | None,
) -> None:
    from quilt_packager.operations.discovery.inventory_report import read_inventory
    from quilt_packager.operations.discovery.packaged import PackagedFolders
    from quilt_packager.operations.discovery.proposals import find_roots, propose
    from quilt_packager.operations.discovery.roots import Roots

    pages = (
        s3.list_objects(folder.bucket, folder.prefix)
        if manifest is None
        else read_inventory(s3, manifest, folder)
    )
    settings = engine.configuration.settings
    # First, because it fails at once without permission.
    packaged = PackagedFolders(s3, registry or settings.default_registry or folder.bucket)
    await packaged.read()
    with Roots() as roots:
        with JobProgress(report.terminal) as progress:
            report.listed = await find_roots(
                pages,
                folder,
                roots,
                settings,
                lambda found: progress("listing", found, None),
            )
        proposals = propose(
            folder.bucket,
            roots,
            settings,
            packaged,
            memory_mib=engine.configuration.memory_mib,
        )
        async for proposed in proposals:
            report.add(proposed)
