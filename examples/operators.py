"""Alert people when the engine needs their attention, and give them a dashboard.

cdk deploy --app "python examples/operators.py"

The names of the alarms say what to do, and their descriptions which command to run. You can make
more alarms of the engine's metrics, and add widgets to the dashboard.
"""

from aws_cdk import App, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions

from quilt_packager import HealthOmicsRuns, PackagingEngine

app = App()
stack = Stack(app, "Operators")
runs = s3.Bucket(stack, "Runs", versioned=True)
operators = sns.Topic(stack, "Operators", enforce_ssl=True)
operators.add_subscription(subscriptions.EmailSubscription("operators@example.com"))
engine = PackagingEngine(
    stack,
    "Engine",
    source_buckets=[runs],
    registry_buckets=[runs],
    event_sources=[HealthOmicsRuns()],
)
engine.add_alarms(operators, oldest_message_age=Duration.hours(2))

silence = engine.metric_packages_created(period=Duration.days(1)).create_alarm(
    stack,
    "Silence",
    alarm_name="Operators: see whether sequencing has stopped",
    alarm_description="No run was packaged for a day.",
    comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
    threshold=1,
    evaluation_periods=1,
    treat_missing_data=cloudwatch.TreatMissingData.BREACHING,
)
silence.add_alarm_action(actions.SnsAction(operators))

dashboard = engine.add_dashboard()
dashboard.add_widgets(cloudwatch.AlarmWidget(title="Runs a day", alarm=silence, width=24))
app.synth()
