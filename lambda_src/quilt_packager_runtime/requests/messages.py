"""The message that asks for a package: its fields, and its forms in a queue.

`python -m quilt_packager_runtime.requests.messages` prints the JSON Schema of the fields.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta

from quilt_packager_runtime.errors import MAX_NAMED, MAX_QUOTED, printable
from quilt_packager_runtime.formats import names
from quilt_packager_runtime.formats.checksum_lists import check_verify_checksums
from quilt_packager_runtime.formats.globs import MAX_GLOBS, check_globs
from quilt_packager_runtime.formats.json_documents import check_metadata, read_json
from quilt_packager_runtime.formats.objects import MAX_MESSAGE_BYTES, S3Uri, Source, SourceFolder
from quilt_packager_runtime.requests import events
from quilt_packager_runtime.requests.events import (
    CRATE_NAME,
    FolderReady,
    Ignored,
    OmicsRun,
    Trigger,
)
from quilt_packager_runtime.requests.package_request import (
    MetadataFile,
    MetadataFormat,
    UnresolvedRequest,
    crate_in,
    default_commit_message,
    request_for_folder,
)
from quilt_packager_runtime.requests.sources import MAX_SOURCES, MessageSource, check_sources
from quilt_packager_runtime.requests.violations import Violations, invalid_message
from quilt_packager_runtime.settings.requirements import (
    DEFAULT_REQUIRE_TIMEOUT_SECONDS,
    Requirement,
    RequireTimeout,
    check_requirements,
)
from quilt_packager_runtime.settings.source_options import (
    Contents,
    MissingParts,
    OnForeignRevision,
    SourceOptions,
)

MAX_COMMIT_MESSAGE_BYTES = 65_536
"""Maximum size of a commit message, in UTF-8."""

ON_FOREIGN_REVISION = "on_foreign_revision"
"""The field of a message that an event may have as well: a retry adds it."""

_BASE = "s3://source-bucket/"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """The description of a package. Fields count as absent if null or, except workflow, empty."""

    source_prefix: Annotated[
        str | None,
        Meta(
            description="The folder to package, as a percent-encoded S3 URI. Without a trailing / "
            "its last component is dropped. Excludes sources.",
            examples=["s3://raw/runs/42/"],
        ),
    ] = None
    sources: Annotated[
        list[MessageSource] | None,
        Meta(
            description="Folders to package together, each with its place in the package. The "
            "first one is the source of the package: it gives the defaults of registry, name and "
            "commit message. Excludes source_prefix.",
            examples=[
                [
                    {"prefix": "s3://raw/runs/42/", "into": "raw/"},
                    {"prefix": "s3://results/42/", "into": "results/"},
                ]
            ],
            extra_json_schema={"minItems": 1, "maxItems": MAX_SOURCES},
        ),
    ] = None
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
                "pattern": f"^({names.PACKAGE_NAME.pattern})?$",
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
            description="The format of metadata_uri: json for a JSON object, ro-crate for facets "
            "of a ro-crate-metadata.json. Default: json.",
        ),
    ] = None
    commit_message: Annotated[
        str | None,
        Meta(
            description="The revision's message. Default: one that names the source folder.",
            extra_json_schema={"pattern": r"^$|\S"},
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
    require: Annotated[
        list[Requirement] | None,
        Meta(
            description="Files without which the folder is not packaged: crate for each local part "
            "that the folder's ro-crate-metadata.json lists, healthomics_outputs for each output "
            "of a HealthOmics run's summary, checksum_lists for each file that a checksum list "
            "names, or globs that must match. Default: none.",
            examples=[["crate", {"files": ["CopyComplete.txt"]}]],
        ),
    ] = None
    require_timeout_seconds: Annotated[
        RequireTimeout | None,
        Meta(
            description="Maximum time to wait for required files that are missing; 0 looks once. "
            f"Default: {DEFAULT_REQUIRE_TIMEOUT_SECONDS}.",
            examples=[3600],
        ),
    ] = None
    on_foreign_revision: Annotated[
        OnForeignRevision | None,
        Meta(
            description="The handling of a newest revision that another writer published: replace "
            "it, carry its changes into the next revision, or hold the job for review. Default: as "
            "the engine does.",
        ),
    ] = None
    contents: Annotated[
        Contents | None,
        Meta(
            description="The objects to package: folder for the whole folder, crate for the parts "
            "that its ro-crate-metadata.json lists, auto for those of the crate if it is the "
            "metadata and claims Quilt's profile. Default: auto.",
        ),
    ] = None
    missing_parts: Annotated[
        MissingParts | None,
        Meta(
            description="The treatment of parts that the crate lists and that are missing or "
            "cannot be packaged: reject the message, or leave_out the parts. Default: reject.",
        ),
    ] = None
    verify_checksums: Annotated[
        Literal["auto"] | list[str] | bool | None,
        Meta(
            description="Checksum lists of the sender to check the files against: globs, relative "
            "to the folder; auto for lists with usual names, which only warn; false for none. "
            "Default: auto.",
            examples=["auto", ["md5sum.txt"], ["**/*.md5"], False],
        ),
    ] = None


def parse_message(
    body: str, *, default_registry: str | None = None, sources: Sequence[SourceOptions] = ()
) -> UnresolvedRequest | OmicsRun | Ignored:
    """Validate the body of a message in any of its forms, without I/O.

    Forms: the JSON of a `Message`, an EventBridge event, a classic S3 notification; each of them
    also as a JSON string, or in the envelope of SNS. An event may have an `on_foreign_revision`.

    Args:
        body: The body, as SQS delivers it.
        default_registry: The registry of messages that name none; None for the source bucket.
        sources: The options of the event sources.

    Returns:
        The request; or a HealthOmics run to look up first (see `omics_runs`); or `Ignored`.

    Raises:
        InvalidMessage: The message breaks rules; the error names all of them.

    Example:
        >>> request = parse_message('{"source_prefix": "s3://raw/runs/42/"}')
        >>> request.registry, request.package_name, request.commit_message
        ('raw', 'runs/42', 'Packaged from s3://raw/runs/42/')
    """
    fields = read_fields(body)
    if fields.get("source_prefix") is not None or not events.is_event(fields):
        return _request_from_fields(fields, default_registry)
    event = events.translate(fields, sources)
    if ON_FOREIGN_REVISION in fields and not isinstance(event, Ignored):
        event = _with_own_option(event, fields[ON_FOREIGN_REVISION])
    if isinstance(event, FolderReady):
        return request_for_folder(event, default_registry=default_registry)
    return event


def with_fields(body: str, fields: Mapping[str, Any]) -> str:
    """Return a body of any form with more fields.

    Raises:
        InvalidMessage: The body is no JSON object.

    Example:
        >>> with_fields('{"source_prefix": "s3://b/"}', {"on_foreign_revision": "replace"})
        '{"source_prefix": "s3://b/", "on_foreign_revision": "replace"}'
    """
    return json.dumps({**read_fields(body), **fields}, ensure_ascii=False)


def message_schema() -> str:
    """Return the JSON Schema of a `Message`, as text."""
    both = {"metadata": {"type": "object"}, "metadata_uri": {"type": "string"}}
    either = {"source_prefix": {"type": "string"}, "sources": {"type": "array"}}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **msgspec.json.schema(Message),
        "not": {"properties": both, "required": list(both)},
        "oneOf": [
            {"properties": {name: rule}, "required": [name]} for name, rule in either.items()
        ],
    }
    return json.dumps(schema, indent=2) + "\n"


def read_fields(body: str) -> dict[str, Any]:
    """Return the JSON object of a body, without the strings and envelopes around it.

    Raises:
        InvalidMessage: The body is no JSON object.
    """
    value: object = body
    try:  # each container is longer than its content
        while isinstance(value, str):
            value = read_json(value, max_bytes=MAX_MESSAGE_BYTES)
            if isinstance(value, dict) and value.get("Type") == "Notification":
                value = value.get("Message", value)
    except ValueError as error:
        raise invalid_message(f"The body of the message cannot be read: {error}.") from error
    if not isinstance(value, dict):
        raise invalid_message("The body of the message is JSON, but not an object.")
    return value


def _with_own_option(event: FolderReady | OmicsRun, given: object) -> FolderReady | OmicsRun:
    """Apply the `on_foreign_revision` of an event instead of that of its source."""
    violations = Violations()
    action = violations.check(
        ON_FOREIGN_REVISION, given, partial(msgspec.convert, type=OnForeignRevision | None)
    )
    if violations:
        raise violations.as_error()
    options = msgspec.structs.replace(event.options, on_foreign_revision=action)
    return msgspec.structs.replace(event, options=options)


def _request_from_fields(
    message: dict[str, Any], default_registry: str | None
) -> UnresolvedRequest:
    violations = Violations()
    types = {field.name: field.type for field in msgspec.structs.fields(Message)}
    optional = types.keys() - {"source_prefix", "workflow"}
    fields = {name: value for name, value in message.items() if value != "" or name not in optional}
    given = {
        name: violations.check(name, fields.get(name), partial(msgspec.convert, type=types[name]))
        for name in types
    }
    source, sources = _read_source(fields, given, violations)
    registry = violations.check("registry", given["registry"], names.parse_registry)
    name = violations.check("package_name", given["package_name"], names.check_package_name)
    if source and given["package_name"] is None:
        name = violations.check_inferred_name(names.infer_package_name(source.prefix))
    metadata = violations.check("metadata", given["metadata"], check_metadata)
    metadata_file = _metadata_file(fields, given, source, violations)
    commit_message = violations.check(
        "commit_message", given["commit_message"], _check_commit_message
    )
    workflow = given["workflow"]
    exclude = violations.check("exclude", given["exclude"], check_globs)
    require = violations.check("require", given["require"], check_requirements)
    timeout_seconds = given["require_timeout_seconds"]
    verify_checksums = violations.check(
        "verify_checksums", given["verify_checksums"], check_verify_checksums
    )

    if violations or source is None or name is None:
        raise violations.as_error()
    unknown = [field[:MAX_QUOTED] for field in message if field not in types][:MAX_NAMED]
    return UnresolvedRequest(
        source=source,
        sources=sources,
        registry=registry or default_registry or source.bucket,
        package_name=name,
        is_default_name=given["package_name"] is None,
        metadata=metadata,
        metadata_file=metadata_file,
        commit_message=commit_message or default_commit_message(source),
        contents="folder" if sources else given["contents"] or "auto",
        missing_parts=given["missing_parts"] or "reject",
        workflow=UNSET if workflow is None else workflow or None,
        exclude=exclude or (),
        require=require or (),
        require_timeout_seconds=(
            DEFAULT_REQUIRE_TIMEOUT_SECONDS if timeout_seconds is None else timeout_seconds
        ),
        on_foreign_revision=given[ON_FOREIGN_REVISION],
        verify_checksums="auto" if verify_checksums is None else verify_checksums,
        trigger=Trigger("message"),
        dropped_component=_dropped_component(given["source_prefix"] or str(source)),
        ignored_fields=tuple(unknown),
        warnings=tuple(_describe_unknown(field, types) for field in unknown),
    )


def _read_source(
    fields: dict[str, Any], given: dict[str, Any], violations: Violations
) -> tuple[SourceFolder | None, tuple[Source, ...]]:
    """Return the source of the package, and all sources unless it is the only one at the root."""
    source = violations.check("source_prefix", given["source_prefix"], names.parse_source_prefix)
    has_one, has_several = (fields.get(name) is not None for name in ("source_prefix", "sources"))
    if has_one and has_several:
        violations.add("source_prefix", "they exclude each other", shown="source_prefix, sources")
    elif not has_one and not has_several:
        meant = get_close_matches("source_prefix", fields.keys() - given.keys(), n=1)
        unknown = f" ({printable(meant[0])} is no field)" if meant else ""
        violations.add("source_prefix", f"it is missing{unknown}, and the message is not an event")
    if given["sources"] is None:
        return source, ()
    if fields.get("contents") == "crate":
        violations.add("contents", "crate packages one folder, and excludes sources")
    sources = check_sources(given["sources"], violations)
    if not sources:
        return None, ()
    return sources[0].folder, () if sources == (Source.whole(sources[0].folder),) else sources


def _dropped_component(source_prefix: str) -> str:
    uri = S3Uri.parse(source_prefix)
    return "" if uri.version_id else uri.key.rpartition("/")[2]


def _describe_unknown(field: str, known: Iterable[str]) -> str:
    meant = get_close_matches(field, known, n=1)
    return f"Unknown field {printable(field)}{f'; did you mean {meant[0]}?' if meant else '.'}"


def _metadata_file(
    fields: dict[str, Any],
    given: dict[str, Any],
    source: SourceFolder | None,
    violations: Violations,
) -> MetadataFile | None:
    """Find the metadata file of a message: its `metadata_uri`, or the crate that is its source."""
    uri = violations.check(
        "metadata_uri",
        given["metadata_uri"],
        # Most rules of references do not depend on the source that they are relative to.
        partial(
            names.resolve_metadata_uri,
            source_prefix=(given["source_prefix"] or str(source)) if source else _BASE,
        ),
    )
    has_metadata, has_uri = (fields.get(name) is not None for name in ("metadata", "metadata_uri"))
    if has_metadata and has_uri:
        violations.add("metadata", "they exclude each other", shown="metadata, metadata_uri")
    file_format: MetadataFormat = given["metadata_format"] or "json"
    names_crate = str(given["source_prefix"]).partition("?versionId=")[0].endswith(f"/{CRATE_NAME}")
    is_crate = fields.get("contents") == "crate"
    is_json = fields.get("metadata_format") == "json"
    if source and not has_uri and (is_crate or (names_crate and not (has_metadata or is_json))):
        return MetadataFile(
            uri=crate_in(source),
            format="ro-crate",
            optional=not is_crate and fields.get("metadata_format") is None,
            only_name=has_metadata or is_json,
        )
    if is_crate and has_uri and file_format == "json":
        violations.add("contents", "crate requires metadata_format: ro-crate with metadata_uri")
    if file_format == "ro-crate" and not has_uri:
        violations.add("metadata_format", "it requires a metadata_uri")
    return MetadataFile(uri=uri, format=file_format) if uri else None


def _check_commit_message(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty; leave it out for the default")
    if len(text.encode()) > MAX_COMMIT_MESSAGE_BYTES:
        raise ValueError(f"it has more than {MAX_COMMIT_MESSAGE_BYTES:,} bytes")
    return text


if __name__ == "__main__":
    sys.stdout.write(message_schema())
