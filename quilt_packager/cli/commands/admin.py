"""`quilt-packager admin`: a local web page that shows and operates an engine."""

import contextlib
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
            help="Port of 127.0.0.1. Default: a free port.",
            show_default=False,
        ),
    ] = 0,
    read_only: Annotated[bool, typer.Option("--read-only", help="Disable all changes.")] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address without opening a browser.")
    ] = False,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Open a web page that shows and operates an engine.

    The page uses your own AWS credentials. Until Ctrl-C it is served on 127.0.0.1 only, to browsers
    that open its address with the token.

    Examples:
      quilt-packager admin
      quilt-packager admin --read-only --no-browser --port 8765
    """
    from quilt_packager.admin.server import serve

    terminal = Terminal()
    deployment = find(stack, profile, region)

    def announce(address: "Address") -> None:
        if as_json:
            terminal.json({"url": address.url, "stack": deployment.name})
        else:
            terminal.write(address.url)
        if not no_browser and has_desktop():
            # Some browsers block until they are closed.
            threading.Thread(target=webbrowser.open, args=[address.url_once], daemon=True).start()
        terminal.hint(f"Serving the page of {deployment.name}. Press Ctrl-C to stop.")

    with contextlib.suppress(KeyboardInterrupt):
        serve(deployment, on_ready=announce, port=port, read_only=read_only)
    terminal.hint("Stopped.")
    return Exit.OK


def has_desktop() -> bool:
    """Return True if a browser opens in its own window, not in this terminal."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
