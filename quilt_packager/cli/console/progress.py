"""How far a long job is: a bar on a terminal, a line now and then elsewhere; always on stderr."""

import contextlib
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from quilt_packager_runtime.errors import printable
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.operations import formats

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

    def doing(self, phase: str) -> None:
        """Take note of what the job does where nobody counts how much of it is done.

        Args:
            phase: What it does.
        """
        self._phase, self._count = phase, ""
        self._bar.update(self._task, completed=0, total=None, words=self.words())

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


class Step:
    """A step that is being done.

    Args:
        spinner: What shows it on a terminal.
        words: What is done.
    """

    def __init__(self, spinner: Progress, words: str) -> None:
        """Show the step."""
        self.notes: list[str] = []
        self._spinner = spinner
        self._words = words
        self._task = spinner.add_task(words, total=None)

    def note(self, text: str) -> None:
        """Have more to say of the step once it is done.

        Args:
            text: What to say.
        """
        self.notes.append(text)

    def doing(self, text: str) -> None:
        """Show what the step is busy with, on a terminal.

        Args:
            text: What it is busy with; empty if that is not known.
        """
        detail = f": {' '.join(printable(text).split())}" if text else ""
        self._spinner.update(self._task, description=self._words + detail)


@contextlib.contextmanager
def step(terminal: Terminal, words: str) -> Iterator[Step]:
    """Show that a step is being done, and, once it is, that it was and how long it took.

    Args:
        terminal: Where to show it.
        words: What is done.

    Yields:
        The step.
    """
    started = time.monotonic()
    spinner = Progress(
        SpinnerColumn("dots" if terminal.is_utf8 else "line"),
        TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        console=terminal.errors,
        transient=True,
        disable=not terminal.interactive,
    )
    shown = Step(spinner, words)
    with spinner:
        yield shown
    terminal.done(words, "  ".join([*shown.notes, formats.duration(time.monotonic() - started)]))
