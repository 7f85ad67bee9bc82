"""The notes below the fields of the New package form: hints, confirmations and errors."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec
from quilt_packager_runtime.errors import BucketNotAllowed
from quilt_packager_runtime.requests.events import CRATE_NAME
from quilt_packager_runtime.requests.package_request import UnresolvedRequest
from quilt_packager_runtime.requests.resolve import check_buckets
from quilt_packager_runtime.settings import Settings

from quilt_packager.operations import formats
from quilt_packager.operations.deployment.known_metadata import Known
from quilt_packager.operations.deployment.known_workflows import KnownWorkflows
from quilt_packager.operations.discovery.recognition import Recognised


class Note(NamedTuple):
    """The note below a field.

    Attributes:
        kind: `hint`, `ok` for a valid value, `warn` for one that may not be meant, or `bad` for
            an invalid one.
        text: Text of the note.
        code: Value after the text, as written in a message.
        rest: Text after the value.
    """

    kind: Literal["hint", "ok", "warn", "bad"]
    text: str
    code: str = ""
    rest: str = ""


def describe_fields(
    fields: Mapping[str, Any],
    request: UnresolvedRequest | None,
    settings: Settings,
    workflows: KnownWorkflows | None,
) -> dict[str, Note]:
    """Describe the valid values and the defaults of all fields.

    Args:
        fields: Fields of the message.
        request: Request of the valid fields; None if there is none.
        settings: Settings of the engine.
        workflows: Workflows of the registry; None if they are unknown.
    """
    return {
        "source_prefix": _describe_folder(request),
        "package_name": _describe_name(fields, request),
        "registry": _describe_registry(fields, request, settings),
        "workflow": _describe_workflow(fields.get("workflow"), workflows),
        "metadata": _describe_metadata(fields, request),
        "exclude": Note("ok", f"{formats.count(len(fields['exclude']), 'pattern')}.")
        if "exclude" in fields
        else Note("hint", "Patterns of files, one in each line, such as", "work/**"),
        "commit_message": Note("ok", "The revision gets this message.")
        if "commit_message" in fields
        else Note("hint", "Default:", request.commit_message if request else "Packaged from …"),
    }


NO_NOTE = Note("hint", "")


def _describe_workflow(name: str | None, known: KnownWorkflows | None) -> Note:
    if known is None:
        usual = "The registry's default workflow checks the package, if there is one."
        texts = {None: usual, "": "No workflow checks the package."}
        return Note("hint", texts.get(name, "The check shows its violations."))
    if name and name not in known.names:
        return Note("warn", "The registry has no workflow of this name.")
    if name or (name is None and known.default):
        return Note("hint", "It checks the package before anything is written.")
    if known.is_required:
        return Note("warn", "The registry requires a workflow.")
    return Note("hint", "No workflow checks the package.")


def _describe_folder(request: UnresolvedRequest | None) -> Note:
    if request is None:
        return NO_NOTE
    folder = str(request.source)
    if not request.source.prefix:
        return Note("warn", "The whole bucket", request.source.bucket, ".")
    if is_folder_above(request):
        return Note("warn", "Packages", folder, ", as it has no slash at its end.")
    return Note("ok", "Packages", folder)


def is_folder_above(request: UnresolvedRequest) -> bool:
    """Return True if the folder is above the one that was entered, which has no slash."""
    return request.dropped_component not in {"", CRATE_NAME}


def _describe_name(fields: Mapping[str, Any], request: UnresolvedRequest | None) -> Note:
    if "package_name" in fields:
        return Note("ok", "Valid package name.")
    if request is None:
        return Note("hint", "Default: derived from the folder.")
    return Note("hint", "Default:", request.package_name or "", ", from the folder.")


def _describe_registry(
    fields: Mapping[str, Any], request: UnresolvedRequest | None, settings: Settings
) -> Note:
    if "registry" in fields:
        return Note("ok", "The package is pushed to this bucket.")
    if request is None and settings.default_registry is None:
        return Note("hint", "Default: the bucket of the folder.")
    registry = request.registry if request else str(settings.default_registry)
    if settings.default_registry and len(settings.registry_buckets) > 1:
        return Note("hint", f"The engine may write to these {len(settings.registry_buckets)}.")
    origin = "the engine's default." if settings.default_registry else "the bucket of the folder."
    return Note("hint", "Default:", registry, f", {origin}")


def _describe_metadata(fields: Mapping[str, Any], request: UnresolvedRequest | None) -> Note:
    metadata = fields.get("metadata")
    if isinstance(metadata, dict):
        return Note("ok", f"A JSON object with {formats.count(len(metadata), 'field')}.")
    if request is not None and request.metadata_file is not None:
        return Note("ok", "Read from", str(request.metadata_file.uri))
    return Note("hint", "The package has no metadata.")


def describe_known(known: Known | None) -> Note:
    """Describe the metadata that is known of the folder; None if it was not looked up."""
    if known is None:
        return Note(
            "hint", "That of the RO-Crate in the folder, or of its HealthOmics run, if any."
        )
    if known.found:
        return Note("ok", "Read from" if "metadata_uri" in known.fields else "Has", known.found)
    nothing = "The folder has no RO-Crate, and no HealthOmics run is known: no metadata."
    return Note("hint", " ".join(known.warnings) or nothing)


def describe_kind(recognised: Recognised, notes: Mapping[str, Note]) -> dict[str, Note]:
    """Describe the kind of the folder, and the files to require of it."""
    lacks = f" without {', '.join(recognised.missing)}" if recognised.missing else ""
    described = {
        "source_prefix": notes["source_prefix"]._replace(rest=f": {recognised.title}{lacks}.")
    }
    if require := recognised.fields.get("require"):
        names = [name for each in require for name in _names(each)]
        described["require"] = Note("hint", f"Of this {recognised.title}:", ", ".join(names))
    return described


def _names(requirement: str | Mapping[str, Any]) -> list[str]:
    return [requirement] if isinstance(requirement, str) else requirement["files"]


def find_forbidden_buckets(request: UnresolvedRequest, settings: Settings) -> dict[str, Note]:
    """Check each bucket separately, by the check that a job applies to all of them."""
    narrow = msgspec.structs.replace
    source = narrow(request, metadata_file=None)
    readable = narrow(settings, registry_buckets=())
    cases = (
        ("source_prefix", source, readable, request.source.bucket, "read", settings.source_buckets),
        ("metadata", request, readable, "", "read", settings.source_buckets),
        (
            "registry",
            source,
            narrow(settings, source_buckets=()),
            request.registry,
            "write to",
            settings.registry_buckets,
        ),
    )
    notes: dict[str, Note] = {}
    for field, checked, allowed, bucket, verb, buckets in cases:
        try:
            check_buckets(checked, allowed)
        except BucketNotAllowed:
            if field == "metadata" and "source_prefix" in notes:
                continue
            file = request.metadata_file
            name = bucket or (file.uri.bucket if file else "")
            text = f"The engine may not {verb} “{name}”. It may {verb} {_join(buckets)}."
            notes[field] = Note("bad", text)
    return notes


def _join(names: tuple[str, ...]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
