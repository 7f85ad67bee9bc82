"""The plan of a package: its contents, its checksums, and the cost of packaging."""

import msgspec
from quilt_packager_runtime.errors import Explanation
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.requests.sources import MessageSource

from quilt_packager.operations.deployment.known_metadata import describe_lost
from quilt_packager.operations.plans.estimates import Estimate
from quilt_packager.operations.plans.sampling import Basis


class Contents(msgspec.Struct, frozen=True):
    """Contents of the folder.

    Attributes:
        objects: Number of objects.
        size_bytes: Their total size.
        largest_bytes: Size of the largest object.
        archived: Number of archived objects whose checksums the last revision does not have.
    """

    objects: int
    size_bytes: int
    largest_bytes: int
    archived: int


class Checksums(msgspec.Struct, frozen=True):
    """Origin of the checksums.

    Attributes:
        reusable: Number of checksums from the last revision.
        stored: Number of checksums that S3 has stored.
        computed: Number of checksums to compute.
        computed_bytes: Total size of these objects.
        basis: Source of these numbers.
        asked: Number of objects that were queried.
    """

    reusable: int
    stored: int
    computed: int
    computed_bytes: int
    basis: Basis
    asked: int


class Route(msgspec.Struct, frozen=True):
    """Execution of the job.

    Attributes:
        is_large: True for a large job, which the state machine runs.
        why: Reason for a large job, or for running one inline, as a clause; empty for a usual job.
        shards: Number of shards of a large job.
    """

    is_large: bool = False
    why: str = ""
    shards: int = 0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Preview of a job. Unknown values are None.

    Attributes:
        source: URI of the folder; of the first one, if there are several.
        registry: Bucket of the package.
        package_name: Name of the package.
        refusals: Reasons for which the job would be rejected.
        revision: Number of the new revision, or of the existing one if the package is unchanged.
        workflow: Workflow whose rules the package meets.
        unchanged: True if the latest revision is identical; None if only hashing can decide.
        top_hash: Top hash of the revision, if it is known before hashing.
        contents: Contents of the folder.
        checksums: Origin of the checksums.
        route: Execution of the job.
        estimate: Requests, duration and price.
        notes: Remarks, each a sentence without its full stop.
        sources: All folders with their places, if there are several.
        metadata_lost: Names of metadata fields that the newest revision has, and this one would
            not.
        meant: URI of the folder that a source without a trailing `/` may mean.
        replaced: Top hash of the revision with another writer's changes that it would replace.
        replaced_changes: The first of those changes; None if they cannot be compared.
        warnings: The notes about something that the package lacks, or that was not understood.
    """

    source: str
    registry: str
    package_name: str
    refusals: tuple[Explanation, ...] = ()
    revision: int | None = None
    workflow: str | None = None
    unchanged: bool | None = None
    top_hash: str | None = None
    contents: Contents | None = None
    checksums: Checksums | None = None
    route: Route | None = None
    estimate: Estimate | None = None
    notes: tuple[str, ...] = ()
    sources: tuple[MessageSource, ...] | None = None
    metadata_lost: tuple[str, ...] = ()
    meant: str | None = None
    replaced: str | None = None
    replaced_changes: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def is_whole_bucket(self) -> bool:
        """Return True if the folder is a bucket."""
        return S3Uri.parse(self.source).key == ""

    @property
    def dangers(self) -> tuple[str, ...]:
        """Return the notes about a package that may not be meant."""
        found = []
        if self.meant is not None:
            found.append(f"It packages {self.source}. Did you mean {self.meant}?")
        elif self.is_whole_bucket:
            found.append(f"It packages the whole bucket {S3Uri.parse(self.source).bucket}")
        if self.replaced is not None:
            found.append(f"It replaces {self.replaced}, which has changes of another writer")
        if self.metadata_lost:
            found.append(describe_lost(self.metadata_lost))
        return tuple(found)
