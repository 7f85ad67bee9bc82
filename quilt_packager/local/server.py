"""A server in its own process, which ends with this one."""

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from quilt_packager.local import processes


class Server(ABC):
    """A server in its own process: a context manager that starts and stops it.

    Args:
        directory: Working directory. The caller removes it.
        log_path: Log file for its output.
    """

    def __init__(self, directory: Path, log_path: Path) -> None:
        """Prepare the server. `start` starts it."""
        self.directory = directory
        self.log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it, and return when it responds."""
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

    @abstractmethod
    def start(self) -> None:
        """Start it on a free port, and return when it responds.

        Raises:
            LocalError: It did not start.
        """

    def stop(self) -> None:
        """End it and everything that it started. Further calls have no effect."""
        if self._process is not None:
            processes.stop(self._process)
            self._process = None

    @property
    def process_id(self) -> int:
        """Id of its process, and of the group that it leads.

        Raises:
            RuntimeError: It is not running.
        """
        if self._process is None:
            raise RuntimeError(f"{type(self).__name__} is not running")
        return self._process.pid

    def log(self) -> str:
        """Return the end of its log."""
        return processes.last_lines(self.log_path)

    def _run(
        self, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        self._process = processes.start(
            arguments, environment=environment, directory=self.directory, log_path=self.log_path
        )
        return self._process
