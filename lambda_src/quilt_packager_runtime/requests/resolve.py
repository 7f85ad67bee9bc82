"""From the body of a message to a complete request, before the job begins.

Metadata that a message names has to be usable. All else that describes a package is optional: a
crate that an event names, and HealthOmics. Without it the package is published with what is known,
and the outcome has a remark. An error that may pass is raised while the job has attempts left.
"""

from typing import Any

import msgspec

from quilt_packager_runtime.aws.s3 import S3, ObjectBody
from quilt_packager_runtime.cpu_limits import CpuLimitExceeded, cpu_limit
from quilt_packager_runtime.errors import (
    BadRequest,
    BucketNotAllowed,
    InvalidCrate,
    InvalidMetadata,
    InvalidObjectState,
    PackagerError,
    Rejected,
    join_some,
    name_some,
    quote,
)
from quilt_packager_runtime.formats.json_documents import MAX_METADATA_BYTES, read_metadata
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.formats.selection import Selection
from quilt_packager_runtime.requests.crate_parts import Parts
from quilt_packager_runtime.requests.events import Ignored, OmicsRun
from quilt_packager_runtime.requests.messages import parse_message
from quilt_packager_runtime.requests.omics_runs import request_for_run
from quilt_packager_runtime.requests.package_request import (
    MetadataFile,
    PackageRequest,
    UnresolvedRequest,
    complete,
    crate_in,
)
from quilt_packager_runtime.requests.quilt_profile import Crate, read_crate
from quilt_packager_runtime.requests.ro_crates import MAX_CRATE_BYTES
from quilt_packager_runtime.settings import Settings
from quilt_packager_runtime.settings.source_options import Contents

MAX_CRATE_CPU_SECONDS = 10
"""Maximum CPU time to read a crate. One of `MAX_CRATE_BYTES` takes about a second."""


def read_request(
    body: str, settings: Settings, *, may_retry: bool = False
) -> UnresolvedRequest | Ignored:
    """Validate a message, and look up the HealthOmics run that an event names.

    Args:
        body: The body of the message, as SQS delivers it.
        settings: The engine's default registry and the options of its event sources.
        may_retry: The job has attempts left, in which HealthOmics may answer.

    Raises:
        InvalidMessage: The message breaks rules.
        AccessDenied: The location of the run's output is unknown, and the lookup is denied.
        NoRunOutput: HealthOmics does not know the location of the run's output.
        AwsError: HealthOmics did not answer.
    """
    registry = settings.default_registry
    request = parse_message(body, default_registry=registry, sources=settings.sources)
    if isinstance(request, OmicsRun):
        return request_for_run(request, default_registry=registry, may_retry=may_retry)
    return request


async def resolve(
    request: UnresolvedRequest, *, settings: Settings, s3: S3, may_retry: bool = False
) -> PackageRequest:
    """Complete a request by its metadata file, which is read once.

    The name and the metadata come from the same bytes, and stay as they are: passes that are
    repeated and later invocations of a large job do not read the file again.

    Args:
        request: The validated request.
        settings: The buckets that the engine may use.
        s3: The client for the metadata file.
        may_retry: The job has attempts left, in which the file may be read.

    Raises:
        BucketNotAllowed: The engine may not use a bucket of the request.
        InvalidMessage: The name of the folder is too long, and the file gives none.
        InvalidMetadata: The file is missing or unusable, and not optional.
        InvalidCrate: The crate breaks rules of Quilt's profile, which holds for it.
        AccessDenied: The file must not be read, and is not optional.
        S3Error: The file could not be read; it is not optional, or the job has attempts left.
    """
    check_buckets(request, settings)
    if request.metadata_file is None:
        return complete(request, None)
    try:
        file, body = await _read(s3, request.metadata_file, _contents(request))
    except PackagerError as error:
        if not request.metadata_file.optional or (may_retry and not isinstance(error, Rejected)):
            raise
        return complete(request, None, warning=f"The crate was not used. {error.happened}")
    selection = _select(request, file, body, settings) if isinstance(file, Crate) else None
    return complete(request, file, selection=selection)


def check_buckets(request: UnresolvedRequest, settings: Settings) -> None:
    """Refuse buckets that the engine must not use, before any request goes to one.

    Raises:
        BucketNotAllowed: Names all of them.
    """
    sources = {request.source.bucket, *(each.bucket for each in request.sources)}
    if request.metadata_file is not None:
        sources.add(request.metadata_file.uri.bucket)
    refused = [
        f"{role}: {name_some(sorted(names - set(allowed)))}"
        for role, names, allowed in (
            ("source", sources, settings.source_buckets),
            ("registry", {request.registry}, settings.registry_buckets),
        )
        if allowed and not names <= set(allowed)
    ]
    if refused:
        raise BucketNotAllowed(
            f"The engine does not use these buckets ({'; '.join(refused)}).",
            why="Only its source and registry buckets are open to messages.",
            remedy="Correct the message, or add them to source_buckets or registry_buckets.",
        )


async def _read(
    s3: S3, file: MetadataFile, contents: Contents
) -> tuple[Crate | dict[str, Any], ObjectBody]:
    is_crate = file.format == "ro-crate"
    max_bytes = MAX_CRATE_BYTES if is_crate else MAX_METADATA_BYTES
    try:
        body = await s3.read_if_exists(file.uri, max_bytes=max_bytes + 1)
    except (BadRequest, InvalidObjectState) as error:
        raise _no_metadata(error.happened) from error
    if body is None:
        missing = _no_metadata(f"There is no object {quote(str(file.uri))}.")
        missing.is_missing = True
        raise missing
    if is_crate:
        return _read_crate(body.data, file.uri, contents), body
    return read_metadata(body.data, file.uri), body


def _contents(request: UnresolvedRequest) -> Contents:
    """Return the contents that the crate of a request may decide."""
    file = request.metadata_file
    is_only_name = file is not None and file.only_name and request.contents == "auto"
    return "folder" if is_only_name else request.contents


def _read_crate(document: bytes, uri: S3Uri, contents: Contents) -> Crate:
    try:
        with cpu_limit(MAX_CRATE_CPU_SECONDS):
            crate = read_crate(document, uri, contents)
            return msgspec.structs.replace(crate, has_digests=b'"sha256"' in document)
    except CpuLimitExceeded:
        raise InvalidMetadata(
            f"The crate {quote(str(uri))} takes more than {MAX_CRATE_CPU_SECONDS} s to read.",
            why="The time to read other people's documents is limited.",
            remedy="Make it smaller, or send the metadata in the message.",
        ) from None
    except ValueError as error:
        raise InvalidMetadata(
            f"The crate {quote(str(uri))} cannot be used: {error}.",
            why=f"A crate is JSON with a @graph, of at most {MAX_CRATE_BYTES:,} bytes.",
            remedy="Correct it, or send the metadata in the message.",
        ) from error


def _select(
    request: UnresolvedRequest, crate: Crate, body: ObjectBody, settings: Settings
) -> Selection | None:
    """Return the parts that a crate lists.

    Raises:
        InvalidCrate: The crate breaks rules. Names the first `MAX_NAMED`, and counts all.
    """
    expected, uri = crate_in(request.source), crate.location
    parts = crate.parts
    violations = list(crate.violations)
    elsewhere: dict[str, str] = {}
    if parts is not None:
        elsewhere = parts.elsewhere | _find_refused(parts, settings)
        if request.missing_parts == "reject":
            violations += [f"part {quote(name)}: {why}" for name, why in elsewhere.items()]
        if (uri.bucket, uri.key) != (expected.bucket, expected.key):
            violations.append(f"it is not {expected}, but its parts are packaged from its folder")
        others = parts.crate_versions - {body.version_id}
        violations += [f"it lists version {quote(each)} of itself" for each in sorted(others)]
    if violations:
        raise InvalidCrate(
            f"The crate {quote(str(uri))} is invalid: {join_some(violations, len(violations))}.",
            why="Quilt's profile of RO-Crate defines the package that a crate describes.",
            remedy="Correct the crate, or send a message with contents: folder to package its "
            "whole folder.",
        )
    if parts is None:
        return None
    return Selection(
        crate=expected.key.removeprefix(request.source.prefix),
        etag=body.etag,
        version_id=body.version_id,
        files=parts.files,
        folders=parts.folders,
        metadata=parts.metadata,
        sources=tuple(each for each in parts.sources if str(each) not in elsewhere),
        elsewhere=tuple(elsewhere),
        may_lack_parts=request.missing_parts == "leave_out",
    )


def _find_refused(parts: Parts, settings: Settings) -> dict[str, str]:
    """Return the parts in buckets that the engine must not use, each with the reason."""
    allowed = settings.source_buckets
    return {
        str(each): f"the engine does not use its bucket; add {each.bucket} to source_buckets"
        for each in parts.sources
        if allowed and each.bucket not in allowed
    }


def _no_metadata(happened: str) -> InvalidMetadata:
    return InvalidMetadata(
        happened,
        why="The message's metadata_uri names it as the package's metadata.",
        remedy="Upload it, or correct metadata_uri, and send the message again.",
    )
