"""Folders that a person may not mean: without their trailing slash, or a whole bucket."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from quilt_packager_runtime.errors import PackagerError
from quilt_packager_runtime.formats.objects import SourceFolder

from quilt_packager.cli.console.errors import Misuse
from quilt_packager.cli.console.terminal import Terminal

if TYPE_CHECKING:
    from quilt_packager_runtime.aws.s3 import S3
    from quilt_packager_runtime.requests.package_request import UnresolvedRequest


def check_folder(
    terminal: Terminal, message: str, request: "UnresolvedRequest", connect: Callable[[], "S3"]
) -> None:
    """Refuse a typed folder without its trailing slash, whose parent would be packaged.

    In a message in JSON this only gives a hint: its sender may mean a file in the folder. A whole
    bucket gives a warning, as do unknown fields.

    Args:
        terminal: The terminal.
        message: The MESSAGE argument.
        request: The request of the message.
        connect: Connects to S3 with the permissions of the user, who may have none.

    Raises:
        Misuse: The argument is a folder without its slash, which has objects or whose parent is
            the bucket.
    """
    from quilt_packager.operations.deployment.messages import find_meant_folder

    for warning in request.warnings:
        terminal.hint(f"warning: {warning}")
    is_typed = message.strip().startswith("s3://")
    bucket, name = request.source.bucket, request.dropped_component
    if not request.source.prefix and not (is_typed and name):
        terminal.hint(f"warning: The message packages the whole bucket {bucket}.")
    if not name:
        return
    meant: SourceFolder | None = None
    with suppress(PackagerError):
        meant = asyncio.run(find_meant_folder(connect(), request))
    if is_typed and (meant is not None or not request.source.prefix):
        folder = meant or SourceFolder(bucket, f"{name}/")
        raise Misuse(
            f"Without a trailing /, {message.strip()} packages {request.source}.",
            why=f"{meant} has objects." if meant else "That is the whole bucket.",
            remedy=f"Did you mean {folder}? Otherwise, give {request.source}.",
        )
    if meant is not None:
        terminal.hint(f"The message packages {request.source}. Did you mean {meant}?")
