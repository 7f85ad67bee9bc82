"""The command's exit codes, one meaning each."""

from enum import IntEnum

from quilt_packager_runtime.formats.outcome import Result


class Exit(IntEnum):
    """How the command ended, for a shell."""

    OK = 0
    """Done; for a package: created, or found unchanged."""
    FAILED = 1
    """It may succeed later, or it is a bug."""
    REJECTED = 2
    """It can never succeed as it is."""
    USAGE = 3
    """The command was called wrongly, or something that it needs is not installed."""
    ACCESS = 4
    """No credentials, or no access to AWS."""
    INTERRUPTED = 130
    """Ctrl-C; likewise 128 and the number of every signal that ended it."""


OF_RESULT = {
    Result.CREATED: Exit.OK,
    Result.UNCHANGED: Exit.OK,
    Result.REJECTED: Exit.REJECTED,
    Result.FAILED: Exit.FAILED,
}
