"""Demos that were kept running: their processes and files, until they are stopped."""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from quilt_packager.local import processes
from quilt_packager.local.server import Server

DIRECTORY_PREFIX = "quilt-packager-demo-"
FILE = "kept.json"
PROGRAM = "quilt_packager"
"""Part of the command lines of the servers: another process may have the id of one that ended."""


def keep(directory: Path, servers: Iterable[Server]) -> None:
    """Record the servers of a demo in its directory, so that `stop_all` finds them."""
    (directory / FILE).write_text(json.dumps([server.process_id for server in servers]))


def stop_all() -> int:
    """Stop the demos that this user has kept, remove their files, and return their number."""
    found = list(_find())
    for directory in found:
        for process_id in json.loads((directory / FILE).read_text()):
            if PROGRAM in processes.command_of(process_id):
                processes.stop_group(process_id)
        processes.remove(directory)
    return len(found)


def _find() -> Iterator[Path]:
    for directory in sorted(Path(tempfile.gettempdir()).glob(f"{DIRECTORY_PREFIX}*")):
        # A directory of another user may name any process.
        if directory.stat().st_uid == os.getuid() and (directory / FILE).is_file():
            yield directory
