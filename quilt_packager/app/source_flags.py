"""The flag for options of event sources: the JSON of what they take of their packages, or a file.

Each source has the name that its own flag has, and its options those of the construct's props.
"""

from pathlib import Path
from typing import Any, Literal

import msgspec
from quilt_packager_runtime.settings.source_options import SourceKind, SourceOptions


class CommonFlags(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The options of every source.

    Attributes:
        package_name: The template of the packages' names.
        include_prefixes: Globs of the folders that are packaged; none: all.
        exclude: Globs of files that do not become part of a package.
        settle_seconds: Seconds to wait for late files.
    """

    package_name: str | None = None
    include_prefixes: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    settle_seconds: int = 0

    def to_props(self) -> dict[str, Any]:
        """Return the given options as props of the construct."""
        props: dict[str, Any] = msgspec.to_builtins(self)
        return props


class UploadFlags(CommonFlags, frozen=True, kw_only=True):
    """The options of the packages of `ObjectUploads`; the `uploads` flag has its other props."""


class PackageFlags(CommonFlags, frozen=True, kw_only=True):
    """The options of every other source.

    Attributes:
        ignore_prefixes: Globs of folders that are not packaged after all.
    """

    ignore_prefixes: tuple[str, ...] = ()


class OmicsFlags(PackageFlags, frozen=True, kw_only=True):
    """The options of `HealthOmicsRuns`.

    Attributes:
        metadata: `run` or `none`.
        parameters: Include the run's parameters in the metadata.
    """

    metadata: Literal["run", "none"] = "run"
    parameters: bool = False


class CrateFlags(PackageFlags, frozen=True, kw_only=True):
    """The options of `WorkflowRunCrates`.

    Attributes:
        metadata: `crate` or `none`.
        allow_bucket_root: Package the whole bucket for a crate at its root.
    """

    metadata: Literal["crate", "none"] = "crate"
    allow_bucket_root: bool = False


class ReadyFlags(PackageFlags, frozen=True, kw_only=True):
    """The options of `ObjectsReady`.

    Attributes:
        allow_bucket_root: Package the whole bucket for an event with an empty prefix.
    """

    allow_bucket_root: bool = False


class SourceFlags(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of each source.

    Attributes:
        omics: Of HealthOmics runs.
        wrroc: Of Workflow Run RO-Crates.
        edp: Of Event-Driven Packaging.
        uploads: Of uploads.
    """

    omics: OmicsFlags = OmicsFlags()
    wrroc: CrateFlags = CrateFlags()
    edp: ReadyFlags = ReadyFlags()
    uploads: UploadFlags = UploadFlags()


_KINDS: dict[str, SourceKind] = {
    "omics": "health_omics",
    "wrroc": "workflow_run_crate",
    "edp": "objects_ready",
    "uploads": "objects_ready",
}


def read_source_flags(text: str) -> SourceFlags:
    """Read the flag.

    Args:
        text: A JSON object, the path of a file that holds one, or nothing.

    Raises:
        ValueError: It is none of these, or has invalid options; one of
            each source is named.

    Example:
        >>> read_source_flags('{"omics": {"settle_seconds": 60}}').omics.settle_seconds
        60
        >>> read_source_flags('{"wroc": {}}')
        Traceback (most recent call last):
        ValueError: there is no source 'wroc'
    """
    if not text:
        return SourceFlags()
    try:
        data = text.encode() if text.startswith("{") else Path(text).read_bytes()
        given = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except (OSError, msgspec.DecodeError) as error:
        raise ValueError(str(error)) from error
    types = {field.name: field.type for field in msgspec.structs.fields(SourceFlags)}
    values: dict[str, Any] = {}
    violations = [f"there is no source {name!r}" for name in given if name not in types]
    for name, raw in given.items():
        if name in types:
            try:
                values[name] = msgspec.json.decode(raw, type=types[name])
                _check(_KINDS[name], values[name])
            except msgspec.DecodeError as error:
                violations.append(f"{name}: {error}")
    if violations:
        raise ValueError("; ".join(violations))
    return SourceFlags(**values)


def _check(kind: SourceKind, flags: CommonFlags) -> None:
    """Refuse what the event source would refuse."""
    options = flags.to_props()
    options.pop("metadata", None)
    msgspec.convert({"kind": kind, **options}, SourceOptions)
