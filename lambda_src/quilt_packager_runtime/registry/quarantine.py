"""Where packages go that break the rules of their registry: published elsewhere, and refused."""

from typing import Any

import msgspec

from quilt_packager_runtime.errors import Rejected, WorkflowViolations
from quilt_packager_runtime.requests.messages import PackageRequest

REGISTRY_FIELD = "quarantine_registry"
VIOLATIONS_FIELD = "quarantine_violations"


def redirect(request: PackageRequest, registry: str) -> PackageRequest:
    """Ask for the same package in another registry.

    Args:
        request: What was refused.
        registry: The quarantine.
    """
    return msgspec.structs.replace(request, registry=registry)


def note_violations(
    metadata: dict[str, Any] | None, registry: str, violations: WorkflowViolations
) -> dict[str, Any]:
    """Add to a package's metadata where it was meant to go, and why it may not.

    Args:
        metadata: The package's own.
        registry: Where it was meant to go.
        violations: Why it may not.

    Example:
        >>> error = WorkflowViolations("It breaks a rule.", why="Rules.", remedy="Obey.")
        >>> note_violations({"a": 1}, "packages", error)["quarantine_violations"]
        'It breaks a rule.'
    """
    notes = {REGISTRY_FIELD: registry, VIOLATIONS_FIELD: violations.happened}
    return {**(metadata or {}), **notes}


def with_quarantine_link(violations: WorkflowViolations, link: str | None) -> WorkflowViolations:
    """The same refusal, which says where the package is instead.

    Args:
        violations: Why it was refused.
        link: The `quilt+s3` URI of the revision in quarantine.
    """
    told = _add(violations, f"The package is in quarantine: {link}.")
    told.quarantine = link
    return told


def with_quarantine_error(violations: WorkflowViolations, error: Rejected) -> WorkflowViolations:
    """The same refusal, which says why the package is not in quarantine either.

    Args:
        violations: Why it was refused.
        error: Why it could not be written there.
    """
    return _add(violations, f"It could not be put into quarantine: {error.reason}")


def _add(violations: WorkflowViolations, sentence: str) -> WorkflowViolations:
    return WorkflowViolations(
        violations.happened, why=violations.why, remedy=f"{violations.remedy} {sentence}"
    )
