"""`quilt-packager diff`: differences between two revisions of a package."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

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
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.cli.console.typer_groups import takes_negative_numbers
from quilt_packager.operations import formats

if TYPE_CHECKING:
    from quilt_packager_runtime.aws.s3 import S3
    from quilt_packager_runtime.registry.publish import Package

    from quilt_packager.operations.revisions.diff import Added, Changed, Removed, Summary
    from quilt_packager.operations.revisions.revisions import Revision

KEY_COLUMNS = 32
"""Width of a logical key. A longer key shifts its own line, since lines are written at once."""

HASH_CHARACTERS = 12
UNKNOWN = "?"
NOTHING = "(first revision)"


@takes_negative_numbers
def diff(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Package.", show_default=False)],
    before: Annotated[
        str | None,
        typer.Argument(
            metavar="REV", help="Revision. Default: the one before.", show_default=False
        ),
    ] = None,
    after: Annotated[
        str | None,
        typer.Argument(
            metavar="REV", help="Later revision. Default: the latest.", show_default=False
        ),
    ] = None,
    *,
    registry: RegistryOption = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", metavar="N", min=0, help="Maximum number of differences. Default: all."
        ),
    ] = None,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show the differences between two revisions of a package.

    A revision is latest; -1, -2 and so on, counted from the newest; a time such as 2d or
    2026-11-01, for the newest revision at that time; a pointer; or the beginning of a top hash.
    Everything in a first revision is added. Only manifests are read.

    Examples:
      quilt-packager diff runs/42 --registry packages
      quilt-packager diff runs/42 -3 latest
      quilt-packager diff runs/42 2026-11-01 --json --limit 10
    """
    from quilt_packager_runtime.registry.publish import Package

    from quilt_packager.operations.deployment.credentials import connect_s3

    _check_arguments(name, [before, after])
    bucket = find_registry(registry, stack, profile, region)
    comparison = _Comparison(
        Terminal(), connect_s3(profile, region), Package(bucket, name), limit, as_json=as_json
    )
    asyncio.run(comparison.write(before, after))
    return Exit.OK


def _check_arguments(name: str, revisions: list[str | None]) -> None:
    for each in revisions:
        if each is not None and each.startswith("--"):
            raise Misuse(f"No such option: {each}", why="", remedy="quilt-packager diff --help")
    check_name(name)


class _Comparison:
    """Writes differences while they are found."""

    def __init__(
        self, terminal: Terminal, s3: "S3", package: "Package", limit: int | None, *, as_json: bool
    ) -> None:
        self._terminal = terminal
        self._s3 = s3
        self._package = package
        self._limit = limit
        self._as_json = as_json

    async def write(self, before_name: str | None, after_name: str | None) -> None:
        """Find the revisions, and compare them."""
        from quilt_packager.operations.revisions.diff import Summary, compare
        from quilt_packager.operations.revisions.revisions import RevisionLookup

        history = RevisionLookup(self._s3, self._package)
        after = await history.find(after_name or "latest")
        before = await (history.find(before_name) if before_name else history.before(after))
        if not self._as_json:
            earlier = self._name(before) if before else NOTHING
            self._terminal.write(f"{earlier}  ->  {self._name(after)}")
        written = 0
        async for found in compare(self._s3, self._package, before, after):
            if isinstance(found, Summary):
                self._write_summary(found, before, after)
            elif self._limit is None or written < self._limit:
                self._write_change(found)
                written += 1

    def _name(self, revision: "Revision") -> str:
        name = self._terminal.shorten(revision.top_hash, HASH_CHARACTERS)
        if revision.published is None:
            return name
        return f"{name} ({self._terminal.when(revision.published)})"

    def _write_change(self, found: "Added | Removed | Changed") -> None:
        from quilt_packager.operations.revisions.diff import Added, Changed

        if self._as_json:
            self._terminal.json(msgspec.to_builtins(found))
        elif isinstance(found, Changed):
            self._terminal.difference("~", self._line(found.logical_key, _describe(found)))
        else:
            sign = "+" if isinstance(found, Added) else "-"
            self._terminal.difference(sign, self._line(found.logical_key, _size(found.size_bytes)))

    def _line(self, key: str, words: str) -> str:
        return f"{key:{KEY_COLUMNS}}  {words}"

    def _write_summary(
        self, found: "Summary", before: "Revision | None", after: "Revision"
    ) -> None:
        if self._as_json:
            self._terminal.json(
                {
                    "package_name": self._package.name,
                    "registry": self._package.registry,
                    "before": msgspec.to_builtins(before) if before else None,
                    "after": msgspec.to_builtins(after),
                    **msgspec.to_builtins(found),
                }
            )
            return
        words = (
            f"{found.added:,} added, {found.changed:,} changed, {found.removed:,} removed, "
            f"{found.same:,} unchanged"
        )
        if found.metadata_changed:
            words += "; the package's metadata changed"
        self._terminal.write(words)
        for how, names in msgspec.structs.asdict(found.metadata_fields).items():
            if names:
                self._terminal.write(f"metadata fields {how}: {', '.join(names)}")


def _describe(found: "Changed") -> str:
    before, after = _size(found.before_bytes), _size(found.after_bytes)
    if found.only_metadata:
        return f"{after}, metadata changed"
    if found.before_bytes == found.after_bytes:
        return f"{after}, content changed"
    return f"{before} -> {after}"


def _size(size_bytes: int | None) -> str:
    return UNKNOWN if size_bytes is None else formats.size(size_bytes)
