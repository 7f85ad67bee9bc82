"""The request and the outcome of a promotion."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Self

import msgspec
from msgspec import UNSET, UnsetType

from quilt_packager_runtime.errors import PackagerError, Rejected
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.registry.publish import Package, Provenance
from quilt_packager_runtime.settings.promotion_settings import PromotionAction


class PromotionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to publish a revision in another registry.

    Attributes:
        source: The package to promote.
        top_hash: The revision; None for the newest.
        target: The package that gets the revision.
        copy_to: Folder for copies of the objects, below a folder with the package's name; None to
            leave them where they are.
        workflow: Workflow of the target's registry, None for none, UNSET for its default.
        on_foreign_revision: Handling of a newest revision of the target that is not a promotion of
            the source.
        accepted_metadata: Accepted values of fields of the package's metadata, by their names.
        promoted_by: The principal, for the provenance.
    """

    source: Package
    top_hash: str | None = None
    target: Package
    copy_to: SourceFolder | None = None
    workflow: str | UnsetType | None = UNSET
    on_foreign_revision: PromotionAction = "hold"
    accepted_metadata: Mapping[str, Sequence[str]] = MappingProxyType({})
    promoted_by: str

    @property
    def provenance(self) -> Provenance:
        """The origin of the promoted revision, if `top_hash` is known."""
        return Provenance(self.source.link(self.top_hash or ""), self.promoted_by)

    @property
    def copies(self) -> SourceFolder | None:
        """Folder of the copies, which have the logical keys as names."""
        if self.copy_to is None:
            return None
        return SourceFolder(self.copy_to.bucket, f"{self.copy_to.prefix}{self.target.name}/")


class PromotionResult(StrEnum):
    """The result of a promotion."""

    PROMOTED = "promoted"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    FAILED = "failed"


class PromotionOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a promotion. Unknown facts are None; metadata values are never included.

    Attributes:
        outcome: The result.
        package_name: The package that got the revision.
        registry: Its registry.
        top_hash: Its revision.
        from_package_name: The package that was promoted.
        from_registry: Its registry.
        from_top_hash: Its revision.
        promoted_by: The principal.
        copied_to: Folder of the copies, as a URI.
        objects: Number of entries of the revision.
        bytes: Sum of their sizes.
        copied: Number of objects that were copied.
        present: Number of objects that the folder of the copies had already.
        previous_top_hash: The newest revision of the package when the promotion began.
        foreign_top_hash: The revision that was replaced, and was no promotion of this package.
        remark: Reason for another top hash, or for publishing nothing.
        code: The error's stable code.
        reason: The error in words.
    """

    outcome: PromotionResult
    package_name: str
    registry: str
    top_hash: str | None = None
    from_package_name: str
    from_registry: str
    from_top_hash: str | None = None
    promoted_by: str
    copied_to: str | None = None
    objects: int | None = None
    bytes: int | None = None
    copied: int | None = None
    present: int | None = None
    previous_top_hash: str | None = None
    foreign_top_hash: str | None = None
    remark: str | None = None
    code: str | None = None
    reason: str | None = None

    @classmethod
    def of(cls, request: PromotionRequest, outcome: PromotionResult) -> Self:
        """Return an outcome with the facts of a request."""
        return cls(
            outcome=outcome,
            package_name=request.target.name,
            registry=request.target.registry,
            from_package_name=request.source.name,
            from_registry=request.source.registry,
            from_top_hash=request.top_hash,
            promoted_by=request.promoted_by,
            copied_to=str(request.copies) if request.copies else None,
        )

    @classmethod
    def from_error(cls, request: PromotionRequest, error: PackagerError) -> Self:
        """Return the outcome of a promotion that ended with an error."""
        is_rejected = isinstance(error, Rejected)
        result = PromotionResult.REJECTED if is_rejected else PromotionResult.FAILED
        return msgspec.structs.replace(
            cls.of(request, result), code=error.code, reason=error.reason
        )
