"""Package HealthOmics runs that failed too, so that their logs and partial output are kept.

cdk deploy --app "python examples/failed_runs.py"
"""

from aws_cdk import App, Stack
from aws_cdk import aws_s3 as s3

from quilt_packager import HealthOmicsRuns, PackagingEngine

app = App()
stack = Stack(app, "FailedRuns")
runs = s3.Bucket(stack, "Runs", versioned=True, enforce_ssl=True)
PackagingEngine(
    stack,
    "Engine",
    source_buckets=[runs],
    registry_buckets=[runs],
    event_sources=[
        HealthOmicsRuns(),
        # Their metadata say that they failed; their name keeps them apart from good ones.
        HealthOmicsRuns(
            statuses=["FAILED", "CANCELLED"],
            package_name="failed/{run_id}",
            construct_id="FailedRuns",
        ),
    ],
)
app.synth()
