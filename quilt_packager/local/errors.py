"""What can go wrong with the embedded AWS, in three sentences as every error of this project."""


class LocalError(Exception):
    """The embedded AWS, or a tool around it, did not do its part.

    Args:
        happened: What happened, as a sentence.
        why: The cause, as a sentence.
        remedy: What the reader can do, as a sentence.
        log: The end of the log that tells more.
    """

    def __init__(self, happened: str, *, why: str, remedy: str, log: str = "") -> None:
        """Keep the sentences apart, for readers that show them apart."""
        super().__init__(f"{happened} {why} {remedy}")
        self.happened = happened
        self.why = why
        self.remedy = remedy
        self.log = log
        if log:
            # For tracebacks; who shows the error to people shows the log where it belongs.
            self.add_note(log)


class MissingExtra(LocalError):
    """A package of an extra is not installed.

    Args:
        extra: The extra that brings it.
        module: The module that could not be found.
    """

    def __init__(self, extra: str, module: str) -> None:
        """Name the command that installs what is missing."""
        super().__init__(
            f'The "{extra}" extra is not installed.',
            why=f"There is no module {module} in this Python.",
            remedy=f"pip install 'quilt-packager[{extra}]'",
        )
