"""Notify people: failures by mail, and new packages of one registry in a chat.

cdk deploy --app "python examples/notices.py"

A chat receives the topic `New` through Amazon Q Developer in chat applications, or through any
HTTPS subscription. The input below is the JSON that the former understands; names of packages,
hashes and URLs need no escaping, so its texts may contain them.
"""

from aws_cdk import App, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions

from quilt_packager import PackagingEngine, WorkflowRunCrates

app = App()
stack = Stack(app, "Notices")
data = s3.Bucket(stack, "Data", versioned=True, event_bridge_enabled=True, enforce_ssl=True)
failures = sns.Topic(stack, "Failures", enforce_ssl=True)
failures.add_subscription(subscriptions.EmailSubscription("lab@example.com"))
engine = PackagingEngine(
    stack,
    "Engine",
    source_buckets=[data],
    registry_buckets=[data],
    event_sources=[WorkflowRunCrates()],
    notifications_topic=failures,
    catalog_url="https://catalog.example.com",
)

detail = events.EventField.from_path
text = f"{detail('$.detail.package_name')} is at {detail('$.detail.links.catalog')}"
created = engine.on_package_created(
    "Created",
    target=targets.SnsTopic(
        sns.Topic(stack, "New", enforce_ssl=True),
        message=events.RuleTargetInput.from_object(
            {
                "version": "1.0",
                "source": "custom",
                "content": {"title": "A new package", "description": text},
            }
        ),
    ),
)
created.add_event_pattern(detail={"registry": [data.bucket_name]})
app.synth()
