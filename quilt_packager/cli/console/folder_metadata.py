"""Metadata that is filled in for a folder that a person packages again, and warnings about it."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from quilt_packager_runtime.errors import PackagerError

from quilt_packager.cli.console.terminal import Terminal

if TYPE_CHECKING:
    from quilt_packager_runtime.aws.s3 import S3
    from quilt_packager_runtime.settings import Settings

    from quilt_packager.operations.deployment.known_metadata import Known

NoMetadataOption = Annotated[
    bool,
    typer.Option(
        "--no-metadata",
        help="Do not look for metadata of the folder: its RO-Crate, or its HealthOmics run.",
    ),
]


def fill_in_metadata(
    terminal: Terminal,
    body: str,
    settings: "Settings",
    connect: Callable[[], "S3"],
    *,
    no_metadata: bool,
    shows_lost: bool = True,
) -> "Known":
    """Fill in the metadata that is known of a message's folder, and say so on stderr.

    Args:
        terminal: The terminal.
        body: Message body, which is valid.
        settings: Settings of the engine.
        connect: Connects to S3 with the permissions of the user, who may have none.
        no_metadata: Look for nothing.
        shows_lost: Warn of fields that only the newest revision has.
    """
    from quilt_packager.operations.deployment.known_metadata import (
        Known,
        describe_lost,
        find_metadata,
    )
    from quilt_packager.operations.deployment.messages import check

    if no_metadata:
        return Known(body=body, request=check(body, settings))
    try:
        known = asyncio.run(find_metadata(connect(), body, settings))
    except PackagerError as error:  # there are no credentials
        known = Known(body=body, request=check(body, settings), warnings=(error.happened,))
    if known.found:
        terminal.hint(f"metadata: {known.found}; --no-metadata leaves it out")
    for warning in known.warnings:
        terminal.hint(f"warning: {warning}")
    if known.lost and shows_lost:
        terminal.hint(f"warning: {describe_lost(known.lost)}.")
        terminal.hint("To keep them, give metadata or metadata_uri in the message.")
    return known


def to_json(known: "Known | None") -> dict[str, Any]:
    """Return the fields of `--json` about metadata."""
    return {
        "metadata_found": known.found if known else None,
        "metadata_lost": list(known.lost) if known else [],
    }
