"""The buckets that the library creates: private, TLS only, encrypted, owned by the account."""

from typing import TypedDict

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct
from quilt_packager_runtime.formats.objects import JOBS_PREFIX, SCRATCH_PREFIX

from quilt_packager.guardrails.nag import acknowledge, acknowledge_controls

REDRIVE_DAYS = 14
"""Days in which Step Functions can redrive a failed execution."""


class _Protection(TypedDict):
    block_public_access: s3.BlockPublicAccess
    bucket_key_enabled: bool | None
    encryption: s3.BucketEncryption
    encryption_key: kms.IKey | None
    enforce_ssl: bool
    minimum_tls_version: float
    object_ownership: s3.ObjectOwnership


def create_data_bucket(scope: Construct, construct_id: str) -> s3.Bucket:
    """Create a versioned bucket for data and packages, which outlives its stack.

    It sends its events to EventBridge, for crates and uploads.
    """
    bucket = s3.Bucket(
        scope,
        construct_id,
        versioned=True,
        lifecycle_rules=[
            s3.LifecycleRule(abort_incomplete_multipart_upload_after=Duration.days(7))
        ],
        removal_policy=RemovalPolicy.RETAIN,
        **_protection(),
    )
    # `event_bridge_enabled` would deploy a helper function that may change every bucket's
    # notifications; CloudFormation can do it alone.
    resource = bucket.node.default_child
    if isinstance(resource, s3.CfnBucket):
        resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(
                event_bridge_enabled=True
            )
        )
    acknowledge(
        bucket,
        {
            "AwsSolutions-S1": "The account chooses the target of access logs, and the data events "
            "of CloudTrail are more detailed."
        },
    )
    return bucket


def create_scratch_bucket(scope: Construct, construct_id: str, key: kms.IKey | None) -> s3.Bucket:
    """Create a bucket for multipart copies, which are aborted as soon as S3 has hashed them.

    Of these no object ever appears in it, and what a crashed function leaves is gone after a day.
    The files of large jobs stay for as long as an execution can be redriven.

    Args:
        scope: Scope of the bucket.
        construct_id: Id of the bucket.
        key: The key that encrypts it, or None for S3's own.
    """
    bucket = s3.Bucket(
        scope,
        construct_id,
        lifecycle_rules=[
            s3.LifecycleRule(abort_incomplete_multipart_upload_after=Duration.days(1)),
            s3.LifecycleRule(prefix=SCRATCH_PREFIX, expiration=Duration.days(1)),
            s3.LifecycleRule(prefix=JOBS_PREFIX, expiration=Duration.days(REDRIVE_DAYS)),
        ],
        removal_policy=RemovalPolicy.DESTROY,
        **_protection(key),
    )
    no_data = "Nothing of the data appears in it: uploads are aborted once hashed."
    acknowledge(bucket, {"AwsSolutions-S1": no_data})
    acknowledge_controls(
        bucket,
        {
            "S3BucketLoggingEnabled": no_data,
            "S3BucketReplicationEnabled": "Its files belong to running jobs, which are sent "
            "again after a loss.",
            "S3BucketVersioningEnabled": "Its files are written once, and expire.",
        },
    )
    return bucket


def _protection(key: kms.IKey | None = None) -> _Protection:
    return {
        "block_public_access": s3.BlockPublicAccess.BLOCK_ALL,
        # One request to KMS for many objects: the copies of a job are thousands.
        "bucket_key_enabled": True if key else None,
        "encryption": s3.BucketEncryption.KMS if key else s3.BucketEncryption.S3_MANAGED,
        "encryption_key": key,
        "enforce_ssl": True,
        "minimum_tls_version": 1.2,
        "object_ownership": s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
    }
