"""Packages as the demo shows them."""

import json

from quilt_packager.cli.console.outcomes import write_success
from quilt_packager.cli.console.tables import Column
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.local.engine import LoggedOutcome
from quilt_packager.local.errors import LocalError
from quilt_packager.local.reading import ReadPackage
from quilt_packager.operations import formats

HASH_CHARACTERS = 12
MAX_ENTRIES = 3
"""Number of entries that are shown of a package."""


def show_package(
    terminal: Terminal, outcome: LoggedOutcome, package: ReadPackage, *, reason: str
) -> None:
    """Show a package that quilt3 has opened, and the reason for it.

    Raises:
        LocalError: quilt3 could not verify it.
    """
    if not package.verified or package.top_hash != outcome.top_hash:
        raise LocalError(
            f"quilt3 could not verify the package {package.name}.",
            why="Its files or its top hash do not match its manifest.",
            remedy="This is a bug. Please report it.",
        )
    terminal.write()
    write_success(terminal, outcome, seconds=outcome.seconds)
    metadata = [("metadata", json.dumps(package.metadata))] if package.metadata else []
    carried = [("carried", formats.count(outcome.carried_entries or 0, "change") + " of a person")]
    terminal.fields(
        [
            ("because", reason),
            *(carried if outcome.carried_entries else []),
            *metadata,
            ("quilt3", "opened it and verified the top hash and every byte"),
        ]
    )
    terminal.table(
        ["LOGICAL KEY", Column("SIZE", right=True), "HASH"],
        [
            (key, formats.size(size_bytes), terminal.shorten(value, HASH_CHARACTERS))
            for key, size_bytes, value in package.entries[:MAX_ENTRIES]
        ],
        indent="  ",
    )
    more = len(package.entries) - MAX_ENTRIES
    if more > 0:
        terminal.write(f"  and {more:,} more")
