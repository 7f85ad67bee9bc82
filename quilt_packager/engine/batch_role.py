"""The role by which S3 Batch Operations computes checksums of archived objects."""

from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from quilt_packager.engine.props import ResolvedProps
from quilt_packager.guardrails import permissions
from quilt_packager.guardrails.nag import acknowledge_inline_policy


def create_batch_role(
    scope: Construct, props: ResolvedProps, scratch_bucket: s3.IBucket
) -> iam.Role | None:
    """Create the role, if archived objects are hashed.

    Args:
        scope: The engine.
        props: The engine's props.
        scratch_bucket: Bucket of the manifests and reports.
    """
    if props.archived != "s3_batch":
        return None
    role = iam.Role(
        scope,
        "BatchOperationsRole",
        role_name=props.role_name("batch"),
        assumed_by=iam.ServicePrincipal(permissions.BATCH_OPERATIONS),
        description="Computes checksums of archived objects for Quilt packages",
    )
    acknowledge_inline_policy(role)
    permissions.add_to_role(
        role,
        [
            *permissions.compute_checksums(props.source_buckets),
            *permissions.exchange_batch_files(scratch_bucket),
        ],
    )
    return role
