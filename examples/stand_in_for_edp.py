"""Stand in for Event-Driven Packaging: its events, on a bus that others listen to already.

cdk deploy --app "python examples/stand_in_for_edp.py"
"""

from aws_cdk import App, Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_s3 as s3

from quilt_packager import ObjectUploads, PackagingEngine

app = App()
stack = Stack(app, "StandInForEdp")
plates = s3.Bucket(stack, "Plates", versioned=True, event_bridge_enabled=True, enforce_ssl=True)
PackagingEngine(
    stack,
    "Engine",
    source_buckets=[plates],
    registry_buckets=[plates],
    event_sources=[
        ObjectUploads(
            threshold_event_count=20,
            threshold_duration=Duration.minutes(5),
            prefix_depth=2,
            source="com.quiltdata.edp",
            event_bus=events.EventBus(stack, "EdpBus"),
        )
    ],
)
app.synth()
