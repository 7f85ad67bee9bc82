"""The state machine of large jobs, its functions, and their permissions."""

import json
from typing import Any

import msgspec
import pytest
from aws_cdk import Size
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from quilt_packager_runtime import errors
from quilt_packager_runtime.handlers import checksum, large_job
from quilt_packager_runtime.large_jobs.shards import JobFiles
from quilt_packager_runtime.settings import Settings

from tests.constructs.templates import (
    JsonObject,
    add_engine,
    find,
    make_stack,
    permissions_of,
    properties_of,
    template_of,
)


@pytest.fixture(scope="module")
def template() -> JsonObject:
    stack = make_stack()
    add_engine(stack)
    return template_of(stack)


@pytest.fixture(scope="module")
def states(template: JsonObject) -> JsonObject:
    states: JsonObject = definition_of(template)["States"]
    return states


def definition_of(template: JsonObject) -> Any:
    """The machine's definition, with `<id>` for values that CloudFormation inserts."""
    joined = properties_of(template, "AWS::StepFunctions::StateMachine")["DefinitionString"]
    parts = joined["Fn::Join"][1]
    return json.loads("".join(each if isinstance(each, str) else reference(each) for each in parts))


def reference(value: JsonObject) -> str:
    ((_, target),) = value.items()
    return f"<{target if isinstance(target, str) else target[0]}>"


def variables_of(template: JsonObject, function: str) -> JsonObject:
    function_properties = properties_of(template, "AWS::Lambda::Function", like=function)
    variables: JsonObject = function_properties["Environment"]["Variables"]
    return variables


def test_handlers_of_functions_exist(template: JsonObject) -> None:
    for module, function in ((checksum, "ChecksumFunction"), (large_job, "LargeJobFunction")):
        created = properties_of(template, "AWS::Lambda::Function", like=function)
        assert created["Handler"] == f"{module.__name__}.{module.handler.__name__}"


def test_checksum_log_is_where_the_docs_say(template: JsonObject) -> None:
    log = properties_of(template, "AWS::Logs::LogGroup", like="ChecksumLog")
    assert log["LogGroupName"] == "/quilt/Stack/ChecksumLambda"


def test_outcomes_of_large_jobs_are_in_the_log_of_jobs(template: JsonObject) -> None:
    loggings = [
        properties_of(template, "AWS::Lambda::Function", like=function)["LoggingConfig"]
        for function in ("PackagerFunction", "LargeJobFunction")
    ]
    assert loggings[0] == loggings[1]


def test_workers_cannot_start_large_jobs(template: JsonObject) -> None:
    for function in ("ChecksumFunction", "LargeJobFunction"):
        assert "QUILT_PACKAGER_STATE_MACHINE_ARN" not in variables_of(template, function)
        assert "StartLargeJobs" not in permissions_of(template, function)


def test_limits_reach_the_functions() -> None:
    stack = make_stack()
    add_engine(
        stack,
        max_inline_objects=7,
        max_inline_size=Size.mebibytes(3),
        max_shard_objects=5,
        max_shard_size=Size.mebibytes(2),
    )
    for function in ("PackagerFunction", "ChecksumFunction", "LargeJobFunction"):
        variables = variables_of(template_of(stack), function)
        literals = {name: text for name, text in variables.items() if isinstance(text, str)}
        settings = Settings.from_environment(literals)
        assert settings.max_inline_objects == 7
        assert settings.max_inline_bytes == 3 * 1024**2
        assert settings.max_shard_objects == 5
        assert settings.max_shard_bytes == 2 * 1024**2


def test_objects_of_other_regions_are_copied_to_scratch_buckets_there() -> None:
    stack = make_stack()
    far = s3.Bucket.from_bucket_attributes(
        stack, "Far", bucket_name="far-scratch", region="eu-west-1"
    )
    add_engine(stack, scratch_buckets={"eu-west-1": far})
    template = template_of(stack)
    for function in ("PackagerFunction", "ChecksumFunction", "LargeJobFunction"):
        variables = variables_of(template, function)
        assert variables["QUILT_PACKAGER_SCRATCH_BUCKETS"] == "eu-west-1=far-scratch"
        allowed = permissions_of(template, function)["HashInScratch"]["Resource"]
        assert ":s3:::far-scratch/hash/*" in str(allowed)


def test_map_reads_the_items_of_the_job(states: JsonObject) -> None:
    reader = states["HashShards"]["ItemReader"]
    assert reader["ReaderConfig"] == {"InputType": "JSONL"}
    assert "Scratch" in reader["Parameters"]["Bucket"]
    path = reader["Parameters"]["Key.$"].removeprefix("$.")
    assert path in JobFiles("scratch", "id").to_input()


def test_map_uses_only_features_that_emulators_support(states: JsonObject) -> None:
    assert not {"ItemBatcher", "ResultWriter"} & set(states["HashShards"])


def test_workers_may_run_as_long_as_their_function(states: JsonObject) -> None:
    assert states["HashShards"]["ItemProcessor"]["ProcessorConfig"]["ExecutionType"] == "STANDARD"


def test_checksum_concurrency_reaches_the_map() -> None:
    stack = make_stack()
    add_engine(stack, checksum_concurrency=3)
    assert definition_of(template_of(stack))["States"]["HashShards"]["MaxConcurrency"] == 3


def test_steps_do_not_retry_rejected_jobs(states: JsonObject) -> None:
    for task in (hash_shard_of(states), states["Publish"]):
        rejected, *_ = task["Retry"]
        assert rejected["MaxAttempts"] == 0
        for code in rejected["ErrorEquals"]:
            assert issubclass(getattr(errors, code), errors.Rejected)
        assert {"AccessDenied", "ArchivedObjects", "EmptySource"} <= set(rejected["ErrorEquals"])


def test_steps_retry_transient_failures(states: JsonObject) -> None:
    for task in tasks(states):
        assert task["Retry"][-1]["ErrorEquals"] == ["States.ALL"]
        assert task["Retry"][-1]["MaxAttempts"] > 1


def test_steps_retry_unavailable_services_for_an_hour(states: JsonObject) -> None:
    for task in (hash_shard_of(states), states["Publish"]):
        for code in (
            "ServiceUnavailable",
            "AwsError",
            "NotificationFailed",
            "Lambda.ServiceException",
        ):
            retry = retry_of(task, code)
            assert 30 * 60 < longest_wait_seconds(retry) < 2 * 3600
        assert retry_of(task, "InternalError")["MaxAttempts"] == 5


def test_failing_a_job_is_retried_for_hours(states: JsonObject) -> None:
    for code in (
        "AwsError",
        "NotificationFailed",
        "AccessDenied",
        "InternalError",
        "Lambda.TooManyRequestsException",
    ):
        retry = retry_of(states["GiveUp"], code)
        assert retry["MaxDelaySeconds"] == 300
        assert longest_wait_seconds(retry) > 4 * 3600


def test_failing_a_job_knows_its_last_retry(states: JsonObject) -> None:
    asked = states["GiveUp"]["Parameters"]
    assert asked["retry.$"] == "$$.State.RetryCount"
    assert asked["max_retries"] == states["GiveUp"]["Retry"][-1]["MaxAttempts"]


def test_failed_steps_keep_the_message(states: JsonObject) -> None:
    for step in ("HashShards", "Publish"):
        (catch,) = states[step]["Catch"]
        assert catch == {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "GiveUp"}
    assert states["GiveUp"]["Next"] == "Failed"
    assert states["Failed"]["Type"] == "Fail"


def test_role_of_the_machine_has_exactly_these_permissions(template: JsonObject) -> None:
    permissions = permissions_of(template, "LargeJobsPolicy")
    actions = {sid: statement["Action"] for sid, statement in permissions.items()}
    assert actions == {
        "InvokeFunctions": "lambda:InvokeFunction",
        "ReadItems": "s3:GetObject",
        "StartItems": "states:StartExecution",
        "WatchItems": ["states:DescribeExecution", "states:StopExecution"],
        "RedriveItems": "states:RedriveExecution",
    }
    (machine,) = find(template, "AWS::StepFunctions::StateMachine")
    assert permissions["StartItems"]["Resource"] == {"Ref": machine}
    (bucket,) = find(template, "AWS::S3::Bucket", like="Scratch")
    assert permissions["ReadItems"]["Resource"] == {
        "Fn::Join": ["", [{"Fn::GetAtt": [bucket, "Arn"]}, "/jobs/*/items.jsonl"]]
    }
    assert all(statement["Resource"] != "*" for statement in permissions.values())


def test_role_of_the_machine_has_one_policy(template: JsonObject) -> None:
    (role,) = find(template, "AWS::IAM::Role", like="LargeJobsRole")
    holders = [
        logical_id
        for logical_id, policy in find(template, "AWS::IAM::Policy").items()
        if {"Ref": role} in policy["Properties"]["Roles"]
    ]
    (only,) = holders
    assert "LargeJobsPolicy" in only


def test_job_files_are_only_in_the_scratch_bucket(template: JsonObject) -> None:
    for function in ("PackagerFunction", "ChecksumFunction", "LargeJobFunction"):
        statement = permissions_of(template, function)["AccessJobFiles"]
        assert statement["Action"] == ["s3:GetObject", "s3:PutObject"]
        assert "/jobs/*" in str(statement["Resource"])
        assert "aws:ResourceAccount" in str(statement["Condition"])


def test_workers_cannot_write_registries_or_queues(template: JsonObject) -> None:
    assert set(permissions_of(template, "ChecksumFunction")) == {
        "['logs:CreateLogStream', 'logs:PutLogEvents']",
        "ListSources",
        "ReadSources",
        "HashInScratch",
        "ListJobs",
        "AccessJobFiles",
        "NeverDeleteOrReconfigure",
        "NeverWriteWorkflows",
    }


def test_failed_jobs_can_be_sent_to_an_encrypted_queue() -> None:
    stack = make_stack()
    add_engine(stack, queue_encryption_key=kms.Key(stack, "Key"))
    permissions = permissions_of(template_of(stack), "LargeJobFunction")
    assert permissions["SendDeadLetters"]["Action"] == "sqs:SendMessage"
    assert "UseQueueKey" in permissions
    assert "ConsumeQueue" not in permissions


def test_tracing_includes_the_machine() -> None:
    stack = make_stack()
    add_engine(stack, tracing=lambda_.Tracing.ACTIVE)
    template = template_of(stack)
    machine = properties_of(template, "AWS::StepFunctions::StateMachine")
    assert machine["TracingConfiguration"] == {"Enabled": True}
    assert "Trace" in permissions_of(template, "LargeJobsPolicy")


def test_metrics_are_those_of_the_machine() -> None:
    engine = add_engine(make_stack())
    failed, took = engine.metric_large_jobs_failed(), engine.metric_large_jobs_time()
    assert failed.metric_name == "ExecutionsFailed"
    assert took.metric_name == "ExecutionTime"
    arn = engine.state_machine.state_machine_arn
    assert failed.dimensions == took.dimensions == {"StateMachineArn": arn}


def tasks(states: JsonObject) -> list[JsonObject]:
    return [
        hash_shard_of(states),
        states["Publish"],
        states["GiveUp"],
    ]


def hash_shard_of(states: JsonObject) -> JsonObject:
    task: JsonObject = states["HashShards"]["ItemProcessor"]["States"]["HashShard"]
    return task


def retry_of(task: JsonObject, code: str) -> JsonObject:
    """The retrier that Step Functions takes for an error: the first that names it, or any."""
    retry: JsonObject = next(
        each for each in task["Retry"] if {code, "States.ALL"} & set(each["ErrorEquals"])
    )
    return retry


def longest_wait_seconds(retry: JsonObject) -> float:
    seconds = 0.0
    for attempt in range(retry["MaxAttempts"]):
        pause = retry["IntervalSeconds"] * retry["BackoffRate"] ** attempt
        seconds += min(pause, retry["MaxDelaySeconds"])
    return seconds


def test_stopped_jobs_are_reported(
    template: JsonObject,
) -> None:
    (machine,) = find(template, "AWS::StepFunctions::StateMachine")
    rule = properties_of(template, "AWS::Events::Rule", like="EndedLargeJobs")
    assert rule["EventPattern"] == {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {
            # The shards' executions have ARNs of machines of their own.
            "stateMachineArn": [{"Ref": machine}],
            "$or": [
                {"status": ["ABORTED", "TIMED_OUT"]},
                # No state can catch these; executions that GiveUp fails have a code of ours.
                {"status": ["FAILED"], "error": [{"prefix": "States."}]},
            ],
        },
    }


def test_function_reads_events_of_ended_jobs(template: JsonObject) -> None:
    rule = properties_of(template, "AWS::Events::Rule", like="EndedLargeJobs")
    (target,) = rule["Targets"]
    (function,) = find(template, "AWS::Lambda::Function", like="LargeJobFunction")
    assert target["Arn"] == {"Fn::GetAtt": [function, "Arn"]}
    transformer = target["InputTransformer"]
    text = transformer["InputTemplate"]
    for name, path in transformer["InputPathsMap"].items():
        value = {"$.detail.name": "0f", "$.detail.status": "ABORTED"}[path]
        text = text.replace(f"<{name}>", json.dumps(value))
    step = msgspec.json.decode(text, type=large_job.Step)
    assert (step.job_id, step.round) == ("0f", 0)
    # Lambda invokes it but twice more.
    assert step.keep_trying
    assert step.error is not None
    assert step.error.error == "ABORTED"
    assert "stopped" in step.error.cause


def test_only_the_rule_of_ended_jobs_may_fail_jobs(template: JsonObject) -> None:
    (rule,) = find(template, "AWS::Events::Rule", like="EndedLargeJobs")
    permission = properties_of(template, "AWS::Lambda::Permission")
    assert permission["Principal"] == "events.amazonaws.com"
    assert permission["SourceArn"] == {"Fn::GetAtt": [rule, "Arn"]}


def machines_in(definition: Any) -> list[Any]:
    """The definition, and those of its maps."""
    maps = [each["ItemProcessor"] for each in definition["States"].values() if "Label" in each]
    return [definition, *(found for each in maps for found in machines_in(each))]


def next_states(state: JsonObject) -> set[str]:
    branches = [state, *state.get("Catch", ()), *state.get("Choices", ())]
    named = {each.get("Next") for each in branches} | {state.get("Default")}
    return {name for name in named if name is not None}


def test_every_state_is_reached_and_every_transition_leads_to_a_state(
    template: JsonObject,
) -> None:
    machines = machines_in(definition_of(template))
    assert len(machines) == 2
    for machine in machines:
        states = machine["States"]
        reached = {machine["StartAt"]}
        for state in states.values():
            reached |= next_states(state)
            is_end = state.get("End") or state["Type"] in {"Fail", "Succeed"}
            assert bool(next_states(state)) is not bool(is_end)
        assert reached == set(states)
