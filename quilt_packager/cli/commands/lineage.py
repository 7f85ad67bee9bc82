"""`quilt-packager lineage`: the packages that a package was made from, and those made from it."""

import asyncio
from collections.abc import Callable, Iterator
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
    find,
    find_registry,
)
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.cli.console.typer_groups import takes_negative_numbers

if TYPE_CHECKING:
    from quilt_packager_runtime.aws.s3 import S3
    from quilt_packager_runtime.lineage.index import LineageIndex

    from quilt_packager.operations.lineage.tree import Node

REBUILD = "rebuild"
"""Argument instead of a package, whose name has a `/`."""

HASH_CHARACTERS = 12
MAX_DEPTH = 20


@takes_negative_numbers
def lineage(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Package, or rebuild.", show_default=False)
    ],
    revision: Annotated[
        str,
        typer.Argument(metavar="REV", help="Revision. Default: the latest.", show_default=False),
    ] = "latest",
    *,
    up: Annotated[bool, typer.Option("--up", help="Only what it was made from.")] = False,
    down: Annotated[bool, typer.Option("--down", help="Only what was made from it.")] = False,
    depth: Annotated[
        int, typer.Option(metavar="N", min=1, max=MAX_DEPTH, help="Number of steps.")
    ] = 3,
    registry: RegistryOption = None,
    openlineage: Annotated[
        bool, typer.Option("--openlineage", help="Write events of OpenLineage, one in each line.")
    ] = False,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show what a package was made from, and what was made from it.

    The engine names the packages of a run's inputs if it has lineage. `lineage rebuild` makes its
    index again from the manifests of a registry.

    Examples:
      quilt-packager lineage runs/42
      quilt-packager lineage runs/42 -2 --up --depth 10
      quilt-packager lineage runs/42 --openlineage > events.jsonl
      quilt-packager lineage rebuild --registry packages
    """
    from quilt_packager_runtime.registry.publish import Package

    from quilt_packager.operations.deployment.credentials import connect_s3
    from quilt_packager.operations.lineage.openlineage import export_events
    from quilt_packager.operations.revisions.revisions import RevisionLookup

    for each in (name, revision):
        if each.startswith("--"):
            raise Misuse(f"No such option: {each}", why="", remedy="quilt-packager lineage --help")
    terminal = Terminal()
    bucket = find_registry(registry, stack, profile, region)
    s3 = connect_s3(profile, region)
    if name == REBUILD:
        return _rebuild(terminal, s3, _find_index(stack, profile, region), bucket, as_json=as_json)
    check_name(name)
    package = Package(bucket, name)
    is_both = up == down
    index = _find_index(stack, profile, region) if is_both or down else None

    async def read() -> "Node":
        from quilt_packager.operations.lineage.tree import LineageReader

        found = await RevisionLookup(s3, package).find(revision)
        return await LineageReader(s3, index).read(
            package,
            found.top_hash,
            up=depth if is_both or up else 0,
            down=depth if is_both or down else 0,
        )

    tree = asyncio.run(read())
    if openlineage:
        for event in export_events(tree):
            terminal.json(event)
    elif as_json:
        terminal.json(msgspec.to_builtins(tree))
    else:
        _write(terminal, tree)
    return Exit.OK


def _find_index(stack: str | None, profile: str | None, region: str | None) -> "LineageIndex":
    """Find the index of an engine.

    Raises:
        NoLineage: It has none.
    """
    from quilt_packager_runtime.lineage.index import LineageIndex

    from quilt_packager.operations.deployment.configurations import read_configuration
    from quilt_packager.operations.errors import NoLineage

    deployment = find(stack, profile, region)
    table = read_configuration(deployment).settings.lineage_table
    if table is None:
        raise NoLineage(
            f"The engine {deployment.name} keeps no index of lineage.",
            why="It was deployed without lineage.",
            remedy="Deploy it with the prop lineage=True or the flag quilt:lineage; --up needs no "
            "index.",
        )
    return LineageIndex(table, deployment.dynamodb)


def _rebuild(
    terminal: Terminal, s3: "S3", index: "LineageIndex", registry: str, *, as_json: bool
) -> int:
    from quilt_packager.operations.lineage.rebuild import rebuild_index

    async def run() -> int:
        return len([package async for package in rebuild_index(s3, index, registry)])

    packages = asyncio.run(run())
    if as_json:
        terminal.json({"registry": registry, "packages": packages})
    else:
        terminal.done(f"Recorded the lineage of {packages:,} packages of {registry}.")
    return Exit.OK


def _write(terminal: Terminal, tree: "Node") -> None:
    terminal.write(_line(terminal, tree))
    for title, following in (("made from", _inputs), ("used by", _users)):
        lines = list(_lines(terminal, tree, following, "    "))
        terminal.write(f"  {title}{'' if lines else ': nothing that is known'}")
        for line in lines:
            terminal.write(line)


def _lines(
    terminal: Terminal, node: "Node", following: "Callable[[Node], tuple[Node, ...]]", indent: str
) -> Iterator[str]:
    for each in following(node):
        yield indent + _line(terminal, each)
        yield from _lines(terminal, each, following, indent + "  ")
    if node.is_cut and following(node):
        yield f"{indent}and more"


def _inputs(node: "Node") -> "tuple[Node, ...]":
    return node.inputs


def _users(node: "Node") -> "tuple[Node, ...]":
    return node.users


def _line(terminal: Terminal, node: "Node") -> str:
    when = f", {terminal.when(node.published)}" if node.published else ", its manifest is gone"
    run = f", run {node.run.id}" if node.run.id else ""
    hash_ = terminal.shorten(node.top_hash, HASH_CHARACTERS)
    return f"{node.package_name}  {hash_}  {node.registry}{when}{run}"
