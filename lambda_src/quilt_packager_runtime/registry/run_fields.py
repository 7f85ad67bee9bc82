"""Metadata of a HealthOmics run in its newest revision, for jobs that cannot look the run up."""

import msgspec

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import PackagerError
from quilt_packager_runtime.formats.manifest import MAX_LINE_BYTES
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.requests.omics_metadata import RUN_FIELDS
from quilt_packager_runtime.requests.package_request import PackageRequest


class _Header(msgspec.Struct):
    user_meta: dict[str, object] | None = None


async def keep_run_fields(s3: S3, request: PackageRequest, newest: S3Uri) -> PackageRequest:
    """Add the fields that only the newest revision has of the same run.

    Args:
        s3: S3.
        request: The request, with `lacks_run_fields`.
        newest: Manifest of the newest revision. If it cannot be read, nothing is added.
    """
    try:
        body = await s3.get_object(newest, last_byte=MAX_LINE_BYTES)
        header = msgspec.json.decode(body.data.partition(b"\n")[0], type=_Header)
    except (PackagerError, msgspec.DecodeError):
        return request
    known, found = request.metadata or {}, header.user_meta or {}
    kept = {name: found[name] for name in RUN_FIELDS if name in found and name not in known}
    if not kept or found.get("run_id") != known.get("run_id"):
        return request
    warning = f"Kept from the newest revision: {', '.join(kept)}."
    # In the order of a run that was looked up, so that its package is unchanged.
    fields = {name: {**kept, **known}[name] for name in RUN_FIELDS if name in kept or name in known}
    return msgspec.structs.replace(
        request, metadata=fields, warnings=(*request.warnings, warning), lacks_run_fields=False
    )
