"""The package options of the built-in event sources, and their validation."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import msgspec
from quilt_packager_runtime.settings.source_options import (
    Contents,
    MissingParts,
    OnForeignRevision,
    SourceKind,
    SourceOptions,
)

if TYPE_CHECKING:
    from aws_cdk import aws_s3 as s3


class CommonOptions(TypedDict, total=False):
    """The package options of every built-in event source."""

    package_name: str
    """Template of the packages' names, such as `{workflow_name}/{run_id}`.

    Default: the folder's name, also for events that lack a field of the template.
    """
    include_prefixes: Sequence[str]
    """Globs of folders to package. Default: all folders."""
    exclude: Sequence[str]
    """Globs of files to leave out of the package, relative to the folder. Default: none."""
    contents: Contents
    """The objects to package: `"folder"` for the whole folder, `"crate"` for the parts that its
    `ro-crate-metadata.json` lists, `"auto"` for those of the crate if it is the metadata and claims
    Quilt's profile. Default: `"auto"`.
    """
    missing_parts: MissingParts
    """The treatment of parts that the crate lists and that are not in the folder: `"reject"`, or
    `"leave_out"`. Default: `"reject"`.
    """
    settle_seconds: int
    """Seconds to wait for late files, from 0 to 900. Default: 0."""
    verify_checksums: Literal["auto", False] | Sequence[str]
    """Checksum lists of the sender to check the files against, as globs relative to the folder.

    `False` for none. Default: `"auto"`, lists with usual names, whose differences are warnings.
    """
    require: Sequence[str | Mapping[str, Sequence[str]]]
    """Files without which a folder is not packaged. Default: none.

    `"crate"` for each local part that the folder's `ro-crate-metadata.json` lists;
    `"healthomics_outputs"` for each output that the summary of a WDL or CWL run lists;
    `"checksum_lists"` for each file that a checksum list names, such as `md5sum.txt`;
    `{"files": ["CopyComplete.txt"]}` for globs that must match.
    """
    require_timeout_seconds: int
    """Maximum seconds to wait for these files, from 0 to 43,200. Default: 900."""
    on_foreign_revision: OnForeignRevision
    """Handling of a newest revision that another writer published. Default: as the engine does."""


class PackageOptions(CommonOptions, total=False):
    """The package options of event sources other than `ObjectUploads`.

    `ObjectUploads` takes `CommonOptions`: its own `ignore_prefixes` are prefixes of keys.
    """

    ignore_prefixes: Sequence[str]
    """Globs of folders to ignore, which take precedence over `include_prefixes`. Default: none."""


def read_options(kind: SourceKind, **options: Any) -> SourceOptions:  # noqa: ANN401 - any of them
    """Validate options when the event source is created.

    Example:
        >>> read_options("objects_ready", settle_seconds=60).settle_seconds
        60
    """
    try:
        return msgspec.convert({"kind": kind, **options}, SourceOptions)
    except msgspec.ValidationError as error:
        raise ValueError(f"Invalid options of an event source: {error}") from error


def check_buckets(buckets: "Sequence[s3.IBucket] | None") -> None:
    """Refuse an empty list of buckets, which could mean none or all.

    Raises:
        ValueError: It is empty.
    """
    if buckets is not None and not buckets:
        raise ValueError("buckets is empty; leave it out to watch all source buckets")


def watched_bucket_names(
    event_source: str,
    buckets: "Sequence[s3.IBucket] | None",
    source_buckets: "Sequence[s3.IBucket]",
) -> tuple[str, ...]:
    """Return the names of the buckets that an event source watches. None: all source buckets.

    Raises:
        ValueError: A bucket is no source bucket, so its jobs would be rejected.
    """
    if buckets is None:
        buckets = source_buckets
    allowed = {bucket.bucket_name for bucket in source_buckets}
    foreign = [bucket.node.path for bucket in buckets if bucket.bucket_name not in allowed]
    if foreign:
        raise ValueError(
            f"buckets of {event_source} that are no source_buckets: {', '.join(foreign)}"
        )
    return tuple(bucket.bucket_name for bucket in buckets)
