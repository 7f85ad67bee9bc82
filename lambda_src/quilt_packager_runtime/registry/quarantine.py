"""Quarantine of packages that break their registry's rules: published elsewhere, and rejected."""

from typing import Any

import msgspec

from quilt_packager_runtime.errors import Rejected, WorkflowViolations
from quilt_packager_runtime.requests.package_request import PackageRequest

REGISTRY_FIELD = "quarantine_registry"
VIOLATIONS_FIELD = "quarantine_violations"


def redirect(request: PackageRequest, registry: str) -> PackageRequest:
    """Return the same request for the quarantine registry."""
    return msgspec.structs.replace(request, registry=registry)


def note_violations(
    metadata: dict[str, Any] | None, registry: str, violations: WorkflowViolations
) -> dict[str, Any]:
    """Add the intended registry and the violations of its rules to the metadata of a package.

    Example:
        >>> error = WorkflowViolations("It breaks a rule.", why="Rules.", remedy="Obey.")
        >>> note_violations({"a": 1}, "packages", error)["quarantine_violations"]
        'It breaks a rule.'
    """
    notes = {REGISTRY_FIELD: registry, VIOLATIONS_FIELD: violations.happened}
    return {**(metadata or {}), **notes}


def with_quarantine_link(violations: WorkflowViolations, link: str | None) -> WorkflowViolations:
    """Return the same rejection with the `quilt+s3` URI of the package in quarantine."""
    linked = _add(violations, f"The package is in quarantine: {link}.")
    linked.quarantine = link
    return linked


def with_quarantine_error(violations: WorkflowViolations, error: Rejected) -> WorkflowViolations:
    """Return the same rejection with the reason why the package is not in quarantine."""
    return _add(violations, f"The package could not be quarantined: {error.reason}")


def _add(violations: WorkflowViolations, sentence: str) -> WorkflowViolations:
    return WorkflowViolations(
        violations.happened, why=violations.why, remedy=f"{violations.remedy} {sentence}"
    )
