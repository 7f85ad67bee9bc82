"""Errors of the embedded AWS and the tools around it."""

from quilt_packager_runtime.errors import ExplainedError


class LocalError(ExplainedError):
    """The embedded AWS, or a tool around it, failed.

    Args:
        happened: Sentence that says what failed.
        why: Sentence with the cause.
        remedy: Advice for the reader.
        log: End of the log that has the details.
    """

    def __init__(self, happened: str, *, why: str, remedy: str, log: str = "") -> None:
        super().__init__(happened, why=why, remedy=remedy)
        self.log = log
        if log:
            # For tracebacks. Readers of the error see the log beside it.
            self.add_note(log)


class MissingExtra(LocalError):
    """A module of an extra is not installed.

    Args:
        extra: Name of the extra.
        module: Name of the missing module.
    """

    def __init__(self, extra: str, module: str) -> None:
        super().__init__(
            f'The "{extra}" extra is not installed.',
            why=f"Python has no module {module}.",
            remedy=f"pip install 'quilt-packager[{extra}]'",
        )
