"""The package options of the built-in event sources, and their validation."""

from collections.abc import Sequence
from typing import Any, TypedDict

import msgspec
from quilt_packager_runtime.settings.source_options import SourceKind, SourceOptions


class CommonOptions(TypedDict, total=False):
    """The package options of every built-in event source.

    Attributes:
        package_name: The template of the packages' names, such as `{workflow_name}/{run_id}`.
            Default: the folder's name, also for packages that lack a field.
        include_prefixes: Globs of the folders that are packaged. Default: all.
        exclude: Globs of files, from the folder on, that do not become part of the package.
            Default: none.
        settle_seconds: Seconds to wait for late files, 0 to 900. Default: 0.
    """

    package_name: str
    include_prefixes: Sequence[str]
    exclude: Sequence[str]
    settle_seconds: int


class PackageOptions(CommonOptions, total=False):
    """The package options of event sources other than `ObjectUploads`.

    That takes `CommonOptions`: its own `ignore_prefixes` are of keys, and keep uploads from being
    gathered at all.

    Attributes:
        ignore_prefixes: Globs of folders that are not packaged after all. Default: none.
    """

    ignore_prefixes: Sequence[str]


def read_options(kind: SourceKind, **options: Any) -> SourceOptions:  # noqa: ANN401 - any of them
    """Validate options when the event source is created.

    Args:
        kind: The kind of the source's events.
        **options: Its options.

    Raises:
        ValueError: An option is invalid.

    Example:
        >>> read_options("objects_ready", settle_seconds=60).settle_seconds
        60
    """
    try:
        return msgspec.convert({"kind": kind, **options}, SourceOptions)
    except msgspec.ValidationError as error:
        raise ValueError(f"Invalid options of an event source: {error}") from error
