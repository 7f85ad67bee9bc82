"""Progress of a job on stderr: a bar on a terminal, otherwise a line at intervals."""

import threading
import time
from types import TracebackType
from typing import Self

from quilt_packager_runtime.errors import printable
from rich.progress import BarColumn, Progress, TextColumn

from quilt_packager.cli.console.terminal import Terminal

BAR_AFTER_SECONDS = 1.0
"""Jobs that end sooner show no bar."""

LINE_EVERY_SECONDS = 10.0


class JobProgress:
    """Shows the phases of a job, as a context manager around it.

    Call it with a phase, the completed count and the total, from any thread.

    Args:
        terminal: The terminal to write to.
        bar_after_seconds: Delay before the bar appears on a terminal.
        line_every_seconds: Interval between lines elsewhere.
        with_bar: False for a command that writes results meanwhile, which a bar would disturb.
    """

    def __init__(
        self,
        terminal: Terminal,
        *,
        bar_after_seconds: float = BAR_AFTER_SECONDS,
        line_every_seconds: float = LINE_EVERY_SECONDS,
        with_bar: bool = True,
    ) -> None:
        """Show nothing yet."""
        self._terminal = terminal
        self._has_bar = with_bar and terminal.interactive
        self._bar_after_seconds = bar_after_seconds
        self._line_every_seconds = line_every_seconds
        self._started = time.monotonic()
        self._phase = "starting"
        self._count = ""
        self._bar = Progress(
            BarColumn(bar_width=24),
            # Plain text, not markup.
            TextColumn("{task.fields[words]}", markup=False),
            console=terminal.errors,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, words="")
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="progress", daemon=True)

    def __enter__(self) -> Self:
        """Start the clock."""
        self._watcher.start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the bar."""
        self._ended.set()
        self._watcher.join()
        if self._bar.live.is_started:  # otherwise stop() would write an empty line
            self._bar.stop()

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        """Record the progress within a phase. The total is None while unknown."""
        self._phase = phase
        self._count = f"{done:,}" if total is None else f"{done:,}/{total:,}"
        self._bar.update(self._task, completed=done, total=total, words=self.words())

    def doing(self, phase: str) -> None:
        """Record a phase without counts."""
        self._phase, self._count = phase, ""
        self._bar.update(self._task, completed=0, total=None, words=self.words())

    def words(self) -> str:
        """Return the phase, the count and the elapsed time.

        Example:
            `checksums  6,204/12,408  0:01:12`
        """
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        elapsed = f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
        return "  ".join(filter(None, [printable(self._phase), self._count, elapsed]))

    def _watch(self) -> None:
        if self._has_bar:
            if self._ended.wait(self._bar_after_seconds):
                return
            self._bar.start()
            # Advance the clock while the job reports nothing.
            while not self._ended.wait(self._bar_after_seconds):
                self._bar.update(self._task, words=self.words())
            return
        while not self._ended.wait(self._line_every_seconds):
            self._terminal.hint(self.words())
