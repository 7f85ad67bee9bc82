"""How far a long job is: a bar on a terminal, a line now and then elsewhere; always on stderr."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from quilt_packager_runtime.errors import printable
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from quilt_packager.cli import formats
from quilt_packager.cli.terminal import Terminal

BAR_AFTER_SECONDS = 1.0
"""A job that is done sooner shows nothing."""

LINE_EVERY_SECONDS = 10.0


class JobProgress:
    """Shows the phases of a job, as a context manager around it.

    Called with a phase, what is done and what there is to do, from any thread.

    Args:
        terminal: Where to show it.
        bar_after_seconds: When the bar appears on a terminal.
        line_every_seconds: How often there is a line elsewhere.
    """

    def __init__(
        self,
        terminal: Terminal,
        *,
        bar_after_seconds: float = BAR_AFTER_SECONDS,
        line_every_seconds: float = LINE_EVERY_SECONDS,
    ) -> None:
        """Show nothing yet."""
        self._terminal = terminal
        self._bar_after_seconds = bar_after_seconds
        self._line_every_seconds = line_every_seconds
        self._started = time.monotonic()
        self._phase = "starting"
        self._count = ""
        self._bar = Progress(
            BarColumn(bar_width=24),
            # Set as text, not as markup: a phase's name is our own, but let it stay harmless.
            TextColumn("{task.fields[words]}", markup=False),
            console=terminal.errors,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, words="")
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="progress", daemon=True)

    def __enter__(self) -> Self:
        """Begin to watch the time."""
        self._watcher.start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave nothing of the bar behind."""
        self._ended.set()
        self._watcher.join()
        if self._bar.live.is_started:  # or it would end a line that was never begun
            self._bar.stop()

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        """Take note of how far the job is.

        Args:
            phase: What it does.
            done: How much of that is done.
            total: How much there is; None while that is not known.
        """
        self._phase = phase
        self._count = f"{done:,}" if total is None else f"{done:,}/{total:,}"
        self._bar.update(self._task, completed=done, total=total, words=self.words())

    def words(self) -> str:
        """The phase, how much of it is done, and the time since the job began.

        Example:
            `checksums  6,204/12,408  0:01:12`
        """
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        elapsed = f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
        return "  ".join(filter(None, [printable(self._phase), self._count, elapsed]))

    def _watch(self) -> None:
        if self._terminal.interactive:
            if self._ended.wait(self._bar_after_seconds):
                return
            self._bar.start()
            # The clock goes on while the job is silent.
            while not self._ended.wait(self._bar_after_seconds):
                self._bar.update(self._task, words=self.words())
            return
        while not self._ended.wait(self._line_every_seconds):
            self._terminal.hint(self.words())


@contextlib.contextmanager
def step(terminal: Terminal, words: str) -> Iterator[Callable[[str], None]]:
    """Show that a step is being done, and, once it is, that it was and how long it took.

    Args:
        terminal: Where to show it.
        words: What is done.

    Yields:
        A function that takes what more there is to say when the step is done.
    """
    notes: list[str] = []
    started = time.monotonic()
    spinner = Progress(
        SpinnerColumn("dots" if terminal.is_utf8 else "line"),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=terminal.errors,
        transient=True,
        disable=not terminal.interactive,
    )
    spinner.add_task(words, total=None)
    with spinner:
        yield notes.append
    terminal.done(words, "  ".join([*notes, formats.duration(time.monotonic() - started)]))
