"""The dashboard: its widgets and its name."""

import json

import pytest
from aws_cdk import App, Duration, Environment, Stack
from aws_cdk import aws_cloudwatch as cloudwatch

from quilt_packager import ObjectUploads
from tests.constructs.templates import (
    JsonObject,
    add_engine,
    make_stack,
    properties_of,
    template_of,
)

DASHBOARD = "AWS::CloudWatch::Dashboard"


def body_of(stack: Stack) -> str:
    """The dashboard's JSON, with `?` for values that are known after deployment."""
    _, parts = properties_of(template_of(stack), DASHBOARD)["DashboardBody"]["Fn::Join"]
    return "".join(part if isinstance(part, str) else "?" for part in parts)


@pytest.fixture(scope="module")
def body() -> JsonObject:
    stack = make_stack()
    add_engine(stack, event_sources=[ObjectUploads()]).add_dashboard()
    return dict(json.loads(body_of(stack)))


def titles(body: JsonObject) -> list[str]:
    return [each["properties"].get("title", "") for each in body["widgets"]]


def widget(body: JsonObject, title: str) -> str:
    (found,) = (each for each in body["widgets"] if title in each["properties"].get("title", ""))
    return json.dumps(found["properties"])


@pytest.mark.parametrize(
    ("title", "metrics"),
    [
        (
            "Jobs by outcome",
            ["PackagesCreated", "PackagesUnchanged", "PackagesRejected", "PackagesFailed"],
        ),
        ("Seconds", ['"Seconds"', "p50", "p90"]),
        ("Bytes", ['"Bytes"', '"Objects"']),
        ("checksums", ["ChecksumsReused", "ChecksumsStored", "ChecksumsComputed"]),
        ("Waiting", ["jobs waiting", "jobs in flight", "dead letters of jobs"]),
        ("Waiting", ["uploads waiting", "dead letters of uploads"]),
        ("oldest", ["ApproximateAgeOfOldestMessage"]),
        ("Large jobs", ["ExecutionsStarted", "ExecutionsFailed", "ExecutionsAborted"]),
        ("errors", ["Errors", "Throttles", "CoalescerLambda failed"]),
        ("transitions", ["ConsumedCapacity", "StateTransition", "LargeJobs"]),
        ("rejected or failed", ["package rejected", "reason"]),
    ],
)
def test_dashboard_shows_everything(body: JsonObject, title: str, metrics: list[str]) -> None:
    shown = widget(body, title)
    assert [metric for metric in metrics if metric not in shown] == []


@pytest.mark.parametrize(
    ("name", "gibibytes"),
    [("PackagerLambda", "2"), ("ChecksumLambda", "2"), ("CoalescerLambda", "0.5")],
)
def test_compute_is_measured_as_it_is_billed(body: JsonObject, name: str, gibibytes: str) -> None:
    shown = json.loads(widget(body, "GiB-seconds"))["metrics"]
    firsts = (each[0] for each in shown if isinstance(each[0], dict))
    (expression,) = (each for each in firsts if each["label"] == name)
    assert expression["expression"].endswith(f" / 1000 * {gibibytes}")


def test_dashboard_queries_the_log_of_jobs(body: JsonObject) -> None:
    assert "SOURCE '?'" in widget(body, "rejected or failed")


def test_dashboard_is_named_after_the_service_and_the_region() -> None:
    # The dashboards of all regions of an account have one namespace.
    stack = make_stack()
    add_engine(stack, engine_name="lab").add_dashboard()
    assert properties_of(template_of(stack), DASHBOARD)["DashboardName"] == {
        "Fn::Join": ["", ["Stack-lab-", {"Ref": "AWS::Region"}]]
    }


def test_dashboards_of_one_stack_in_two_regions_have_two_names() -> None:
    names = []
    for region in ("eu-west-1", "us-east-1"):
        stack = Stack(App(), "Stack", env=Environment(account="123456789012", region=region))
        add_engine(stack).add_dashboard()
        names.append(properties_of(template_of(stack), DASHBOARD)["DashboardName"])
    assert names == ["Stack-eu-west-1", "Stack-us-east-1"]


def test_name_and_interval_of_the_dashboard_can_be_chosen() -> None:
    stack = make_stack()
    engine = add_engine(stack)
    engine.add_dashboard(dashboard_name="packages", default_interval=Duration.hours(3))
    assert properties_of(template_of(stack), DASHBOARD)["DashboardName"] == "packages"
    assert json.loads(body_of(stack))["start"] == "-PT3H"


def test_dashboard_shows_parts_that_are_added_later() -> None:
    stack = make_stack()
    engine = add_engine(stack)
    engine.add_dashboard()
    engine.add_event_source(ObjectUploads())
    assert "uploads waiting" in body_of(stack)


def test_users_can_add_widgets_to_the_dashboard() -> None:
    stack = make_stack()
    dashboard = add_engine(stack).add_dashboard()
    dashboard.add_widgets(cloudwatch.TextWidget(markdown="ours"))
    assert "ours" in body_of(stack)


def test_dashboard_has_room_for_two_uploads() -> None:
    stack = make_stack()
    more = ObjectUploads(construct_id="Plate-7", source="lab.plates")
    add_engine(stack, event_sources=[ObjectUploads(), more]).add_dashboard()
    assert "Plate-7 waiting" in body_of(stack)
