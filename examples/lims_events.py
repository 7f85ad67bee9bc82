"""Package a folder when the laboratory's own system says that its experiment is complete.

cdk deploy --app "python examples/lims_events.py"

The system puts events like this one on a bus of its own:
{
  "source": "lims", "detail-type": "experiment complete",
  "detail": {"folder": "s3://…/", "id": "E7"}
}
"""

from aws_cdk import App, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_s3 as s3

from quilt_packager import CustomEvents, PackagingEngine

app = App()
stack = Stack(app, "Lims")
bus = events.EventBus(stack, "LimsBus")
data = s3.Bucket(stack, "Data", versioned=True, enforce_ssl=True)
PackagingEngine(
    stack,
    "Engine",
    source_buckets=[data],
    registry_buckets=[data],
    event_sources=[
        CustomEvents(
            events.EventPattern(source=["lims"], detail_type=["experiment complete"]),
            event_bus=bus,
            # Each is a whole value, which EventBridge quotes and escapes.
            message=events.RuleTargetInput.from_object(
                {
                    "source_prefix": events.EventField.from_path("$.detail.folder"),
                    "metadata": {"experiment": events.EventField.from_path("$.detail.id")},
                }
            ),
        )
    ],
)
app.synth()
