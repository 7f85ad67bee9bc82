"""A server in a process of its own, which ends with us."""

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from quilt_packager.local import processes


class Server(ABC):
    """A server in a process of its own: a context manager that starts and stops it.

    Args:
        directory: Where it runs. Not removed.
        log_path: What it writes.

    Attributes:
        directory: As given.
        log_path: As given.
    """

    def __init__(self, directory: Path, log_path: Path) -> None:
        """Nothing runs before `start`."""
        self.directory = directory
        self.log_path = log_path
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

    @abstractmethod
    def start(self) -> None:
        """Start it on a free port, and return when it answers.

        Raises:
            LocalError: It did not start.
        """

    def stop(self) -> None:
        """End it, and all that it started; harmless when done twice."""
        if self._process is not None:
            processes.stop(self._process)
            self._process = None

    @property
    def process_id(self) -> int:
        """The id of its process, and of the group that it leads.

        Raises:
            RuntimeError: It does not run.
        """
        if self._process is None:
            raise RuntimeError(f"{type(self).__name__} does not run")
        return self._process.pid

    def log(self) -> str:
        """The end of its log."""
        return processes.last_lines(self.log_path)

    def _run(
        self, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        self._process = processes.start(
            arguments, environment=environment, directory=self.directory, log_path=self.log_path
        )
        return self._process
