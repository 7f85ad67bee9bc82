"""The page of an engine in an embedded AWS, served by a process of its own until it is stopped."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from quilt_packager.local import processes
from quilt_packager.local.errors import LocalError

READY_SECONDS = 30.0
POLL_SECONDS = 0.05


class Page:
    """A running `quilt-packager admin`: a context manager that starts and stops it.

    Args:
        directory: Where its log goes, with the page's token. Not removed.
        environment: All of its environment, which tells where the AWS is.
        arguments: More arguments of the command.

    Attributes:
        url: Where the page is, with the token that lets a browser in.
        process_id: The id of its process, and of the group that it leads.

    Raises:
        LocalError: It did not start.
    """

    def __init__(
        self, directory: Path, environment: Mapping[str, str], arguments: tuple[str, ...] = ()
    ) -> None:
        """Nothing runs before `start`."""
        self.url = ""
        self._directory = directory
        self._environment = environment
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start, and wait until it answers."""
        self.start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Start it on a free port, and return when it answers."""
        log_path = self._directory / "page.log"
        program = [sys.executable, "-m", "quilt_packager.cli", "admin", "--no-browser", "--json"]
        log_path.write_text("")
        self._process = processes.start(
            [*program, *self._arguments],
            environment=self._environment,
            directory=self._directory,
            log_path=log_path,
        )
        try:
            self.url = _wait_for_url(self._process, log_path)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it; harmless when done twice."""
        if self._process is not None:
            processes.stop(self._process)
            self._process = None

    @property
    def process_id(self) -> int:
        """The id of its process.

        Raises:
            RuntimeError: It does not run.
        """
        if self._process is None:
            raise RuntimeError("the page does not run")
        return self._process.pid


def _wait_for_url(process: subprocess.Popen[bytes], log_path: Path) -> str:
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        for line in log_path.read_text("utf-8", "replace").splitlines(keepends=True):
            # Warnings may stand before it; a line is whole once it has its end.
            if line.startswith("{") and line.endswith("\n"):
                url: str = json.loads(line)["url"]
                return url
        time.sleep(POLL_SECONDS)
    raise LocalError(
        "The page did not start.",
        why=f"quilt-packager admin ended, or did not tell its address in {READY_SECONDS:.0f} s.",
        remedy="Its last lines, above, tell more.",
        log=processes.last_lines(log_path),
    )
