"""`quilt-packager admin`: a page in the browser that shows an engine, and operates it."""

import os
import sys
import threading
import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer

from quilt_packager.cli.console.exits import Exit
from quilt_packager.cli.console.options import (
    JsonOption,
    ProfileOption,
    RegionOption,
    StackOption,
    find,
)
from quilt_packager.cli.console.terminal import Terminal

if TYPE_CHECKING:
    from quilt_packager.admin.server import Address

MAX_PORT = 65_535


def admin(
    *,
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=MAX_PORT,
            metavar="N",
            help="The port of 127.0.0.1. Default: a free one.",
            show_default=False,
        ),
    ] = 0,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Show everything, and change nothing.")
    ] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Open no browser; write the address alone.")
    ] = False,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Open a page that shows an engine and operates it, in a browser.

    The page acts by your own AWS credentials. It is served on 127.0.0.1 alone, to the browser that
    opens the address with its token, until Ctrl-C.

    Examples:
      quilt-packager admin
      quilt-packager admin --read-only --no-browser --port 8765
    """
    from quilt_packager.admin.server import serve

    terminal = Terminal()
    deployment = find(stack, profile, region)

    def tell(address: "Address") -> None:
        if as_json:
            terminal.json({"url": address.url, "stack": deployment.name})
        else:
            terminal.write(address.url)
        if not no_browser and has_desktop():
            # Some take until they are closed.
            threading.Thread(target=webbrowser.open, args=[address.url_once], daemon=True).start()
        terminal.hint(f"The page of {deployment.name} is open until Ctrl-C.")

    try:
        serve(deployment, on_ready=tell, port=port, read_only=read_only)
    except KeyboardInterrupt:
        terminal.hint("The page is closed.")
    return Exit.OK


def has_desktop() -> bool:
    """Whether a browser would open in a window, and not in this terminal."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
