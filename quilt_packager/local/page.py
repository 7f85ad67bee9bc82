"""The page of an engine in an embedded AWS, served by a process of its own until it is stopped."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from quilt_packager.local.errors import LocalError
from quilt_packager.local.server import Server

READY_SECONDS = 30.0
POLL_SECONDS = 0.05


class Page(Server):
    """A running `quilt-packager admin`.

    Args:
        directory: Where its log goes, with the page's token. Not removed.
        environment: All of its environment, which tells where the AWS is.
        arguments: More arguments of the command.

    Attributes:
        url: Where the page is, with the token that lets a browser in.
    """

    def __init__(
        self, directory: Path, environment: Mapping[str, str], arguments: tuple[str, ...] = ()
    ) -> None:
        """Nothing runs before `start`."""
        super().__init__(directory, directory / "page.log")
        self.url = ""
        self._environment = environment
        self._arguments = arguments

    def start(self) -> None:
        """Start it on a free port, and return when it answers.

        Raises:
            LocalError: It did not start.
        """
        program = [sys.executable, "-m", "quilt_packager.cli", "admin", "--no-browser", "--json"]
        self.log_path.write_text("")
        process = self._run([*program, *self._arguments], self._environment)
        try:
            self.url = self._wait_for_url(process)
        except BaseException:
            self.stop()
            raise

    def _wait_for_url(self, process: subprocess.Popen[bytes]) -> str:
        deadline = time.monotonic() + READY_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            for line in self.log_path.read_text("utf-8", "replace").splitlines(keepends=True):
                # Warnings may stand before it; a line is whole once it has its end.
                if line.startswith("{") and line.endswith("\n"):
                    url: str = json.loads(line)["url"]
                    return url
            time.sleep(POLL_SECONDS)
        raise LocalError(
            "The page did not start.",
            why=f"quilt-packager admin ended, or told no address in {READY_SECONDS:.0f} s.",
            remedy="Its last lines, above, tell more.",
            log=self.log(),
        )
