"""Stacks that represent the ways to use the library. Each has a snapshot, and cdk-nag checks it."""

from collections.abc import Callable
from pathlib import Path

from aws_cdk import App, Duration, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk.aws_scheduler import ScheduleExpression

from quilt_packager import (
    Audit,
    CustomEvents,
    HealthOmicsRuns,
    ObjectsReady,
    ObjectUploads,
    PromoteWhen,
    WorkflowRunCrates,
)
from tests.constructs.templates import add_engine, make_flagged_stack

KEY = "arn:aws:kms:us-east-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
RULES = Path(__file__).with_name("custom_rules.json")


def defaults(app: App) -> Stack:
    """The stack of the committed `cdk.json`."""
    return make_flagged_stack(app)


def existing_buckets(app: App) -> Stack:
    """All flags that name existing resources."""
    return make_flagged_stack(
        app,
        source_buckets=("raw", "runs"),
        registry_buckets=("registry",),
        bucket_keys={"raw": KEY},
        omics=False,
        edp="edp-bus",
        uploads='{"buckets": ["raw"], "threshold_event_count": 50, "ignore_prefixes": ["tmp/"]}',
        custom=str(RULES),
        event_bus="lab",
        notifications_topic="arn:aws:sns:us-east-1:123456789012:alarms",
        quarantine_registry="refused",
        catalog_url="https://quilt.example.com",
        alarms_topic="arn:aws:sns:us-east-1:123456789012:operators",
        dashboard=True,
        publish_schema=True,
        audit="rate(7 days)",
        audit_sample="1%",
        architecture="x86_64",
    )


def construct(app: App) -> Stack:
    """An engine in a custom app, with keys everywhere and every event source."""
    stack = Stack(app, "Stack")
    data = s3.Bucket(
        stack,
        "Data",
        encryption_key=kms.Key(stack, "DataKey", enable_key_rotation=True),
        enforce_ssl=True,
        server_access_logs_prefix="logs/",
    )
    engine = add_engine(
        stack,
        source_buckets=[data],
        registry_buckets=[data],
        queue_encryption_key=kms.Key(stack, "QueueKey", enable_key_rotation=True),
        tracing=lambda_.Tracing.ACTIVE,
        audit=Audit(ScheduleExpression.rate(Duration.days(1))),
        lineage=True,
        timeout=Duration.minutes(5),
        engine_name="lab",
        event_sources=[
            HealthOmicsRuns(),
            WorkflowRunCrates(),
            ObjectsReady(events.EventBus(stack, "Bus")),
            ObjectUploads(),
            CustomEvents(events.EventPattern(source=["lab"])),
        ],
    )
    engine.promote_to(
        "production",
        when=PromoteWhen(names=["assays/*"], metadata={"status": ["passed"]}),
        copy_data_to="data/",
    )
    return stack


def regulated(app: App) -> Stack:
    """An engine in an account under NIST 800-53, HIPAA or PCI DSS."""
    stack = Stack(app, "Stack")
    data = s3.Bucket.from_bucket_attributes(
        stack, "Data", bucket_name="data", encryption_key=kms.Key.from_key_arn(stack, "Key", KEY)
    )
    vpc = ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-0123456789abcdef0",
        availability_zones=["us-east-1a", "us-east-1b"],
        private_subnet_ids=["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
    )
    engine = add_engine(
        stack,
        source_buckets=[data],
        registry_buckets=[data],
        vpc=vpc,
        encryption_key=kms.Key(stack, "EngineKey", enable_key_rotation=True),
        reserved_concurrent_executions=10,
        role_name_prefix="lab",
        lineage=True,
        archived="s3_batch",
        event_sources=[HealthOmicsRuns(), WorkflowRunCrates(), ObjectUploads()],
    )
    engine.promote_to("production")
    return stack


PRESETS: dict[str, Callable[[App], Stack]] = {
    preset.__name__: preset for preset in (defaults, existing_buckets, construct, regulated)
}
