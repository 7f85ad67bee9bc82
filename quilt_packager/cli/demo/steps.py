"""Steps of the demo: a spinner while one runs, then a line with its duration."""

import contextlib
import time
from collections.abc import Iterator

from quilt_packager_runtime.errors import printable
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.operations import formats


class RunningStep:
    """A step that is running."""

    def __init__(self, spinner: Progress, title: str) -> None:
        """Show the step's title beside the spinner."""
        self.notes: list[str] = []
        self._spinner = spinner
        self._title = title
        self._task = spinner.add_task(title, total=None)

    def note(self, text: str) -> None:
        """Add text to the line that reports the step as done."""
        self.notes.append(text)

    def show_activity(self, text: str) -> None:
        """Show the current activity, or none, beside the spinner."""
        detail = f": {' '.join(printable(text).split())}" if text else ""
        self._spinner.update(self._task, description=self._title + detail)


@contextlib.contextmanager
def step(terminal: Terminal, title: str) -> Iterator[RunningStep]:
    """Show that a step is running and, if it succeeds, that it is done and how long it took."""
    started = time.monotonic()
    spinner = Progress(
        SpinnerColumn("dots" if terminal.is_utf8 else "line"),
        TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        console=terminal.errors,
        transient=True,
        disable=not terminal.interactive,
    )
    running = RunningStep(spinner, title)
    with spinner:
        yield running
    terminal.done(title, "  ".join([*running.notes, formats.duration(time.monotonic() - started)]))
