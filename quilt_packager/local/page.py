"""The admin page of an engine in an embedded AWS, served by a separate process."""

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
        directory: Folder for its log, which contains the page's token. The caller removes it.
        environment: Its whole environment, including the settings of the AWS.
        arguments: Additional arguments of the command.

    Attributes:
        url: Address of the page, with the token that admits a browser.
    """

    def __init__(
        self, directory: Path, environment: Mapping[str, str], arguments: tuple[str, ...] = ()
    ) -> None:
        """Prepare the server. `start` starts it."""
        super().__init__(directory, directory / "page.log")
        self.url = ""
        self._environment = environment
        self._arguments = arguments

    def start(self) -> None:
        """Start it on a free port, and return when it responds.

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
                # Warnings may precede it. A line is complete once it ends in a newline.
                if line.startswith("{") and line.endswith("\n"):
                    url: str = json.loads(line)["url"]
                    return url
            time.sleep(POLL_SECONDS)
        raise LocalError(
            "The page did not start.",
            why=f"quilt-packager admin ended, or printed no address within {READY_SECONDS:.0f} s.",
            remedy="See its last lines above.",
            log=self.log(),
        )
