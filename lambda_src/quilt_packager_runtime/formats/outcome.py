"""How a job ended: one record for the log, the metrics, the command and whoever listens."""

from enum import StrEnum
from typing import Self

import msgspec

from quilt_packager_runtime.errors import PackagerError, Rejected, WorkflowViolations


class Result(StrEnum):
    """The four ways in which a job ends."""

    CREATED = "created"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    FAILED = "failed"


EVENT_SOURCE = "quilt.packager"
"""The `source` of our events; Quilt's own stack has another."""

DETAIL_TYPES = {result: f"Package {result.capitalize()}" for result in Result}
"""The `detail-type` of the event that each kind of end is announced by."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended. What is not known has None; nothing of the metadata's values is in it.

    Attributes:
        outcome: The result.
        package_name: `prefix/suffix`.
        registry: The bucket that holds, or would have held, the package.
        top_hash: The revision's 64 hex characters.
        previous_top_hash: The revision that was the package's newest when the job began.
        objects: How many entries the revision has.
        bytes: The sum of their sizes.
        reused: How many checksums the previous revision had.
        stored: How many checksums S3 had stored.
        computed: How many checksums had to be computed.
        remark: What is missing in the revision that could have been there.
        code: The error's stable code.
        reason: The error in words.
        quarantine: Where the package is instead, as a `quilt+s3` URI.
    """

    outcome: Result
    package_name: str | None = None
    registry: str | None = None
    top_hash: str | None = None
    previous_top_hash: str | None = None
    objects: int | None = None
    bytes: int | None = None
    reused: int | None = None
    stored: int | None = None
    computed: int | None = None
    remark: str | None = None
    code: str | None = None
    reason: str | None = None
    quarantine: str | None = None

    @property
    def link(self) -> str | None:
        """The revision as quilt3 and the catalog take it; None if there is none."""
        if self.top_hash is None:
            return None
        return f"quilt+s3://{self.registry}#package={self.package_name}@{self.top_hash}"

    @classmethod
    def from_error(
        cls, error: PackagerError, *, package_name: str | None = None, registry: str | None = None
    ) -> Self:
        """The outcome of a job that ended with an error.

        Args:
            error: What ended the job.
            package_name: The package, if the message got as far as naming one.
            registry: The registry, likewise.

        Example:
            >>> from quilt_packager_runtime.errors import EmptySource
            >>> error = EmptySource("No.", why="Nothing there.", remedy="Upload first.")
            >>> Outcome.from_error(error).outcome.value
            'rejected'
        """
        return cls(
            outcome=Result.REJECTED if isinstance(error, Rejected) else Result.FAILED,
            package_name=package_name,
            registry=registry,
            code=error.code,
            reason=error.reason,
            quarantine=error.quarantine if isinstance(error, WorkflowViolations) else None,
        )
