"""Folders that a person types without their trailing slash."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from quilt_packager_runtime.errors import PackagerError

from quilt_packager.cli.console.errors import Misuse
from quilt_packager.cli.console.terminal import Terminal

if TYPE_CHECKING:
    from quilt_packager_runtime.aws.s3 import S3
    from quilt_packager_runtime.requests.package_request import UnresolvedRequest


def check_folder(
    terminal: Terminal, message: str, request: "UnresolvedRequest", connect: Callable[[], "S3"]
) -> None:
    """Refuse a typed folder without its trailing slash, whose parent would be packaged.

    In a message in JSON this only gives a hint: its sender may mean a file in the folder.

    Args:
        terminal: The terminal.
        message: The MESSAGE argument.
        request: The request of the message.
        connect: Connects to S3 with the permissions of the user, who may have none.

    Raises:
        Misuse: The argument is a folder with objects, without its slash.
    """
    from quilt_packager.operations.deployment.messages import find_meant_folder

    if not request.dropped_component:
        return
    try:
        meant = asyncio.run(find_meant_folder(connect(), request))
    except PackagerError:
        return
    if meant is None:
        return
    if message.strip().startswith("s3://"):
        raise Misuse(
            f"Without a trailing /, {message.strip()} packages {request.source}.",
            why=f"{meant} has objects.",
            remedy=f"Did you mean {meant}? Otherwise, give {request.source}.",
        )
    terminal.hint(f"The message packages {request.source}. Did you mean {meant}?")
