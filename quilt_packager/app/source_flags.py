"""The flag for options of event sources: JSON of their package options, or a file.

Each source has the name that its own flag has, and its options those of the construct's props.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import msgspec
from quilt_packager_runtime.settings.source_options import SourceKind, SourceOptions

from quilt_packager import contract
from quilt_packager.event_sources.package_options import CommonOptions, PackageOptions

_FIELDS = {field.name: field for field in msgspec.structs.fields(SourceOptions)}


class _Source(NamedTuple):
    kind: SourceKind
    options: type[msgspec.Struct]


def _define(kind: SourceKind, *names: str, metadata: object = None) -> _Source:
    """Define the options of a source as fields of `SourceOptions`, with their types and defaults.

    Args:
        kind: Kind of the source's events.
        names: Names of the fields.
        metadata: Type of the option `metadata`, which is a flag in `SourceOptions`.
    """
    fields = [(name, _FIELDS[name].type, _FIELDS[name].default) for name in names]
    if metadata is not None:
        fields.append(("metadata", metadata, get_args(metadata)[0]))
    options = msgspec.defstruct(
        kind, fields, kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True
    )
    return _Source(kind, options)


_PACKAGE_OPTIONS = sorted(PackageOptions.__optional_keys__)

SOURCES = {
    contract.OMICS: _define(
        "health_omics", *_PACKAGE_OPTIONS, "parameters", metadata=Literal["run", "none"]
    ),
    contract.CRATES: _define(
        "workflow_run_crate",
        *_PACKAGE_OPTIONS,
        "allow_bucket_root",
        metadata=Literal["crate", "none"],
    ),
    contract.EDP: _define("objects_ready", *_PACKAGE_OPTIONS, "allow_bucket_root"),
    # The flag `uploads` has the other props of `ObjectUploads`.
    contract.UPLOADS: _define("objects_ready", *sorted(CommonOptions.__optional_keys__)),
}
"""The sources that have options, by their names."""


def read_source_flags(text: str) -> dict[str, dict[str, Any]]:
    """Read the flag: the given options of each source, as props of its construct.

    Args:
        text: A JSON object, the path of a file with one, or empty.

    Raises:
        ValueError: The JSON cannot be read, or an option is invalid. The message has one invalid
            option of each source.

    Example:
        >>> read_source_flags('{"omics": {"settle_seconds": 60}}')["omics"]
        {'settle_seconds': 60}
        >>> read_source_flags('{"wroc": {}}')
        Traceback (most recent call last):
        ValueError: there is no source 'wroc'
    """
    try:
        data = text.encode() if text.startswith("{") else Path(text).read_bytes() if text else b"{}"
        given = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except (OSError, msgspec.DecodeError) as error:
        raise ValueError(str(error)) from error
    props: dict[str, dict[str, Any]] = {name: {} for name in SOURCES}
    violations = [f"there is no source {name!r}" for name in given if name not in SOURCES]
    for name, raw in given.items():
        if name in SOURCES:
            try:
                props[name] = _read_options(SOURCES[name], raw)
            except msgspec.DecodeError as error:
                violations.append(f"{name}: {error}")
    if violations:
        raise ValueError("; ".join(violations))
    return props


def _read_options(source: _Source, raw: msgspec.Raw) -> dict[str, Any]:
    """Read the options of a source, and validate them as its construct does."""
    props: dict[str, Any] = msgspec.to_builtins(msgspec.json.decode(raw, type=source.options))
    checked = {name: value for name, value in props.items() if name != "metadata"}
    msgspec.convert({"kind": source.kind, **checked}, SourceOptions)
    return props
