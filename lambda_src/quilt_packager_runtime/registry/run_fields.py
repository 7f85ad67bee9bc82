"""Metadata of the newest revision: fields of a HealthOmics run, and fields that would be lost."""

from typing import Any

import msgspec

from quilt_packager_runtime.requests.omics_metadata import RUN_FIELDS
from quilt_packager_runtime.requests.package_request import PackageRequest

INPUT_PACKAGES = "input_packages"
"""Field of a package's metadata with the revisions that hold inputs of its run."""


class _Header(msgspec.Struct):
    user_meta: dict[str, Any] | None = None


def read_metadata(manifest: bytes) -> dict[str, Any]:
    """Return the metadata of a package; empty if it has none, or if this is no manifest.

    Args:
        manifest: First bytes of the manifest.
    """
    try:
        header = msgspec.json.decode(manifest.partition(b"\n")[0], type=_Header)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return header.user_meta or {}


def keep_run_fields(request: PackageRequest, newest: bytes) -> PackageRequest:
    """Add the fields that only the newest revision has of the same run.

    Args:
        request: The request, with `lacks_run_fields`.
        newest: First bytes of the newest revision's manifest. If they are no header, nothing is
            added.
    """
    known, found = request.metadata or {}, read_metadata(newest)
    names = (*RUN_FIELDS, INPUT_PACKAGES)
    kept = {name: found[name] for name in names if name in found and name not in known}
    if not kept or found.get("run_id") != known.get("run_id"):
        return request
    warning = f"Kept from the newest revision: {', '.join(kept)}."
    # In the order of a run that was looked up, so that its package is unchanged.
    fields = {name: {**kept, **known}[name] for name in names if name in kept or name in known}
    return msgspec.structs.replace(
        request, metadata=fields, warnings=(*request.warnings, warning), lacks_run_fields=False
    )
