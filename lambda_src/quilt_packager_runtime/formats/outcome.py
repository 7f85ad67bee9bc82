"""The outcome of a job, for the log, the metrics, the events and the command."""

from enum import StrEnum
from typing import Self
from urllib.parse import quote

import msgspec

from quilt_packager_runtime.errors import PackagerError, Rejected, WorkflowViolations


class Result(StrEnum):
    """The result of a job."""

    CREATED = "created"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    FAILED = "failed"


DETAIL_TYPES = {result: f"Package {result.capitalize()}" for result in Result}
"""The `detail-type` of the event for each result."""


class OutcomeFields(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of an outcome. Unknown ones are None; metadata values are never included.

    Attributes:
        package_name: `prefix/suffix`.
        registry: The bucket that holds, or would have held, the package.
        top_hash: The revision's 64 hex characters.
        previous_top_hash: The newest revision when the job began.
        foreign_top_hash: The revision of another writer that this one replaced.
        carried_entries: Number of entries that another writer has added, changed or removed, and
            that were carried.
        carried_fields: Number of such fields of the package's metadata.
        conflicts: Keys and fields of changes that were not carried, because their source changed.
        objects: Number of entries of the revision.
        bytes: Sum of their sizes.
        reused: Number of checksums reused from the previous revision.
        stored: Number of checksums stored in S3.
        computed: Number of checksums computed by the job.
        verified: Number of objects that match the checksum lists of their sender.
        verified_by_reading: Number of those whose bytes were read for it; the
            others were compared with known checksums.
        checksum_lists: Those lists, by their logical keys; the first 20, and a count of the rest.
        required: Number of required files and globs, all of which were found.
        manifest_refreshed: The revision existed, and its manifest now names the newest versions.
        input_packages: Revisions that hold inputs of the run, as `quilt+s3` URIs.
        remark: Warnings about fields that the revision lacks, or that the message misspells, or the
            reason why the job published nothing.
        code: The error's stable code.
        reason: The error in words.
        quarantine: The quarantined package, as a `quilt+s3` URI.
    """

    package_name: str | None = None
    registry: str | None = None
    top_hash: str | None = None
    previous_top_hash: str | None = None
    foreign_top_hash: str | None = None
    carried_entries: int | None = None
    carried_fields: int | None = None
    conflicts: str | None = None
    objects: int | None = None
    bytes: int | None = None
    reused: int | None = None
    stored: int | None = None
    computed: int | None = None
    verified: int | None = None
    verified_by_reading: int | None = None
    checksum_lists: str | None = None
    required: int | None = None
    manifest_refreshed: bool | None = None
    input_packages: tuple[str, ...] | None = None
    remark: str | None = None
    code: str | None = None
    reason: str | None = None
    quarantine: str | None = None

    @property
    def link(self) -> str | None:
        """The revision's `quilt+s3` URI; None if there is no revision."""
        if self.top_hash is None:
            return None
        return f"quilt+s3://{self.registry}#package={self.package_name}@{self.top_hash}"

    def catalog_link(self, catalog_url: str | None) -> str | None:
        """Return the revision's page in a Quilt catalog; None without a revision or a catalog."""
        if self.top_hash is None or catalog_url is None:
            return None
        if not catalog_url.startswith(("https://", "http://")):
            return None  # a link with another scheme could run code in a browser
        package = f"/b/{self.registry}/packages/{self.package_name}/tree/{self.top_hash}"
        return catalog_url.rstrip("/") + quote(package)


class Outcome(OutcomeFields, frozen=True, kw_only=True):
    """The outcome of a job."""

    outcome: Result

    @classmethod
    def from_error(
        cls, error: PackagerError, *, package_name: str | None = None, registry: str | None = None
    ) -> Self:
        """Return the outcome of a job that ended with an error.

        Example:
            >>> from quilt_packager_runtime.errors import EmptySource
            >>> error = EmptySource("No objects.", why="It is empty.", remedy="Upload first.")
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
