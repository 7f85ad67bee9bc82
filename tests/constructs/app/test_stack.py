"""The stack made of context flags: its buckets, rules, outputs and names."""

import json
from pathlib import Path

import pytest
from aws_cdk import App

from quilt_packager import ContextError, ContextFlags, LimitExceeded, PackagingEngineStack
from tests.constructs.templates import (
    JsonObject,
    arn,
    assert_protected,
    find,
    make_flagged_stack,
    permissions_of,
    placeholder_code,
    properties_of,
    rules_of,
    template_of,
)

KEY = "arn:aws:kms:us-east-1:123456789012:key/01234567"


@pytest.fixture(scope="module")
def template() -> JsonObject:
    return template_of(make_flagged_stack())


def rule(template: JsonObject, name: str) -> JsonObject:
    return properties_of(template, "AWS::Events::Rule", like=name)


def environment(template: JsonObject) -> JsonObject:
    variables: JsonObject = properties_of(template, "AWS::Lambda::Function", like="Packager")[
        "Environment"
    ]
    return variables["Variables"]  # type: ignore[no-any-return]


def test_stack_has_exactly_these_outputs(template: JsonObject) -> None:
    assert {name: output["Value"] for name, output in template["Outputs"].items()} == {
        "PackagerQueueArn": {"Fn::GetAtt": ["PackagerQueue", "Arn"]},
        "PackagerQueueUrl": {"Ref": "PackagerQueue"},
        "PackagerDeadLetterQueueUrl": {"Ref": "PackagerDeadLetterQueue"},
        "DataAccessRoleArns": {
            "Fn::Join": [
                ",",
                [
                    {"Fn::GetAtt": [role, "Arn"]}
                    for name in ("PackagerFunction", "ChecksumFunction", "LargeJobFunction")
                    for role in find(template, "AWS::IAM::Role", like=name)
                ],
            ]
        },
    }


def test_logical_id_of_the_queue_is_the_documented_one(template: JsonObject) -> None:
    # CloudFormation makes the name of the stack's, the logical id, and a random part.
    assert "PackagerQueue" in find(template, "AWS::SQS::Queue")
    assert "QueueName" not in template["Resources"]["PackagerQueue"]["Properties"]


def test_stack_name_is_that_of_the_flag() -> None:
    assert make_flagged_stack().stack_name == "quilt-packager"
    stack = make_flagged_stack(stack_name="lab-packages")
    assert stack.stack_name == "lab-packages"
    log_group = properties_of(template_of(stack), "AWS::Logs::LogGroup", like="PackagerLog")
    assert log_group["LogGroupName"] == "/quilt/lab-packages/PackagerLambda"


def test_own_bucket_is_source_and_registry(template: JsonObject) -> None:
    (own,) = find(template, "AWS::S3::Bucket", like="Bucket8")
    assert environment(template)["QUILT_PACKAGER_SOURCE_BUCKETS"] == {"Ref": own}
    assert environment(template)["QUILT_PACKAGER_REGISTRY_BUCKETS"] == {"Ref": own}


def test_own_bucket_is_versioned_and_sends_events(template: JsonObject) -> None:
    bucket = properties_of(template, "AWS::S3::Bucket", like="Bucket8")
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["NotificationConfiguration"] == {
        "EventBridgeConfiguration": {"EventBridgeEnabled": True}
    }


def test_own_bucket_outlives_the_stack(template: JsonObject) -> None:
    (bucket,) = find(template, "AWS::S3::Bucket", like="Bucket8").values()
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"


def test_own_bucket_is_protected(template: JsonObject) -> None:
    assert_protected(template, *find(template, "AWS::S3::Bucket", like="Bucket8"))


def test_own_bucket_needs_no_helper_functions(template: JsonObject) -> None:
    assert len(find(template, "AWS::Lambda::Function")) == 3


def test_stack_with_existing_buckets_creates_none() -> None:
    stack = make_flagged_stack(source_buckets=("raw", "runs"), registry_buckets=("reg",))
    template = template_of(stack)
    assert stack.bucket is None
    assert environment(template)["QUILT_PACKAGER_SOURCE_BUCKETS"] == "raw,runs"
    assert environment(template)["QUILT_PACKAGER_REGISTRY_BUCKETS"] == "reg"
    assert list(find(template, "AWS::S3::Bucket")) == list(
        find(template, "AWS::S3::Bucket", like="Scratch")
    )


def test_existing_sources_are_the_default_registries() -> None:
    template = template_of(make_flagged_stack(source_buckets=("raw",)))
    assert environment(template)["QUILT_PACKAGER_REGISTRY_BUCKETS"] == "raw"


def test_packages_of_the_own_bucket_go_to_existing_registries() -> None:
    template = template_of(make_flagged_stack(registry_buckets=("reg",)))
    (own,) = find(template, "AWS::S3::Bucket", like="Bucket8")
    assert environment(template)["QUILT_PACKAGER_SOURCE_BUCKETS"] == {"Ref": own}
    assert environment(template)["QUILT_PACKAGER_REGISTRY_BUCKETS"] == "reg"
    assert environment(template)["QUILT_PACKAGER_DEFAULT_REGISTRY"] == "reg"


def test_function_may_use_bucket_keys() -> None:
    template = template_of(make_flagged_stack(source_buckets=("raw",), bucket_keys={"raw": KEY}))
    assert permissions_of(template)["DecryptSources"]["Resource"] == KEY
    assert permissions_of(template)["EncryptRegistries"]["Resource"] == KEY


def test_function_may_use_keys_of_scratch_and_quarantine() -> None:
    far = "arn:aws:kms:eu-west-1:123456789012:key/89ab"
    template = template_of(
        make_flagged_stack(
            source_buckets=("raw",),
            scratch_buckets={"eu-west-1": "far-scratch"},
            quarantine_registry="refused",
            bucket_keys={"far-scratch": far, "refused": KEY},
        )
    )
    permissions = permissions_of(template)
    assert permissions["EncryptScratch"]["Resource"] == far
    assert permissions["EncryptRegistries"]["Resource"] == KEY


@pytest.mark.parametrize("function", ["PackagerFunction", "LargeJobFunction"])
def test_functions_may_use_the_key_of_notifications(function: str) -> None:
    template = template_of(
        make_flagged_stack(
            notifications_topic="arn:aws:sns:us-east-1:123456789012:failures",
            notifications_topic_key=KEY,
        )
    )
    statement = permissions_of(template, function)["UseTopicKey"]
    assert statement["Resource"] == KEY


def test_bucket_in_both_roles_is_imported_once() -> None:
    stack = make_flagged_stack(source_buckets=("raw",), registry_buckets=("raw",))
    assert permissions_of(template_of(stack))["ListSources"]["Resource"] == arn("raw")


def test_default_flags_make_these_rules(template: JsonObject) -> None:
    rules = {
        each["Properties"]["Description"]: each["Properties"]["State"]
        for each in rules_of(template).values()
    }
    assert rules == {
        "HealthOmics runs that are COMPLETED": "ENABLED",
        "Workflow Run RO-Crates that are written": "ENABLED",
    }


def test_omics_false_disables_the_rule() -> None:
    template = template_of(make_flagged_stack(omics=False))
    assert rule(template, "HealthOmicsRuns")["State"] == "DISABLED"


def test_wrroc_false_disables_the_rule() -> None:
    template = template_of(make_flagged_stack(wrroc=False))
    assert rule(template, "WorkflowRunCrates")["State"] == "DISABLED"


def test_omics_statuses_reach_the_rule() -> None:
    template = template_of(make_flagged_stack(omics_statuses=("FAILED",)))
    assert rule(template, "HealthOmicsRuns")["EventPattern"]["detail"] == {"status": ["FAILED"]}


def test_rule_of_edp_is_on_its_bus() -> None:
    template = template_of(make_flagged_stack(edp="edp-bus"))
    assert rule(template, "ObjectsReady")["EventBusName"] == "edp-bus"


def test_source_options_reach_the_function(tmp_path: Path) -> None:
    path = tmp_path / "options.json"
    path.write_text(
        json.dumps(
            {
                "omics": {"package_name": "{workflow_name}/{run_id}", "parameters": True},
                "wrroc": {
                    "metadata": "none",
                    "allow_bucket_root": True,
                    "exclude": ["work/**"],
                    "verify_checksums": False,
                },
                "edp": {"include_prefixes": ["runs/*"], "require": [{"files": ["*.ok"]}]},
                "uploads": {"package_name": "plates/{folder}"},
            }
        ),
        "utf-8",
    )
    template = template_of(
        make_flagged_stack(
            source_buckets=("raw",), edp="edp-bus", uploads="true", source_options=str(path)
        )
    )
    assert json.loads(environment(template)["QUILT_PACKAGER_SOURCES"]) == [
        {
            "kind": "health_omics",
            "only": ["COMPLETED"],
            "parameters": True,
            "package_name": "{workflow_name}/{run_id}",
        },
        {
            "kind": "workflow_run_crate",
            "only": ["raw"],
            "metadata": False,
            "allow_bucket_root": True,
            "exclude": ["work/**"],
            "verify_checksums": False,
        },
        {"kind": "objects_ready", "include_prefixes": ["runs/*"], "require": [{"files": ["*.ok"]}]},
        {
            "kind": "objects_ready",
            "sender": "quilt.packager.uploads",
            "package_name": "plates/{folder}",
        },
    ]
    keys = rule(template, "WorkflowRunCrates")["EventPattern"]["detail"]["object"]["key"]
    assert "ro-crate-metadata.json" in keys


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("edp", "options of edp, but quilt:edp names no event bus"),
        ("uploads", "options of uploads, but quilt:uploads is not on"),
    ],
)
def test_options_of_absent_sources_are_refused(source: str, reason: str) -> None:
    with pytest.raises(ContextError, match=reason):
        ContextFlags.from_context({"quilt:source_options": {source: {"settle_seconds": 1}}})


def test_files_of_flags_are_read_once(tmp_path: Path) -> None:
    contents = {
        "custom": [{"id": "Sequencer", "pattern": {"source": ["lab.sequencer"]}}],
        "source_options": {"omics": {"settle_seconds": 60}},
        "uploads": {"prefix_depth": 3},
    }
    context = {"quilt:source_buckets": "raw"}
    for name, content in contents.items():
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(content), "utf-8")
        context[f"quilt:{name}"] = str(path)
    flags = ContextFlags.from_context(context)
    for path in tmp_path.iterdir():
        path.write_text("changed since it was validated", "utf-8")
    template = template_of(
        PackagingEngineStack(App(), "Stack", flags=flags, code=placeholder_code())
    )
    assert rule(template, "Sequencer")["EventPattern"] == {"source": ["lab.sequencer"]}
    assert '"settle_seconds":60' in environment(template)["QUILT_PACKAGER_SOURCES"]
    function = properties_of(template, "AWS::Lambda::Function", like="Coalescer")
    assert 'prefix_depth\\":3' in json.dumps(function["Environment"])


def test_custom_file_makes_rules(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    rules: list[JsonObject] = [
        {
            "id": "Sequencer",
            "pattern": {"source": ["lab.sequencer"], "detail-type": ["run done"]},
            "message": {
                "source_prefix": "s3://raw/<$.detail.folder>/",
                "metadata": {"run": "<$.detail.run>", "tags": ["a", "<$.id>"], "lane": 1},
            },
            "event_bus": "lab",
            "enabled": False,
        },
        {"id": "Whole", "pattern": {"source": ["aws.omics"]}},
    ]
    path.write_text(json.dumps(rules), "utf-8")
    template = template_of(make_flagged_stack(custom=str(path)))
    sequencer, whole = rule(template, "Sequencer"), rule(template, "Whole")
    assert sequencer["EventPattern"] == rules[0]["pattern"]
    assert sequencer["EventBusName"] == "lab"
    assert sequencer["State"] == "DISABLED"
    assert sequencer["Targets"][0]["InputTransformer"]["InputTemplate"] == (
        '{"source_prefix":"s3://raw/<detail-folder>/",'
        '"metadata":{"run":<detail-run>,"tags":["a",<id>],"lane":1}}'
    )
    assert "InputTransformer" not in whole["Targets"][0]


def test_custom_rules_may_have_names_of_other_constructs(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rules.json"
    names = ["HealthOmicsRuns", "PackagerFunction", "ObjectUploads", "Edp", "Outcomes", "Bucket"]
    rules = [
        {"id": name, "pattern": {"source": ["lab"]}, "event_bus": f"bus-of-{name}"}
        for name in names
    ]
    path.write_text(json.dumps(rules), "utf-8")
    template = template_of(
        make_flagged_stack(edp="edp-bus", event_bus="lab", uploads="true", custom=str(path))
    )
    found = {
        each["Metadata"]["quilt:source"]["name"]: each["Properties"]["EventBusName"]
        for each in rules_of(template).values()
        if each.get("Metadata", {}).get("quilt:source", {}).get("kind") == "custom"
    }
    assert found == {name: f"bus-of-{name}" for name in names}


def test_refusals_of_the_engine_are_reported_with_all_flags() -> None:
    # Made in Python, flags are not checked one by one.
    with pytest.raises(ContextError, match="max_concurrency is 1: ") as refused:
        make_flagged_stack(max_concurrency=1)
    assert "\n  quilt:max_concurrency: " in str(refused.value)


def test_exceeded_limits_are_not_reported_as_invalid_flags() -> None:
    names = tuple(f"{number:03}-{'x' * 59}" for number in range(40))
    with pytest.raises(LimitExceeded):
        make_flagged_stack(source_buckets=names)


def test_flags_reach_the_engine() -> None:
    template = template_of(
        make_flagged_stack(
            memory_size=1024,
            timeout=120,
            ephemeral_storage_size=512,
            max_concurrency=2,
            architecture="x86_64",
        )
    )
    function = properties_of(template, "AWS::Lambda::Function", like="Packager")
    assert function["MemorySize"] == 1024
    assert function["Timeout"] == 120
    assert function["EphemeralStorage"] == {"Size": 512}
    assert function["Architectures"] == ["x86_64"]
    mapping = properties_of(template, "AWS::Lambda::EventSourceMapping")
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 2}


def test_stack_reads_flags_from_the_context() -> None:
    app = App(context={"quilt:omics": "false"})
    template = template_of(PackagingEngineStack(app, "Stack", code=placeholder_code()))
    assert rule(template, "HealthOmicsRuns")["State"] == "DISABLED"


def test_invalid_flags_in_the_context_make_no_stack() -> None:
    app = App(context={"quilt:omics": "maybe", "@aws-cdk/core:enablePartitionLiterals": True})
    with pytest.raises(ContextError, match="quilt:omics"):
        PackagingEngineStack(app, "Stack", code=placeholder_code())


def test_stack_options_reach_the_stack() -> None:
    app = App()
    stack = PackagingEngineStack(
        app, "Stack", code=placeholder_code(), description="Packages", termination_protection=True
    )
    assert stack.termination_protection
    assert template_of(stack)["Description"] == "Packages"


def test_alarms_and_dashboard_are_off_by_default(template: JsonObject) -> None:
    assert not find(template, "AWS::CloudWatch::Alarm")
    assert not find(template, "AWS::CloudWatch::Dashboard")


def test_alarms_notify_the_topic_of_the_flag() -> None:
    topic = "arn:aws:sns:us-east-1:123456789012:operators"
    template = template_of(make_flagged_stack(alarms_topic=topic))
    alarms = [each["Properties"] for each in find(template, "AWS::CloudWatch::Alarm").values()]
    assert alarms
    assert all(each["AlarmActions"] == [topic] for each in alarms)


def test_flag_creates_a_dashboard() -> None:
    template = template_of(make_flagged_stack(dashboard=True))
    dashboard = properties_of(template, "AWS::CloudWatch::Dashboard")
    assert dashboard["DashboardName"] == {
        "Fn::Join": ["", ["quilt-packager-", {"Ref": "AWS::Region"}]]
    }
