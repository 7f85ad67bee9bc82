"""Options of event sources: the construct sets them, the packager applies them to events.

An event does not name the rule that sent it. Its options are found by its kind, and by a value that
distinguishes sources of one kind: the bucket, the run's status, or the sender.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from quilt_packager_runtime.formats.checksum_lists import (
    VerifyChecksums,
    check_verify_checksums,
)
from quilt_packager_runtime.formats.globs import check_globs, match_any
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.settings.name_templates import check_template
from quilt_packager_runtime.settings.requirements import (
    DEFAULT_REQUIRE_TIMEOUT_SECONDS,
    Requirement,
    RequireTimeout,
    check_requirements,
)

OnForeignRevision = Literal["replace", "carry", "hold"]
"""The handling of a newest revision that another writer than the engine published."""

SourceKind = Literal["health_omics", "workflow_run_crate", "objects_ready"]

Contents = Literal["auto", "folder", "crate"]
"""The objects that become a package; `auto`: those of the crate if it claims Quilt's profile."""

MissingParts = Literal["reject", "leave_out"]
"""The treatment of parts that a crate lists and that are missing or cannot be packaged."""

MAX_SETTLE_SECONDS = 900

_RUN_FIELDS = ("name", "workflow_name", "workflow_version", "run_id", "run_status")

TEMPLATE_FIELDS: dict[SourceKind, tuple[str, ...]] = {
    "health_omics": (*_RUN_FIELDS, "workflow_id"),
    "workflow_run_crate": (*_RUN_FIELDS, "workflow_engine", "date_published"),
    "objects_ready": (),
}
"""Fields that the template of a package name may use, by the kind of event."""


class SourceOptions(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """The options of an event source.

    Attributes:
        kind: The kind of event.
        only: The buckets of the events, or the statuses of the runs; empty: all.
        sender: The `source` of the events; None: any that no other options name.
        metadata: Add the metadata of the crate or run to the package.
        parameters: Include the run's parameters in the metadata.
        package_name: Template of package names; None: names are derived from the folder.
        allow_bucket_root: Allow events that package a whole bucket.
        include_prefixes: Globs of folders; empty: all.
        ignore_prefixes: Globs of folders that are ignored.
        exclude: Globs of files that are left out of the package.
        contents: The objects that become a package.
        missing_parts: The treatment of parts that a crate lists and that are missing.
        settle_seconds: Minimum age of an event in seconds before its folder is listed.
        require: Files without which a folder is not packaged.
        require_timeout_seconds: Maximum time to wait for these files.
        on_foreign_revision: Handling of revisions of other writers; None: as the engine does.
        verify_checksums: Checksum lists to check the files against: "auto", globs or False.

    Example:
        >>> SourceOptions(kind="health_omics", package_name="runs/{run}")
        Traceback (most recent call last):
        ValueError: package_name 'runs/{run}' names {run}; there are bucket, folder, ...
    """

    kind: SourceKind
    only: tuple[str, ...] = ()
    sender: str | None = None
    metadata: bool = True
    parameters: bool = False
    package_name: str | None = None
    allow_bucket_root: bool = False
    include_prefixes: tuple[str, ...] = ()
    ignore_prefixes: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    contents: Contents = "auto"
    missing_parts: MissingParts = "reject"
    settle_seconds: Annotated[int, Meta(ge=0, le=MAX_SETTLE_SECONDS)] = 0
    require: tuple[Requirement, ...] = ()
    require_timeout_seconds: RequireTimeout = DEFAULT_REQUIRE_TIMEOUT_SECONDS
    on_foreign_revision: OnForeignRevision | None = None
    verify_checksums: VerifyChecksums = "auto"

    def __post_init__(self) -> None:
        """Validate the template, the globs and the range."""
        if self.package_name is not None:
            check_template(self.package_name, TEMPLATE_FIELDS[self.kind])
        checks: dict[str, Callable[[Any], object]] = {
            "include_prefixes": check_globs,
            "ignore_prefixes": check_globs,
            "exclude": check_globs,
            "require": check_requirements,
            "verify_checksums": check_verify_checksums,
        }
        for name, check in checks.items():
            try:
                check(getattr(self, name))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        if not 0 <= self.settle_seconds <= MAX_SETTLE_SECONDS:
            raise ValueError(f"settle_seconds is {self.settle_seconds}; 0 to {MAX_SETTLE_SECONDS}")

    @property
    def is_special(self) -> bool:
        """True if the options differ from the defaults."""
        return _treatment(self) != SourceOptions(kind=self.kind)

    def refuse(self, source: SourceFolder) -> str | None:
        """Return the reason to ignore a folder, or None.

        Args:
            source: The folder of an event.

        Example:
            >>> options = SourceOptions(kind="objects_ready", ignore_prefixes=("tmp",))
            >>> options.refuse(SourceFolder("raw", "tmp/a/"))
            'its folder is among ignore_prefixes'
            >>> options.refuse(SourceFolder("raw", "runs/a/"))
        """
        if not source.prefix:
            if self.allow_bucket_root:
                return None
            return "it would package the whole bucket; send a message instead"
        path = source.prefix.rstrip("/")
        if self.include_prefixes and not match_any(self.include_prefixes)(path):
            return "its folder is not among include_prefixes"
        if match_any(self.ignore_prefixes)(path):
            return "its folder is among ignore_prefixes"
        return None


def find_options(
    sources: Iterable[SourceOptions],
    kind: SourceKind,
    key: str | None,
    sender: str | None = None,
) -> SourceOptions:
    """Find the options for an event: those of its source, or the defaults.

    Options that name the sender take precedence over options for any sender: announcements of an
    engine's own uploads are not treated like those of other senders.

    Args:
        sources: The options of an engine's event sources.
        kind: The kind of event.
        key: The event's bucket, or the run's status.
        sender: The event's `source`.

    Example:
        >>> ready = SourceOptions(kind="objects_ready", settle_seconds=60)
        >>> uploads = SourceOptions(kind="objects_ready", sender="quilt.packager.uploads")
        >>> find_options([ready, uploads], "objects_ready", "raw", uploads.sender) is uploads
        True
        >>> find_options([ready, uploads], "objects_ready", "raw", "com.quiltdata.edp") is ready
        True
    """
    matching = [
        options
        for options in sources
        if options.kind == kind
        and (not options.only or key in options.only)
        and options.sender in (None, sender)
    ]
    named = [options for options in matching if options.sender is not None]
    return next(iter([*named, *matching]), SourceOptions(kind=kind))


def check_sources(sources: Sequence[SourceOptions]) -> None:
    """Check that sources of the same events have the same options.

    Raises:
        ValueError: Two sources conflict.

    Example:
        >>> crates = SourceOptions(kind="workflow_run_crate", only=("raw",))
        >>> check_sources([crates, SourceOptions(kind="workflow_run_crate", metadata=False)])
        Traceback (most recent call last):
        ValueError: give event sources of the same workflow_run_crate events the same options
    """
    for number, one in enumerate(sources):
        for other in sources[:number]:
            if _overlap(one, other) and _treatment(one) != _treatment(other):
                raise ValueError(
                    f"give event sources of the same {one.kind} events the same options"
                )


def _overlap(one: SourceOptions, other: SourceOptions) -> bool:
    """Return whether an event may match both, without a precedence."""
    shared = not one.only or not other.only or not set(one.only).isdisjoint(other.only)
    return shared and (one.kind, one.sender) == (other.kind, other.sender)


def _treatment(options: SourceOptions) -> SourceOptions:
    """Return the options without the selection of events."""
    return msgspec.structs.replace(options, only=(), sender=None)
