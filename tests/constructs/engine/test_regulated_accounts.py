"""The props for accounts under regulation: a VPC, one key, reserved concurrency, named roles."""

from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk.assertions import Annotations, Match

from quilt_packager import ObjectUploads
from tests.constructs.presets import KEY, regulated
from tests.constructs.templates import (
    JsonObject,
    add_engine,
    find,
    make_stack,
    permissions_of,
    properties_of,
    template_of,
)

FUNCTIONS = ("PackagerFunction", "ChecksumFunction", "LargeJobFunction", "CoalescerFunction")
SUBNETS = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]


@pytest.fixture(scope="module")
def template() -> JsonObject:
    return template_of(regulated(App()))


@pytest.fixture(scope="module")
def key_arn(template: JsonObject) -> JsonObject:
    (key,) = find(template, "AWS::KMS::Key")
    return {"Fn::GetAtt": [key, "Arn"]}


def vpc_of(stack: Stack) -> ec2.IVpc:
    return ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-0123456789abcdef0",
        availability_zones=["us-east-1a"],
        private_subnet_ids=SUBNETS[:1],
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_in_the_vpc(template: JsonObject, name: str) -> None:
    (group,) = find(template, "AWS::EC2::SecurityGroup")
    assert properties_of(template, "AWS::Lambda::Function", like=name)["VpcConfig"] == {
        "SecurityGroupIds": [{"Fn::GetAtt": [group, "GroupId"]}],
        "SubnetIds": SUBNETS,
    }


def test_security_group_allows_outbound_https_only(template: JsonObject) -> None:
    group = properties_of(template, "AWS::EC2::SecurityGroup")
    assert "SecurityGroupIngress" not in group
    (rule,) = group["SecurityGroupEgress"]
    assert (rule["FromPort"], rule["ToPort"], rule["IpProtocol"]) == (443, 443, "tcp")


def test_security_groups_can_be_chosen() -> None:
    stack = make_stack()
    group = ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-0123456789abcdef0")
    add_engine(stack, vpc=vpc_of(stack), security_groups=[group])
    template = template_of(stack)
    assert not find(template, "AWS::EC2::SecurityGroup")
    for function in find(template, "AWS::Lambda::Function").values():
        assert function["Properties"]["VpcConfig"]["SecurityGroupIds"] == ["sg-0123456789abcdef0"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_roles_may_join_the_vpc_without_a_managed_policy(template: JsonObject, name: str) -> None:
    assert "ManagedPolicyArns" not in properties_of(template, "AWS::IAM::Role", like=name)
    assert permissions_of(template, f"{name}Role")["JoinVpc"]["Action"] == [
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
    ]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_environments_are_encrypted_by_the_key(
    template: JsonObject, key_arn: JsonObject, name: str
) -> None:
    function = properties_of(template, "AWS::Lambda::Function", like=name)
    assert function["KmsKeyArn"] == key_arn
    statement = permissions_of(template, f"{name}Role")["DecryptEnvironment"]
    assert (statement["Action"], statement["Resource"]) == ("kms:Decrypt", key_arn)


def test_everything_that_is_stored_is_encrypted_by_the_key(
    template: JsonObject, key_arn: JsonObject
) -> None:
    for log_group in find(template, "AWS::Logs::LogGroup").values():
        assert log_group["Properties"]["KmsKeyId"] == key_arn
    for queue in find(template, "AWS::SQS::Queue").values():
        assert queue["Properties"]["KmsMasterKeyId"] == key_arn
    for table in find(template, "AWS::DynamoDB::Table").values():
        assert table["Properties"]["SSESpecification"]["KMSMasterKeyId"] == key_arn
    (rule,) = properties_of(template, "AWS::S3::Bucket", like="Scratch")["BucketEncryption"][
        "ServerSideEncryptionConfiguration"
    ]
    assert rule["BucketKeyEnabled"] is True
    assert rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] == key_arn


def test_logs_may_use_the_key_for_the_engines_log_groups_only(template: JsonObject) -> None:
    statements = properties_of(template, "AWS::KMS::Key")["KeyPolicy"]["Statement"]
    (statement,) = (each for each in statements if each.get("Sid") == "EncryptLogs")
    assert ":log-group:/quilt/Stack/*" in str(statement["Condition"]["ArnLike"])
    assert "logs." in str(statement["Principal"])


@pytest.mark.parametrize(
    ("holder", "sid", "service"),
    [
        ("PackagerFunction", "EncryptScratch", "s3"),
        ("LargeJobsPolicy", "DecryptItems", "s3"),
        ("CoalescerFunction", "UseTableKey", "dynamodb"),
        ("CoalescerFunction", "UseQueueKey", "sqs"),
    ],
)
def test_roles_use_the_key_through_its_services(
    template: JsonObject, key_arn: JsonObject, holder: str, sid: str, service: str
) -> None:
    statement = permissions_of(template, holder)[sid]
    assert statement["Resource"] == key_arn
    assert f"{service}." in str(statement["Condition"]["StringEquals"]["kms:ViaService"])


def test_own_key_of_queues_takes_precedence() -> None:
    stack = make_stack()
    queue_key = kms.Key.from_key_arn(stack, "QueueKey", KEY)
    engine = add_engine(stack, encryption_key=kms.Key(stack, "Key"), queue_encryption_key=queue_key)
    queue = properties_of(template_of(stack), "AWS::SQS::Queue", like="PackagerQueue")
    assert queue["KmsMasterKeyId"] == KEY
    assert engine.queue.encryption_master_key is not None


def test_imported_key_gets_a_warning_with_the_policy_that_it_needs() -> None:
    stack = make_stack()
    add_engine(stack, encryption_key=kms.Key.from_key_arn(stack, "Key", KEY))
    Annotations.from_stack(stack).has_warning(
        "/Stack/Engine", Match.string_like_regexp("logs.*/quilt/Stack/.*deployment fails")
    )


def test_concurrency_is_reserved_for_the_packager(template: JsonObject) -> None:
    reserved = {
        name: each["Properties"].get("ReservedConcurrentExecutions")
        for name, each in find(template, "AWS::Lambda::Function").items()
    }
    assert {name[:14]: count for name, count in reserved.items() if count} == {"EnginePackager": 10}


def test_roles_that_access_buckets_have_stable_names(template: JsonObject) -> None:
    names = {
        each["Properties"].get("RoleName") for each in find(template, "AWS::IAM::Role").values()
    }
    assert names - {None} == {
        "lab-packager",
        "lab-checksum",
        "lab-large-job",
        "lab-promotion",
        "lab-batch",
    }


def test_output_names_the_roles_that_access_buckets(template: JsonObject) -> None:
    (output,) = (each for name, each in template["Outputs"].items() if "DataAccessRole" in name)
    separator, arns = output["Value"]["Fn::Join"]
    roles = [
        find(template, "AWS::IAM::Role", like=name).popitem()[0]
        for name in ("PackagerFunction", "ChecksumFunction", "LargeJobFunction")
    ]
    text = "".join(str(each) for each in arns if each != separator)
    assert [name for name in roles if name in text] == roles


def test_roles_of_the_engine_are_its_members() -> None:
    stack = make_stack()
    engine = add_engine(stack)
    assert list(engine.data_access_roles) == [
        engine.packager_function.role,
        engine.checksum_function.role,
        engine.large_job_function.role,
    ]


@pytest.mark.parametrize(
    ("props", "message"),
    [
        ({"reserved_concurrent_executions": 9}, "is 9: it must be at least max_concurrency, 10"),
        ({"vpc_subnets": ec2.SubnetSelection(one_per_az=True)}, "vpc_subnets is given without a"),
        ({"role_name_prefix": "a b"}, "role_name_prefix is 'a b': "),
        ({"role_name_prefix": "x" * 55}, "role_name_prefix is 'x+': "),
    ],
)
def test_unsuitable_props_are_refused(props: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        add_engine(make_stack(), **props)


def test_alias_as_the_key_of_everything_is_refused() -> None:
    stack = make_stack()
    alias = kms.Alias.from_alias_name(stack, "Alias", "alias/lab")
    with pytest.raises(ValueError, match=r"encryption_key is an alias, .* import the key by"):
        add_engine(stack, encryption_key=alias)


def test_uploads_expose_their_resources() -> None:
    stack = make_stack()
    uploads = ObjectUploads()
    with pytest.raises(RuntimeError, match="ObjectUploads has no coalescer yet"):
        uploads.coalescer  # noqa: B018
    add_engine(stack, event_sources=[uploads])
    made = uploads.coalescer
    shown = {
        "AWS::DynamoDB::Table": made.table.table_name,
        "AWS::Events::EventBus": made.event_bus.event_bus_name,
        "AWS::Lambda::Function": made.function.function_name,
        "AWS::Logs::LogGroup": made.log_group.log_group_name,
        "AWS::SQS::Queue": made.queue.queue_url,
    }
    template = template_of(stack)
    for kind, name in shown.items():
        (logical_id,) = stack.resolve(name).values()
        assert template["Resources"][logical_id]["Type"] == kind
