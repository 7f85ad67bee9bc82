"""One step of lineage up and down from a revision, for the page."""

from typing import TYPE_CHECKING, Any

from quilt_packager_runtime.formats.outcome import OutcomeFields
from quilt_packager_runtime.lineage.index import LineageIndex, package_of
from quilt_packager_runtime.registry.run_fields import INPUT_PACKAGES

from quilt_packager.operations.lineage.tree import is_revision, parse_revision

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment


def read_inputs(metadata: dict[str, Any]) -> list[OutcomeFields]:
    """Return the revisions that a revision was made from, by its metadata."""
    named = metadata.get(INPUT_PACKAGES)
    found = filter(is_revision, named) if isinstance(named, list) else ()
    return [parse_revision(each) for each in found]


def read_users(deployment: "Deployment", table: str, revision: str) -> list[OutcomeFields]:
    """Return the revisions that were made from a revision, the oldest first.

    Raises:
        AwsError: DynamoDB did not respond, or refused.
    """
    uses = sorted(LineageIndex(table, deployment.dynamodb).uses(package_of(revision)))
    return [parse_revision(each.revision) for each in uses if each.input == revision]
