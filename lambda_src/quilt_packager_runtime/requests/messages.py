"""The message that asks for a package: its fields, its forms in a queue, and what it comes to.

`python -m quilt_packager_runtime.requests.messages` prints the JSON Schema of the fields.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from quilt_packager_runtime.errors import (
    MAX_NAMED,
    MAX_QUOTED,
    InvalidMessage,
    quote,
)
from quilt_packager_runtime.formats import names
from quilt_packager_runtime.formats.globs import MAX_GLOBS, check_globs
from quilt_packager_runtime.formats.json_documents import check_metadata, read_json
from quilt_packager_runtime.formats.objects import MAX_MESSAGE_BYTES, S3Uri, SourceFolder
from quilt_packager_runtime.requests import events
from quilt_packager_runtime.requests.events import (
    CRATE_NAME,
    FolderReady,
    Ignored,
    OmicsRun,
    Trigger,
)
from quilt_packager_runtime.requests.name_templates import name_package
from quilt_packager_runtime.requests.source_options import SourceOptions

MAX_COMMIT_MESSAGE_BYTES = 65_536
"""The most that a commit message may have, in UTF-8."""

MetadataFormat = Literal["json", "ro-crate"]

_BASE = "s3://source-bucket/"
_Value = TypeVar("_Value")
_Result = TypeVar("_Result")


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A description of the package that is wanted. A field that is null counts as absent."""

    source_prefix: Annotated[
        str,
        Meta(
            description="The folder to package, as a percent-encoded S3 URI. Without a trailing / "
            "its last component is dropped.",
            examples=["s3://raw/runs/42/"],
        ),
    ]
    registry: Annotated[
        str | None,
        Meta(
            description="The bucket that receives the package, bare or as s3://bucket. Default: "
            "the source bucket, or the engine's default registry.",
            examples=["packages", "s3://packages"],
        ),
    ] = None
    package_name: Annotated[
        str | None,
        Meta(
            description="The package's name. Default: made from the folder.",
            examples=["runs/42"],
            extra_json_schema={
                "pattern": f"^{names.PACKAGE_NAME.pattern}$",
                "maxLength": names.MAX_PACKAGE_NAME,
            },
        ),
    ] = None
    metadata: Annotated[
        dict[str, Any] | None,
        Meta(description="The package's metadata. Excludes metadata_uri."),
    ] = None
    metadata_uri: Annotated[
        str | None,
        Meta(
            description="A JSON object in S3 to use as the package's metadata: a percent-encoded "
            "URI, absolute or relative to source_prefix. Excludes metadata.",
            examples=["entry.json", "s3://raw/entry.json?versionId=v1"],
        ),
    ] = None
    metadata_format: Annotated[
        MetadataFormat | None,
        Meta(
            description="How metadata_uri is read: json takes its object as it is; ro-crate takes "
            "facets of a ro-crate-metadata.json. Default: json.",
        ),
    ] = None
    commit_message: Annotated[
        str | None,
        Meta(
            description="The revision's message. Default: one that names the source folder.",
            extra_json_schema={"pattern": r"\S"},
        ),
    ] = None
    workflow: Annotated[
        str | None,
        Meta(
            description="The workflow to check the package by. Default: the registry's default "
            "workflow; empty: none.",
        ),
    ] = None
    exclude: Annotated[
        list[str] | None,
        Meta(
            description="Globs of files below the folder that do not become part of the package. "
            "Default: none.",
            examples=[["work/**", ".nextflow*"]],
            extra_json_schema={"maxItems": MAX_GLOBS},
        ),
    ] = None


class PackageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A valid wish for a package, with every default filled in.

    Attributes:
        source: The folder to package.
        registry: The bucket that receives the package.
        package_name: `prefix/suffix`. While there is a template, not more than a guess.
        name_template: What makes the package's name of the metadata; None: it has its name.
        metadata: The metadata that came with the message.
        metadata_uri: Where the metadata is instead.
        metadata_format: How that is read.
        metadata_optional: Whether the package is made without it, where it is of no use.
        commit_message: The revision's message; constant for an equal source by default.
        workflow: A workflow's name, None for none, UNSET for the registry's default.
        exclude: Globs of files that do not become part of the package.
        settle_seconds: How long the message waits before it is looked at.
        trigger: What made the request.
        ignored_fields: Names of the message's unknown fields, `MAX_NAMED` at most, shortened.
    """

    source: SourceFolder
    registry: str
    package_name: str
    name_template: str | None = None
    metadata: dict[str, Any] | None = None
    metadata_uri: S3Uri | None = None
    metadata_format: MetadataFormat = "json"
    metadata_optional: bool = False
    commit_message: str
    workflow: str | UnsetType | None = UNSET
    exclude: tuple[str, ...] = ()
    settle_seconds: int = 0
    trigger: Trigger
    ignored_fields: tuple[str, ...] = ()

    @property
    def known_package_name(self) -> str | None:
        """The package's name; None while only a crate knows it."""
        return self.package_name if self.name_template is None else None


def parse_message(
    body: str, *, default_registry: str | None = None, sources: Sequence[SourceOptions] = ()
) -> PackageRequest | OmicsRun | Ignored:
    """Read the body of a message in any of its forms.

    Forms: the JSON of a `Message`, an EventBridge event, a classic S3 notification; each of them
    also as a JSON string, or in the envelope of SNS.

    Args:
        body: The body, as SQS delivers it.
        default_registry: Where the package goes if the message does not say; None: to the source
            bucket.
        sources: The options of the event sources.

    Returns:
        The request; or the HealthOmics run that is to be looked up first (see `runs`); or that
        there is nothing to do.

    Raises:
        InvalidMessage: The message breaks rules: all of them that can be told at once.

    Example:
        >>> request = parse_message('{"source_prefix": "s3://raw/runs/42/"}')
        >>> request.registry, request.package_name, request.commit_message
        ('raw', 'runs/42', 'Packaged from s3://raw/runs/42/')
    """
    fields = _unwrap(body)
    if fields.get("source_prefix") is None and events.is_event(fields):
        translation = events.translate(fields, sources)
        if isinstance(translation, FolderReady):
            return request_for_folder(translation, default_registry=default_registry)
        return translation
    return _request_from_fields(fields, default_registry)


def request_for_folder(
    ready: FolderReady,
    *,
    described: Mapping[str, Any] | None = None,
    default_registry: str | None = None,
) -> PackageRequest:
    """Ask for the package of a folder, as its event source wants it.

    Args:
        ready: The folder.
        described: What is known of the run that made it; None: nothing, or a crate there tells.
        default_registry: Where the package goes; None: to the source bucket.

    Raises:
        InvalidMessage: No bucket has such a name, or the folder gives no legal package name.
    """
    source, options = ready.source, ready.options
    violations = _Violations()
    violations.check("bucket", source.bucket, names.check_bucket)
    name, missing = name_package(options.package_name, source, described or {})
    violations.check("package_name (inferred)", name, names.check_package_name)
    if violations.found:
        raise violations.as_error()
    has_crate = ready.trigger.kind == "workflow_run_crate"
    wants_crate = has_crate and options.metadata
    return PackageRequest(
        source=source,
        registry=default_registry or source.bucket,
        package_name=name,
        name_template=options.package_name if missing and has_crate else None,
        metadata=dict(described) if described and options.metadata else None,
        metadata_uri=crate_in(source) if wants_crate else None,
        metadata_format="ro-crate" if wants_crate else "json",
        metadata_optional=wants_crate,
        commit_message=default_commit_message(source),
        exclude=options.exclude,
        settle_seconds=options.settle_seconds,
        trigger=ready.trigger,
    )


def name_by_crate(request: PackageRequest, facets: Mapping[str, object]) -> PackageRequest:
    """Give a request the name that its template makes of its crate, or its folder's otherwise.

    Args:
        request: The request.
        facets: What the crate tells; empty if it tells nothing.

    Raises:
        InvalidMessage: The name is longer than a package's may be.
    """
    name, _ = name_package(request.name_template, request.source, facets)
    violations = _Violations()
    violations.check("package_name (inferred)", name, names.check_package_name)
    if violations.found:
        raise violations.as_error()
    return msgspec.structs.replace(request, package_name=name, name_template=None)


def crate_in(source: SourceFolder) -> S3Uri:
    """Where a folder's crate is, if it has one."""
    return S3Uri(source.bucket, source.prefix + CRATE_NAME)


def default_commit_message(source: SourceFolder) -> str:
    """The message of a revision that came without one.

    It is part of the top hash: equal for equal sources, so that they are found unchanged, and
    another for another source, so that two sources never share a manifest.

    Example:
        >>> default_commit_message(SourceFolder("raw", "runs/42/"))
        'Packaged from s3://raw/runs/42/'
    """
    return f"Packaged from {source}"


def message_schema() -> str:
    """The JSON Schema of a `Message`, as text."""
    both = {"metadata": {"type": "object"}, "metadata_uri": {"type": "string"}}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **msgspec.json.schema(Message),
        "not": {"properties": both, "required": list(both)},
    }
    return json.dumps(schema, indent=2) + "\n"


def _unwrap(body: str) -> dict[str, Any]:
    """Open a body's strings and envelopes, each of which is shorter than what held it."""
    value: object = body
    try:
        while isinstance(value, str):
            value = read_json(value, max_bytes=MAX_MESSAGE_BYTES)
            if isinstance(value, dict) and value.get("Type") == "Notification":
                value = value.get("Message", value)
    except ValueError as error:
        raise _invalid(f"The body of the message cannot be read: {error}.") from error
    if not isinstance(value, dict):
        raise _invalid("The body of the message is JSON, but not an object.")
    return value


def _request_from_fields(fields: dict[str, Any], default_registry: str | None) -> PackageRequest:
    violations = _Violations()
    known = {field.name: field.type for field in msgspec.structs.fields(Message)}
    given = {
        name: violations.check(name, fields.get(name), partial(msgspec.convert, type=known[name]))
        for name in known
    }

    source_prefix = given["source_prefix"]
    source = violations.check("source_prefix", source_prefix, names.parse_source_prefix)
    if fields.get("source_prefix") is None:
        violations.add("source_prefix", "it is missing, and this is no event either")
    registry = violations.check("registry", given["registry"], names.parse_registry)
    name = violations.check("package_name", given["package_name"], names.check_package_name)
    if source and given["package_name"] is None:
        name = _infer_package_name(source, violations)
    metadata = violations.check("metadata", given["metadata"], check_metadata)
    metadata_uri = violations.check(
        "metadata_uri",
        given["metadata_uri"],
        # Without a source to be relative to, most rules for references can be told still.
        partial(names.resolve_metadata_uri, source_prefix=str(source_prefix) if source else _BASE),
    )
    if fields.get("metadata") is not None and fields.get("metadata_uri") is not None:
        violations.add("metadata", "they exclude each other", shown="metadata, metadata_uri")
    commit_message = violations.check(
        "commit_message", given["commit_message"], _check_commit_message
    )
    workflow = given["workflow"]
    exclude = violations.check("exclude", given["exclude"], check_globs)
    metadata_format: MetadataFormat = given["metadata_format"] or "json"
    # Whoever names a crate as the source means what it says, if nothing else is said.
    is_crate = (
        str(source_prefix).partition("?versionId=")[0].endswith(f"/{CRATE_NAME}")
        and fields.get("metadata") is None
        and fields.get("metadata_uri") is None
        and fields.get("metadata_format") != "json"
    )
    if metadata_format == "ro-crate" and not is_crate and fields.get("metadata_uri") is None:
        violations.add("metadata_format", "there is no metadata_uri that it is of")

    if violations.found or source is None or name is None:
        raise violations.as_error()
    unknown = [field[:MAX_QUOTED] for field in fields if field not in known]
    return PackageRequest(
        source=source,
        registry=registry or default_registry or source.bucket,
        package_name=name,
        metadata=metadata,
        metadata_uri=crate_in(source) if is_crate else metadata_uri,
        metadata_format="ro-crate" if is_crate else metadata_format,
        metadata_optional=is_crate and fields.get("metadata_format") is None,
        commit_message=commit_message or default_commit_message(source),
        workflow=UNSET if workflow is None else workflow or None,
        exclude=exclude or (),
        trigger=Trigger("message"),
        ignored_fields=tuple(unknown[:MAX_NAMED]),
    )


class _Violations:
    """Collects the rules that a message breaks, so that its sender learns of all at once."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.rules: dict[str, str] = {}

    def add(self, field: str, rule: str, *, shown: str | None = None) -> None:
        """Take a broken rule down, with what it is told of if that is not the field's name."""
        self.found.append(f"{shown or field}: {rule}")
        self.rules.setdefault(field.partition(" ")[0], rule)

    def check(
        self, field: str, value: _Value | None, rule: Callable[[_Value], _Result]
    ) -> _Result | None:
        """Apply a rule that raises ValueError, to a field that is there."""
        if value is None:
            return None
        try:
            return rule(value)
        except ValueError as error:
            # A value of a wrong type stays untold: it may be metadata.
            is_told = isinstance(value, str) and not isinstance(error, msgspec.ValidationError)
            shown = f"{field} {quote(str(value))}" if is_told else field
            self.add(field, str(error), shown=shown)
            return None

    def as_error(self) -> InvalidMessage:
        """All of them as one error."""
        error = _invalid(f"The message is invalid. {'; '.join(self.found)}.")
        error.rules = self.rules
        return error


def _infer_package_name(source: SourceFolder, violations: _Violations) -> str | None:
    name = names.infer_package_name(source.prefix)
    return violations.check("package_name (inferred)", name, names.check_package_name)


def _check_commit_message(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty; leave it out for the default")
    if len(text.encode()) > MAX_COMMIT_MESSAGE_BYTES:
        raise ValueError(f"it has more than {MAX_COMMIT_MESSAGE_BYTES:,} bytes")
    return text


def _invalid(happened: str) -> InvalidMessage:
    return InvalidMessage(
        happened,
        why="A message is the JSON of a package description, or an event of a known kind.",
        remedy="Correct it and send it again; the reference of messages describes every field.",
    )


if __name__ == "__main__":
    sys.stdout.write(message_schema())
