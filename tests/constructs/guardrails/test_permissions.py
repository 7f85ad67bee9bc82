"""The permissions of the packager's role: each statement, no others, and the explicit denials."""

import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from quilt_packager_runtime.registry import publish

from quilt_packager import HealthOmicsRuns
from tests.constructs.templates import (
    JsonObject,
    add_engine,
    arn,
    find,
    make_stack,
    permissions_of,
    properties_of,
    template_of,
)


@pytest.fixture(scope="module")
def template() -> JsonObject:
    stack = make_stack()
    add_engine(stack, event_sources=[HealthOmicsRuns()])
    return template_of(stack)


@pytest.fixture(scope="module")
def permissions(template: JsonObject) -> dict[str, JsonObject]:
    return permissions_of(template)


@pytest.fixture(scope="module")
def encrypted() -> JsonObject:
    """An engine whose source, registry, or both, are encrypted with keys."""
    stack = make_stack()
    source = s3.Bucket(stack, "Source", encryption_key=kms.Key(stack, "SourceKey"))
    target = s3.Bucket(stack, "Target", encryption_key=kms.Key(stack, "TargetKey"))
    add_engine(stack, source_buckets=[source], registry_buckets=[target])
    return template_of(stack)


def test_all_capabilities_of_the_role_are_tested_here(
    permissions: dict[str, JsonObject],
) -> None:
    assert set(permissions) == {
        "['logs:CreateLogStream', 'logs:PutLogEvents']",
        "ListSources",
        "ReadSources",
        "ListRegistries",
        "ReadRegistries",
        "ReadSchemaVersions",
        "WriteRegistries",
        "AbortManifests",
        "HashInScratch",
        "ListJobs",
        "AccessJobFiles",
        "StartLargeJobs",
        "ConsumeQueue",
        "DeferMessages",
        "SendDeadLetters",
        "PutOutcomes",
        "GetOmicsRuns",
        "NeverDeleteOrReconfigure",
        "NeverWriteWorkflows",
    }


def test_no_action_of_the_role_is_a_wildcard(permissions: dict[str, JsonObject]) -> None:
    for statement in permissions.values():
        assert "*" not in str(statement["Action"])


def test_no_resource_of_the_role_is_everything(permissions: dict[str, JsonObject]) -> None:
    for statement in permissions.values():
        assert statement["Resource"] != "*"


def test_role_has_no_managed_policies(template: JsonObject) -> None:
    assert "ManagedPolicyArns" not in properties_of(
        template, "AWS::IAM::Role", like="PackagerFunction"
    )


def test_role_writes_only_its_own_log(
    template: JsonObject, permissions: dict[str, JsonObject]
) -> None:
    (log_group,) = find(template, "AWS::Logs::LogGroup", like="PackagerLog")
    statement = permissions["['logs:CreateLogStream', 'logs:PutLogEvents']"]
    assert statement["Resource"] == {"Fn::GetAtt": [log_group, "Arn"]}


def test_list_sources_allows_exactly_listing(
    permissions: dict[str, JsonObject],
) -> None:
    assert permissions["ListSources"] == {
        "Sid": "ListSources",
        "Effect": "Allow",
        "Action": ["s3:ListBucket", "s3:ListBucketVersions"],
        "Resource": arn("raw"),
    }


def test_read_sources_allows_exactly_objects_and_their_attributes(
    permissions: dict[str, JsonObject],
) -> None:
    assert permissions["ReadSources"] == {
        "Sid": "ReadSources",
        "Effect": "Allow",
        "Action": [
            "s3:GetObject",
            "s3:GetObjectAttributes",
            "s3:GetObjectVersion",
            "s3:GetObjectVersionAttributes",
        ],
        "Resource": arn("raw", "/*"),
    }


def test_list_registries_shows_only_keys_of_quilt(
    permissions: dict[str, JsonObject],
) -> None:
    assert permissions["ListRegistries"] == {
        "Sid": "ListRegistries",
        "Effect": "Allow",
        "Action": "s3:ListBucket",
        "Resource": arn("reg"),
        "Condition": {"StringLike": {"s3:prefix": ".quilt/*"}},
    }


def test_read_registries_allows_packages_pointers_and_workflows(
    permissions: dict[str, JsonObject],
) -> None:
    assert permissions["ReadRegistries"] == {
        "Sid": "ReadRegistries",
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": [
            arn("reg", "/.quilt/packages/*"),
            arn("reg", "/.quilt/named_packages/*"),
            arn("reg", "/.quilt/workflows/*"),
        ],
    }


def test_read_schema_versions_allows_only_workflows(permissions: dict[str, JsonObject]) -> None:
    assert permissions["ReadSchemaVersions"] == {
        "Sid": "ReadSchemaVersions",
        "Effect": "Allow",
        "Action": "s3:GetObjectVersion",
        "Resource": arn("reg", "/.quilt/workflows/*"),
    }


def test_write_registries_allows_only_packages_and_pointers(
    permissions: dict[str, JsonObject],
) -> None:
    assert permissions["WriteRegistries"] == {
        "Sid": "WriteRegistries",
        "Effect": "Allow",
        "Action": "s3:PutObject",
        "Resource": [arn("reg", "/.quilt/packages/*"), arn("reg", "/.quilt/named_packages/*")],
    }


def test_abort_manifests_allows_only_uploads_of_manifests(
    permissions: dict[str, JsonObject],
) -> None:
    assert permissions["AbortManifests"] == {
        "Sid": "AbortManifests",
        "Effect": "Allow",
        "Action": "s3:AbortMultipartUpload",
        "Resource": arn("reg", "/.quilt/packages/*"),
    }


def test_write_registries_covers_the_keys_that_the_runtime_writes(
    permissions: dict[str, JsonObject],
) -> None:
    written = permissions["WriteRegistries"]["Resource"]
    assert arn("reg", f"/{publish.MANIFESTS}*") in written
    assert arn("reg", f"/{publish.NAMED_PACKAGES}*") in written


def test_hash_in_scratch_allows_only_the_scratch_bucket(
    template: JsonObject, permissions: dict[str, JsonObject]
) -> None:
    (scratch,) = find(template, "AWS::S3::Bucket")
    assert permissions["HashInScratch"] == {
        "Sid": "HashInScratch",
        "Effect": "Allow",
        "Action": ["s3:AbortMultipartUpload", "s3:PutObject"],
        "Resource": {"Fn::Join": ["", [{"Fn::GetAtt": [scratch, "Arn"]}, "/hash/*"]]},
        "Condition": {"StringEquals": {"aws:ResourceAccount": {"Ref": "AWS::AccountId"}}},
    }


def test_consume_queue_allows_exactly_the_requests_of_the_poller(
    template: JsonObject, permissions: dict[str, JsonObject]
) -> None:
    (queue,) = find(template, "AWS::SQS::Queue", like="PackagerQueue")
    assert permissions["ConsumeQueue"] == {
        "Sid": "ConsumeQueue",
        "Effect": "Allow",
        "Action": ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
        "Resource": {"Fn::GetAtt": [queue, "Arn"]},
    }


def test_defer_messages_allows_only_a_delay_of_jobs(
    template: JsonObject, permissions: dict[str, JsonObject]
) -> None:
    (queue,) = find(template, "AWS::SQS::Queue", like="PackagerQueue")
    assert permissions["DeferMessages"] == {
        "Sid": "DeferMessages",
        "Effect": "Allow",
        "Action": "sqs:ChangeMessageVisibility",
        "Resource": {"Fn::GetAtt": [queue, "Arn"]},
    }


def test_send_dead_letters_does_not_allow_sending_jobs(
    template: JsonObject, permissions: dict[str, JsonObject]
) -> None:
    (dead_letters,) = find(template, "AWS::SQS::Queue", like="DeadLetter")
    assert permissions["SendDeadLetters"] == {
        "Sid": "SendDeadLetters",
        "Effect": "Allow",
        "Action": "sqs:SendMessage",
        "Resource": {"Fn::GetAtt": [dead_letters, "Arn"]},
    }


def test_get_omics_runs_allows_runs_of_this_account(permissions: dict[str, JsonObject]) -> None:
    statement = permissions["GetOmicsRuns"]
    assert statement["Action"] == "omics:GetRun"
    assert statement["Resource"] == {
        "Fn::Join": [
            "",
            [
                "arn:",
                {"Ref": "AWS::Partition"},
                ":omics:",
                {"Ref": "AWS::Region"},
                ":",
                {"Ref": "AWS::AccountId"},
                ":run/*",
            ],
        ]
    }


def test_get_omics_runs_is_granted_only_with_its_event_source() -> None:
    stack = make_stack()
    add_engine(stack)
    assert "GetOmicsRuns" not in permissions_of(template_of(stack))


def test_never_delete_overrides_later_grants() -> None:
    stack = make_stack()
    target = s3.Bucket(stack, "Target")
    engine = add_engine(stack, source_buckets=[target], registry_buckets=[target])
    target.grant_read_write(engine.packager_function)
    denied = permissions_of(template_of(stack))["NeverDeleteOrReconfigure"]
    assert denied["Effect"] == "Deny"
    assert {
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "s3:DeleteBucket",
        "s3:PutObjectAcl",
        "s3:PutBucketPolicy",
        "s3:PutLifecycleConfiguration",
    } <= set(denied["Action"])
    (logical_id,) = find(template_of(stack), "AWS::S3::Bucket", like="Target")
    bucket_arn = {"Fn::GetAtt": [logical_id, "Arn"]}
    assert denied["Resource"] == [bucket_arn, {"Fn::Join": ["", [bucket_arn, "/*"]]}]


def test_never_write_workflows_protects_the_rules(
    permissions: dict[str, JsonObject],
) -> None:
    assert permissions["NeverWriteWorkflows"] == {
        "Sid": "NeverWriteWorkflows",
        "Effect": "Deny",
        "Action": "s3:PutObject",
        "Resource": arn("reg", "/.quilt/workflows/*"),
    }


def test_decrypt_sources_allows_the_key_only_for_reading_by_s3(
    encrypted: JsonObject,
) -> None:
    (key,) = find(encrypted, "AWS::KMS::Key", like="Source")
    assert permissions_of(encrypted)["DecryptSources"] == {
        "Sid": "DecryptSources",
        "Effect": "Allow",
        "Action": "kms:Decrypt",
        "Resource": {"Fn::GetAtt": [key, "Arn"]},
        "Condition": {"StringEquals": {"kms:ViaService": [via_s3({"Ref": "AWS::Region"})]}},
    }


def test_encrypt_registries_allows_multipart_manifests(
    encrypted: JsonObject,
) -> None:
    (key,) = find(encrypted, "AWS::KMS::Key", like="Target")
    assert permissions_of(encrypted)["EncryptRegistries"] == {
        "Sid": "EncryptRegistries",
        "Effect": "Allow",
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": {"Fn::GetAtt": [key, "Arn"]},
        "Condition": {"StringEquals": {"kms:ViaService": [via_s3({"Ref": "AWS::Region"})]}},
    }


def test_keys_of_another_region_are_used_there() -> None:
    stack = make_stack()
    key = kms.Key.from_key_arn(stack, "Key", "arn:aws:kms:eu-west-1:123456789012:key/1")
    source = s3.Bucket.from_bucket_attributes(
        stack, "Source", bucket_name="far", region="eu-west-1", encryption_key=key
    )
    add_engine(stack, source_buckets=[source])
    statement = permissions_of(template_of(stack))["DecryptSources"]
    assert statement["Condition"] == {"StringEquals": {"kms:ViaService": [via_s3("eu-west-1")]}}


@pytest.mark.parametrize("holder", ["PackagerFunction", "ChecksumFunction", "LargeJobFunction"])
def test_scratch_keys_encrypt_copies_in_their_region(holder: str) -> None:
    stack = make_stack()
    key = "arn:aws:kms:eu-west-1:123456789012:key/1"
    scratch = s3.Bucket.from_bucket_attributes(
        stack,
        "Scratch",
        bucket_name="far-scratch",
        region="eu-west-1",
        encryption_key=kms.Key.from_key_arn(stack, "Key", key),
    )
    add_engine(stack, scratch_buckets={"eu-west-1": scratch})
    assert permissions_of(template_of(stack), holder)["EncryptScratch"] == {
        "Sid": "EncryptScratch",
        "Effect": "Allow",
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": key,
        "Condition": {"StringEquals": {"kms:ViaService": [via_s3("eu-west-1")]}},
    }


def test_key_of_the_quarantine_can_be_used() -> None:
    stack = make_stack()
    refused = s3.Bucket(stack, "Refused", encryption_key=kms.Key(stack, "RefusedKey"))
    add_engine(stack, quarantine_registry=refused)
    template = template_of(stack)
    (key,) = find(template, "AWS::KMS::Key")
    statement = permissions_of(template)["EncryptRegistries"]
    assert statement["Resource"] == {"Fn::GetAtt": [key, "Arn"]}


def test_buckets_given_twice_are_listed_once() -> None:
    stack = make_stack()
    source = s3.Bucket.from_bucket_name(stack, "Source", "raw")
    add_engine(stack, source_buckets=[source, source])
    assert permissions_of(template_of(stack))["ReadSources"]["Resource"] == arn("raw", "/*")


def test_role_is_trusted_by_lambda_only(template: JsonObject) -> None:
    role = properties_of(template, "AWS::IAM::Role", like="PackagerFunction")
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}


def test_grant_send_messages_includes_the_key_of_the_queue() -> None:
    stack = make_stack()
    engine = add_engine(stack, queue_encryption_key=kms.Key(stack, "Key"))
    sender = iam.Role(stack, "Sender", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    engine.grant_send_messages(sender)
    policy = properties_of(template_of(stack), "AWS::IAM::Policy", like="Sender")
    assert "kms:GenerateDataKey*" in str(policy["PolicyDocument"]["Statement"])


def via_s3(region: object) -> JsonObject:
    if isinstance(region, str):
        return {"Fn::Join": ["", [f"s3.{region}.", {"Ref": "AWS::URLSuffix"}]]}
    return {"Fn::Join": ["", ["s3.", region, ".", {"Ref": "AWS::URLSuffix"}]]}


def test_key_that_is_known_by_its_alias_is_permitted_by_a_condition() -> None:
    stack = make_stack()
    alias = kms.Alias.from_alias_name(stack, "Alias", "alias/data")
    data = s3.Bucket.from_bucket_attributes(
        stack, "Data", bucket_name="data", encryption_key=alias, region="eu-west-1"
    )
    add_engine(stack, source_buckets=[data], registry_buckets=[data])
    statement = permissions_of(template_of(stack))["DecryptSourcesByAlias"]
    assert statement["Action"] == "kms:Decrypt"
    assert statement["Resource"] == {
        "Fn::Join": [
            "",
            [
                "arn:",
                {"Ref": "AWS::Partition"},
                ":kms:eu-west-1:",
                {"Ref": "AWS::AccountId"},
                ":key/*",
            ],
        ]
    }
    assert statement["Condition"] == {
        "StringEquals": {"kms:ViaService": [via_s3("eu-west-1")]},
        "ForAnyValue:StringEquals": {"kms:ResourceAliases": ["alias/data"]},
    }


def test_queue_and_topic_keys_that_are_known_by_their_aliases_are_permitted() -> None:
    stack = make_stack()
    queue_key = kms.Alias.from_alias_name(stack, "QueueKey", "alias/queues")
    topic = sns.Topic(
        stack, "Topic", master_key=kms.Alias.from_alias_name(stack, "TopicKey", "alias/topics")
    )
    engine = add_engine(stack, queue_encryption_key=queue_key, notifications_topic=topic)
    sender = iam.Role(stack, "Sender", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    engine.grant_send_messages(sender)
    template = template_of(stack)
    for holder, aliases in (
        ("PackagerFunction", ["alias/queues", "alias/topics"]),
        ("Sender", ["alias/queues"]),
    ):
        policy = properties_of(template, "AWS::IAM::Policy", like=holder)["PolicyDocument"]
        permitted = [
            each["Condition"]["ForAnyValue:StringEquals"]["kms:ResourceAliases"]
            for each in policy["Statement"]
            if "ForAnyValue:StringEquals" in each.get("Condition", {})
        ]
        assert sorted(name for names in permitted for name in names) == aliases
