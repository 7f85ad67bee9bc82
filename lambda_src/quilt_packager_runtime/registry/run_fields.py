"""Metadata of a HealthOmics run in its newest revision, for jobs that cannot look the run up."""

import msgspec

from quilt_packager_runtime.requests.omics_metadata import RUN_FIELDS
from quilt_packager_runtime.requests.package_request import PackageRequest


class _Header(msgspec.Struct):
    user_meta: dict[str, object] | None = None


def keep_run_fields(request: PackageRequest, newest: bytes) -> PackageRequest:
    """Add the fields that only the newest revision has of the same run.

    Args:
        request: The request, with `lacks_run_fields`.
        newest: First bytes of the newest revision's manifest. If they are no header, nothing is
            added.
    """
    try:
        header = msgspec.json.decode(newest.partition(b"\n")[0], type=_Header)
    except msgspec.DecodeError:
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
