"""Checks of an engine in the embedded AWS that is broken on purpose, one part at a time."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from quilt_packager.operations.checks.behaviours import Behaviour
from quilt_packager.operations.checks.buckets import check_bucket
from quilt_packager.operations.checks.check import Check, check, run
from quilt_packager.operations.checks.finding import NOT_AWS, Finding, Status, judge, ok
from quilt_packager.operations.checks.inspection import Function, Inspection
from quilt_packager.operations.checks.outcomes import check_outcome_bus
from quilt_packager.operations.deployment.deployments import Deployment
from quilt_packager.operations.sources.sources import find_source, set_enabled

Problems = list[tuple[Status, str]]


def problems(deployment: Deployment) -> list[Finding]:
    """The findings that a healthy engine does not have."""
    return [
        each
        for each in check(deployment)
        if each.status in {Status.WRONG, Status.NOTICE}
        # The embedded AWS returns no checksum of a copied part.
        and Behaviour.S3_PART_CHECKSUMS not in each.behaviours
    ]


def only_problem(deployment: Deployment) -> Finding:
    (found,) = problems(deployment)
    return found


def function(deployment: Deployment, handler: str = "packager") -> Function:
    return next(each for each in Inspection(deployment).functions if each.handler == handler)


def data_bucket(deployment: Deployment) -> str:
    return Inspection(deployment).source_buckets[0]


def key_of(deployment: Deployment) -> str:
    return next(
        key
        for each in Inspection(deployment).queues.values()
        if (key := each.attributes.get("KmsMasterKeyId"))
    )


def test_a_healthy_engine_has_no_problem(engine: Deployment) -> None:
    assert problems(engine) == []


def test_leaves_nothing_behind(engine: Deployment) -> None:
    check(engine)
    assert engine.scratch_bucket is not None
    listed = engine.s3.list_object_versions(Bucket=engine.scratch_bucket)
    uploads = engine.s3.list_multipart_uploads(Bucket=engine.scratch_bucket)
    assert (listed.get("Versions", []), uploads.get("Uploads", [])) == ([], [])


def test_only_aws_confirms_the_behaviours_of_aws(engine: Deployment) -> None:
    found = check(engine)
    confirmed = {id_ for each in found if each.status is Status.OK for id_ in each.behaviours}
    assert not {Behaviour.EVENTS_QUEUE_POLICY, Behaviour.IAM_ROLE, Behaviour.KMS_STATE} & confirmed
    doubted = [each for each in found if each.text.endswith(NOT_AWS)]
    assert {each.status for each in doubted} == {Status.UNCONFIRMED}
    (finding,) = judge([ok("raw", "Right.", Behaviour.IAM_ROLE)], on_aws=True)
    assert finding.status is Status.OK


def test_a_deleted_bucket_is_wrong(engine: Deployment) -> None:
    bucket = data_bucket(engine)
    engine.s3.delete_bucket(Bucket=bucket)
    found = only_problem(engine)
    assert (found.status, found.subject) == (Status.WRONG, bucket)
    assert found.text == "The bucket does not exist."
    assert "Create it" in found.remedy


def test_a_bucket_without_events_is_wrong(engine: Deployment) -> None:
    bucket = data_bucket(engine)
    engine.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    found = only_problem(engine)
    assert (found.status, found.behaviours) == (Status.WRONG, (Behaviour.S3_EVENTS,))
    assert found.remedy == (
        f"aws s3api put-bucket-notification-configuration --bucket {bucket} "
        "--notification-configuration '{\"EventBridgeConfiguration\": {}}'"
    )


def test_a_bucket_that_no_enabled_source_watches_needs_no_events(engine: Deployment) -> None:
    bucket = data_bucket(engine)
    engine.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    for name in ("lab/wrroc", "lab/uploads"):
        set_enabled(engine, name, enabled=False)
    assert not any(Behaviour.S3_EVENTS in each.behaviours for each in problems(engine))


def test_suspended_versioning_is_a_notice(engine: Deployment) -> None:
    bucket = data_bucket(engine)
    engine.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    found = only_problem(engine)
    assert (found.status, found.behaviours) == (Status.NOTICE, (Behaviour.S3_VERSIONS,))
    assert found.text.startswith("Versioning is suspended")
    assert found.remedy.endswith("Status=Enabled")


def test_a_source_that_was_switched_off_is_wrong(engine: Deployment) -> None:
    set_enabled(engine, "lab/edp", enabled=False)
    found = only_problem(engine)
    assert (found.status, found.subject) == (Status.WRONG, "lab/edp")
    assert found.remedy == "quilt-packager sources enable lab/edp"


def test_a_rule_without_a_source_that_was_switched_off_is_wrong(engine: Deployment) -> None:
    ready = next(
        each for each in Inspection(engine).rules if "Ready" in each.rule.name and not each.named
    )
    engine.events.disable_rule(Name=ready.rule.name, EventBusName=ready.rule.bus)
    found = only_problem(engine)
    assert found.remedy.startswith(f"aws events enable-rule --name {ready.rule.name} ")


def test_a_deleted_rule_is_wrong(engine: Deployment) -> None:
    source = find_source(engine, "lab/omics")
    engine.events.remove_targets(Rule=source.rule, Ids=["PackagerQueue"])
    engine.events.delete_rule(Name=source.rule)
    assert only_problem(engine).text.endswith("was deleted: its events start no job.")


def test_a_rule_without_a_target_is_wrong(engine: Deployment) -> None:
    source = find_source(engine, "lab/omics")
    engine.events.remove_targets(Rule=source.rule, Ids=["PackagerQueue"])
    found = only_problem(engine)
    assert found.remedy.startswith(f"aws events put-targets --rule {source.rule} ")


def test_a_queue_policy_without_the_rule_is_wrong(engine: Deployment) -> None:
    source = find_source(engine, "lab/omics")
    rule_arn = engine.events.describe_rule(Name=source.rule)["Arn"]
    change_policy(
        engine, lambda policy: policy.replace(f'"{rule_arn}"', '"arn:aws:events:::rule/x"')
    )
    found = only_problem(engine)
    assert (found.subject, found.behaviours) == ("lab/omics", (Behaviour.EVENTS_QUEUE_POLICY,))
    assert rule_arn in found.remedy


def test_a_queue_without_a_policy_accepts_no_rule(engine: Deployment) -> None:
    change_policy(engine, lambda _: "")
    found = problems(engine)
    assert {each.behaviours for each in found} == {(Behaviour.EVENTS_QUEUE_POLICY,)}
    assert len(found) == 5


def change_policy(deployment: Deployment, change: Callable[[str], str]) -> None:
    client, url = deployment.sqs, deployment.queue_url
    before = client.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]
    client.set_queue_attributes(QueueUrl=url, Attributes={"Policy": change(before["Policy"])})


def test_a_disabled_key_is_wrong(engine: Deployment) -> None:
    engine.kms.disable_key(KeyId=key_of(engine))
    found = only_problem(engine)
    assert found.behaviours == (Behaviour.KMS_STATE,)
    assert found.remedy == f"aws kms enable-key --key-id {key_of(engine)}"


def test_a_key_that_refuses_a_role_is_wrong(engine: Deployment) -> None:
    role = function(engine).role
    add_key_statement(
        engine, {"Effect": "Deny", "Principal": {"AWS": role}, "Action": "kms:Decrypt"}
    )
    found = only_problem(engine)
    assert found.behaviours == (Behaviour.KMS_KEY_POLICY,)
    assert "refuses kms:Decrypt to the role of packager" in found.text
    assert role in found.remedy


def test_a_key_that_refuses_eventbridge_is_wrong(engine: Deployment) -> None:
    principal = {"Service": "events.amazonaws.com"}
    add_key_statement(engine, {"Effect": "Deny", "Principal": principal, "Action": "kms:*"})
    found = only_problem(engine)
    assert found.behaviours == (Behaviour.KMS_EVENTBRIDGE,)


def add_key_statement(deployment: Deployment, statement: dict[str, Any]) -> None:
    key = key_of(deployment)
    found = deployment.kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    policy = json.loads(found)
    policy["Statement"].append({"Resource": "*", **statement})
    deployment.kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))


def test_a_bucket_policy_that_denies_the_role_is_wrong(engine: Deployment) -> None:
    bucket = data_bucket(engine)
    statement = {
        "Effect": "Deny",
        "Principal": {"AWS": function(engine).role},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    put_bucket_policy(engine, statement)
    found = only_problem(engine)
    assert found.behaviours == (Behaviour.S3_BUCKET_POLICY,)
    assert found.text == "The policy of the bucket denies s3:GetObject to the engine."
    assert function(engine).role in found.remedy


def test_a_bucket_policy_with_an_unknown_condition_is_unconfirmed(engine: Deployment) -> None:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": "*",
        "Condition": {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}},
    }
    put_bucket_policy(engine, statement)
    found = [each for each in check(engine) if each.subject == data_bucket(engine)]
    (unknown,) = (each for each in found if Behaviour.S3_BUCKET_POLICY in each.behaviours)
    assert unknown.status is Status.UNCONFIRMED
    assert "--canary" in unknown.remedy


def put_bucket_policy(deployment: Deployment, statement: dict[str, Any]) -> None:
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    deployment.s3.put_bucket_policy(Bucket=data_bucket(deployment), Policy=json.dumps(policy))


def test_waiting_dead_letters_are_a_notice(engine: Deployment) -> None:
    engine.sqs.send_message(QueueUrl=engine.dead_letter_queue_url, MessageBody="{}")
    found = only_problem(engine)
    assert (found.status, found.text) == (Status.NOTICE, "1 dead letter waiting.")
    assert found.remedy == "quilt-packager failures"


def test_a_concurrency_of_zero_is_wrong(engine: Deployment) -> None:
    name = function(engine).name
    engine.functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    found = only_problem(engine)
    assert found.behaviours == (Behaviour.LAMBDA_CONCURRENCY,)
    assert found.remedy == f"aws lambda delete-function-concurrency --function-name {name}"


def test_a_concurrency_below_that_of_the_queue_is_a_notice(engine: Deployment) -> None:
    name = function(engine).name
    engine.functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=2)
    found = only_problem(engine)
    assert (found.status, found.behaviours) == (Status.NOTICE, (Behaviour.LAMBDA_CONCURRENCY,))
    assert "reserved concurrency of 2 is below" in found.text


def test_a_missing_event_bus_is_wrong(engine: Deployment) -> None:
    bus = "arn:aws:events:us-east-1:123456789012:event-bus/gone"
    (found,) = check_outcome_bus(Inspection(engine), bus)
    assert (found.subject, found.status) == ("gone", Status.WRONG)
    assert found.remedy == "aws events create-event-bus --name gone"


def test_a_bucket_that_hides_itself_is_unconfirmed(
    engine: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadBucket")

    monkeypatch.setattr(engine.s3, "head_bucket", refuse)
    found = list(check_bucket(Inspection(engine), "raw"))
    assert [(each.status, each.denied) for each in found] == [(Status.UNCONFIRMED, True)]


def test_a_disabled_event_source_mapping_is_wrong(engine: Deployment) -> None:
    (mapping,) = function(engine).mappings
    engine.functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    found = only_problem(engine)
    assert found.remedy == (
        f"aws lambda update-event-source-mapping --uuid {mapping['UUID']} --enabled"
    )


def test_a_missing_event_source_mapping_is_wrong(engine: Deployment) -> None:
    (mapping,) = function(engine).mappings
    engine.functions.delete_event_source_mapping(UUID=mapping["UUID"])
    found = only_problem(engine)
    assert found.text.startswith("No event source mapping connects the function")


def test_a_visibility_timeout_below_the_functions_is_wrong(engine: Deployment) -> None:
    set_queue(engine, VisibilityTimeout="30")
    found = only_problem(engine)
    assert found.behaviours == (Behaviour.SQS_VISIBILITY,)
    assert found.remedy.endswith("--attributes VisibilityTimeout=300")


def test_a_queue_without_a_redrive_policy_is_wrong(engine: Deployment) -> None:
    set_queue(engine, RedrivePolicy="")
    assert [each.behaviours for each in problems(engine)] == [(Behaviour.SQS_REDRIVE,)]


def set_queue(deployment: Deployment, **attributes: str) -> None:
    deployment.sqs.set_queue_attributes(
        QueueUrl=deployment.queue_url,
        Attributes=attributes,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("header", "behaviour"),
    [("If-Match", Behaviour.S3_IF_MATCH), ("If-None-Match", Behaviour.S3_IF_NONE_MATCH)],
)
def test_a_server_that_ignores_conditions_is_wrong(
    engine: Deployment, header: str, behaviour: Behaviour
) -> None:
    def drop(params: dict[str, Any], **_: object) -> None:
        params["headers"].pop(header, None)

    engine.s3.meta.events.register("before-call.s3.PutObject", drop)
    found = only_problem(engine)
    assert (found.status, found.behaviours) == (Status.WRONG, (behaviour,))
    assert found.text == f"S3 ignores {header}."


def test_a_part_that_may_not_be_read_is_unconfirmed() -> None:
    def fail() -> list[Finding]:
        answer = {"Error": {"Code": "AccessDenied", "Message": "No."}}
        raise ClientError(answer, "GetBucketPolicy")  # type: ignore[arg-type]

    (found,) = run(Check("raw", fail))
    assert (found.subject, found.status, found.denied) == ("raw", Status.UNCONFIRMED, True)
    assert (
        found.text == "Unknown: AWS denied GetBucketPolicy. No policy allows it, or one denies it."
    )


def test_missing_credentials_end_the_check() -> None:
    def fail() -> list[Finding]:
        raise NoCredentialsError

    with pytest.raises(NoCredentialsError):
        run(Check("raw", fail))
