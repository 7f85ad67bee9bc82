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


class Misnamed(OperationError):
    """What was asked for is not there, or not one thing: asked otherwise, it may succeed."""


class NoEngine(Misnamed):
    """There is no such stack, or none of an engine."""


class SeveralEngines(Misnamed):
    """It is not clear which engine is meant."""


class UnknownSource(Misnamed):
    """The engine has no event source of that name."""


class UnknownFailure(Misnamed):
    """No failure has that id or code, or several ids begin so."""


class UnknownJob(Misnamed):
    """The log knows of no such job."""


class SeveralJobs(Misnamed):
    """It is not clear which job is meant."""


class NothingAsked(Misnamed):
    """A message that asks for no package."""


class UnknownPackage(Misnamed):
    """The registry has no such package."""


class UnknownRevision(Misnamed):
    """The package has no such revision."""


class SeveralRevisions(Misnamed):
    """It is not clear which revision is meant."""


class BrokenManifest(OperationError):
    """A revision cannot be read."""
