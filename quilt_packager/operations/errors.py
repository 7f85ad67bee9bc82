"""What keeps one from operating an engine, in three sentences as every error of this project."""


class OperationError(Exception):
    """Something cannot be done to an engine, or seen of it.

    Args:
        happened: What happened, as a sentence.
        why: The cause, as a sentence.
        remedy: What the reader can do: a sentence, or a command.
    """

    def __init__(self, happened: str, *, why: str, remedy: str) -> None:
        """Keep the sentences apart, for readers that show them apart."""
        super().__init__(f"{happened} {why} {remedy}")
        self.happened = happened
        self.why = why
        self.remedy = remedy

    @property
    def code(self) -> str:
        """The error's stable name."""
        return type(self).__name__


class LookupFailed(OperationError):
    """What was asked for is not there, or not one thing: asked otherwise, it may succeed."""


class NoEngine(LookupFailed):
    """There is no such stack, or none of an engine."""


class SeveralEngines(LookupFailed):
    """It is not clear which engine is meant."""


class UnknownSource(LookupFailed):
    """The engine has no event source of that name."""


class UnknownFailure(LookupFailed):
    """No failure has that id or code, or several ids begin so."""


class UnknownJob(LookupFailed):
    """The log knows of no such job."""


class SeveralJobs(LookupFailed):
    """It is not clear which job is meant."""


class NoPackageRequested(LookupFailed):
    """A message that asks for no package."""


class UnknownPackage(LookupFailed):
    """The registry has no such package."""


class UnknownRevision(LookupFailed):
    """The package has no such revision."""


class SeveralRevisions(LookupFailed):
    """It is not clear which revision is meant."""


class BrokenManifest(OperationError):
    """A revision cannot be read."""
