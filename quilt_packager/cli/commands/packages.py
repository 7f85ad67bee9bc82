"""`quilt-packager packages`: the packages of a registry."""

import asyncio
from typing import Annotated

import msgspec
import typer

from quilt_packager.cli.console.exits import Exit
from quilt_packager.cli.console.options import (
    JsonOption,
    ProfileOption,
    RegionOption,
    RegistryOption,
    StackOption,
    find_registry,
)
from quilt_packager.cli.console.tables import Column
from quilt_packager.cli.console.terminal import Terminal

COLUMNS = (
    Column("PACKAGE"),
    Column("REVISIONS", right=True),
    Column("NEWEST"),
    Column("MADE BY", wide=True),
    Column("REVISION"),
)

HASH_CHARACTERS = 12
LISTED = 50
MOST_LISTED = 1000
UNKNOWN = "-"


def packages(
    prefix: Annotated[
        str,
        typer.Argument(metavar="PREFIX", help="Beginning of the names.", show_default=False),
    ] = "",
    *,
    registry: RegistryOption = None,
    after: Annotated[
        str, typer.Option("--after", metavar="NAME", help="Start after this package.")
    ] = "",
    limit: Annotated[
        int,
        typer.Option(
            "--limit", metavar="N", min=1, max=MOST_LISTED, help="Maximum number of packages."
        ),
    ] = LISTED,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """List the packages of a registry with their newest revisions.

    With --json, one JSON object per line.

    Examples:
      quilt-packager packages
      quilt-packager packages runs/ --registry packages
    """
    from quilt_packager.operations.deployment.credentials import connect_s3
    from quilt_packager.operations.revisions.packages import list_packages

    terminal = Terminal()
    bucket = find_registry(registry, stack, profile, region)
    s3 = connect_s3(profile, region)
    page = asyncio.run(
        list_packages(s3, bucket, prefix=prefix.removesuffix("*"), after=after, limit=limit)
    )
    if as_json:
        for each in page.packages:
            terminal.json(msgspec.to_builtins(each))
    elif page.packages:
        rows = []
        for each in page.packages:
            newest = each.newest
            published = terminal.when(newest.published) if newest.published else UNKNOWN
            top_hash = terminal.shorten(newest.top_hash or UNKNOWN, HASH_CHARACTERS)
            count = f"{each.revisions:,}"
            rows.append([each.package_name, count, published, newest.made_by, top_hash])
        terminal.table(COLUMNS, rows)
    else:
        named = f" begin with {prefix}" if prefix else ""
        terminal.write(f"No packages in {bucket}{named}.")
    if page.following is not None:
        terminal.hint(f"There are more: use --after {page.following}, or a larger --limit.")
    return Exit.OK
