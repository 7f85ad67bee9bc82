"""The command's exit codes, one meaning each."""

from enum import IntEnum

from quilt_packager_runtime.formats.outcome import Result


class Exit(IntEnum):
    """Exit codes."""

    OK = 0
    """Success. A package was created, or is unchanged."""
    FAILED = 1
    """Failure. A retry may succeed, or there is a bug."""
    REJECTED = 2
    """Rejection. The same input can never succeed."""
    USAGE = 3
    """Invalid arguments or AWS configuration, or an extra that is not installed."""
    ACCESS = 4
    """No usable credentials, no access to AWS, or AWS cannot be reached."""
    INTERRUPTED = 130
    """Ctrl-C. Other signals give 128 plus their number."""


OF_RESULT = {
    Result.CREATED: Exit.OK,
    Result.UNCHANGED: Exit.OK,
    Result.REJECTED: Exit.REJECTED,
    Result.FAILED: Exit.FAILED,
}
