"""The roles of the functions beside the packager, enforced by an embedded AWS while they work."""

import json
import logging
import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from quilt_packager_runtime.aws import clients as runtime_aws
from quilt_packager_runtime.errors import AccessDenied, AwsError, PackagerError
from quilt_packager_runtime.handlers import checksum, coalescer, invocations, large_job, packager
from quilt_packager_runtime.settings import Settings
from quilt_packager_runtime.settings.upload_settings import UploadSettings

from quilt_packager import ObjectUploads
from quilt_packager.local.ministack import ACCOUNT, REGION
from tests.constructs.templates import add_engine, make_stack, permissions_of, template_of
from tests.integration.enforcement import (
    Credentials,
    EnforcingMiniStack,
    Statement,
    adapt,
    policy,
    resolve,
)
from tests.lambda_context import invocation
from tests.runtime_s3 import connect_to

MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:large-jobs"
RESOURCES = {
    "LogP": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:packager",
    "Log": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:other",
    "ScratchBucket": "arn:aws:s3:::scratch",
    "LargeJobs": MACHINE,
    "PackagerDeadLetterQueue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead-letters",
    "PackagerQueue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:jobs",
    "CoalescerDeadLetterQueue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:unread",
    "CoalescerQueue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:uploads",
    "Windows": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/windows",
    "Bus": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/announcements",
}
WORKFLOWS = ".quilt/workflows/config.yml"
WORKFLOW_CONFIG = b"version: '1'\nis_workflow_required: false\nworkflows: {plain: {name: Plain}}\n"
MESSAGE = {
    "source_prefix": "s3://raw/run/",
    "registry": "reg",
    "metadata_uri": "meta.json",
    "workflow": "plain",
}
QUEUES = ("dead-letters", "unread", "uploads")
OBJECTS = 3
NOT_FOR_THE_CODE = ("logs:", "ConsumeQueue", "Never", "AbortManifests", "ReadSchemaVersions")
"""Statements for Lambda itself, denials, and those for requests that no job here makes:
`test_granted_actions` has them.
"""

TO_MISS_KEYS = {"ListJobs", "ListSources"}
"""Statements with which the checksum function distinguishes a missing key from a denied one. The
embedded AWS always does; AWS does only for roles that may list.
"""

Roles = dict[str, dict[str, Statement]]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EnforcingMiniStack]:
    """With all that a deployed engine has, but for the functions."""
    with EnforcingMiniStack(tmp_path_factory.mktemp("aws")) as started:
        s3 = started.client("s3")
        for name in ("raw", "reg", "scratch"):
            s3.create_bucket(Bucket=name)
        # What is that large is copied to scratch: S3 hashes it.
        for number in range(OBJECTS):
            s3.put_object(Bucket="raw", Key=f"run/{number}.bin", Body=os.urandom(9 * 1024**2))
        s3.put_object(Bucket="raw", Key="run/meta.json", Body=b'{"assay": "rna-seq"}')
        s3.put_object(Bucket="reg", Key=WORKFLOWS, Body=WORKFLOW_CONFIG)
        for name in QUEUES:
            started.client("sqs").create_queue(QueueName=name)
        started.client("events").create_event_bus(Name="announcements")
        started.client("dynamodb").create_table(
            TableName="windows",
            KeySchema=[{"AttributeName": "window", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "window", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        trust = {
            "Effect": "Allow",
            "Principal": {"Service": "states.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
        role = started.client("iam").create_role(
            RoleName="machine", AssumeRolePolicyDocument=policy([trust])
        )
        started.client("stepfunctions").create_state_machine(
            name="large-jobs",
            roleArn=role["Role"]["Arn"],
            definition='{"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}',
        )
        yield started


@pytest.fixture(scope="module")
def roles() -> Roles:
    """Return the statements of each function, by Sid."""
    stack = make_stack()
    add_engine(stack, event_sources=[ObjectUploads()])
    template = template_of(stack)
    return {
        name: {
            sid: adapt(resolve(statement, RESOURCES))
            for sid, statement in permissions_of(template, f"{name}Function").items()
        }
        for name in ("Packager", "Checksum", "LargeJob", "Coalescer")
    }


class Functions:
    """The functions' code in this process, each with the role that it is given."""

    def __init__(self, aws: EnforcingMiniStack, roles: Roles, patch: pytest.MonkeyPatch) -> None:
        self.name = f"test/{uuid.uuid4()}"
        self.job = str(uuid.uuid4())
        self._aws = aws
        self._roles = roles
        self._patch = patch
        settings = Settings(
            source_buckets=("raw",),
            registry_buckets=("reg",),
            scratch_bucket="scratch",
            state_machine_arn=MACHINE,
            dead_letter_queue_url=self.queue_url("dead-letters"),
            event_bus="default",
            engine="lab",
            max_inline_objects=1,
            max_shard_objects=2,
        )
        uploads = UploadSettings(
            threshold_event_count=2,
            event_bus="announcements",
            table="windows",
            queue_url=self.queue_url("uploads"),
            dead_letter_queue_url=self.queue_url("unread"),
        )
        patch.setattr(invocations, "load_settings", lambda: settings)
        patch.setattr(coalescer, "load_settings", lambda: uploads)

    def queue_url(self, name: str) -> str:
        return str(self._aws.client("sqs").get_queue_url(QueueName=name)["QueueUrl"])

    def become(self, function: str, without: str = "") -> Credentials:
        """Take a function's role, or what is left of it without a statement."""
        allowed = [each for sid, each in self._roles[function].items() if sid != without]
        credentials = self._aws.assume(allowed)
        s3 = connect_to(
            self._aws.endpoint_url, {name.upper(): value for name, value in credentials.items()}
        )
        self._patch.setattr(invocations, "connect", lambda: s3)
        self._patch.setattr(
            runtime_aws, "connect", lambda name, _region=None: self._aws.client(name, credentials)
        )
        return credentials

    def hand_off(self) -> dict[str, Any]:
        """Let the packager hand a job over, and give the input of its execution."""
        self.become("Packager")
        record = {"messageId": self.job, "body": json.dumps(MESSAGE | {"package_name": self.name})}
        assert packager.handler({"Records": [record]}, invocation()) == {"batchItemFailures": []}
        states = self._aws.client("stepfunctions")
        machine, _, _ = MACHINE.rpartition(":stateMachine:")
        execution = f"{machine}:execution:large-jobs:{self.job}"
        return dict(json.loads(states.describe_execution(executionArn=execution)["input"]))

    def hash_shards(self, state: dict[str, Any]) -> None:
        items = self._aws.client("s3").get_object(Bucket="scratch", Key=state["items_key"])
        for line in items["Body"].read().splitlines():
            checksum.handler(json.loads(line), invocation())

    def change_an_object(self) -> None:
        """Overwrite an object, which the large job then hashes itself."""
        self._aws.client("s3").put_object(
            Bucket="raw", Key="run/changing.txt", Body=uuid.uuid4().bytes
        )

    def finish(self, state: dict[str, Any], **more: Any) -> dict[str, Any]:
        step = {name: state[name] for name in ("job_id", "round")} | more
        return dict(large_job.handler(step, invocation()))

    def upload(self, *bodies: str) -> list[str]:
        """Hand messages to the coalescer, and give the ids of those that are to come again."""
        records = [{"messageId": str(n), "body": body} for n, body in enumerate(bodies)]
        answer = coalescer.handler({"Records": records}, invocation())
        return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


@pytest.fixture
def functions(aws: EnforcingMiniStack, roles: Roles, monkeypatch: pytest.MonkeyPatch) -> Functions:
    return Functions(aws, roles, monkeypatch)


def uploads(count: int = 2) -> list[str]:
    folder = f"lab/{uuid.uuid4()}"
    return [
        json.dumps(
            {
                "source": "aws.s3",
                "detail-type": "Object Created",
                "detail": {
                    "bucket": {"name": "raw"},
                    "object": {"key": f"{folder}/{number}", "sequencer": f"{number:02X}"},
                },
            }
        )
        for number in range(count)
    ]


def test_roles_suffice_for_a_large_job(
    functions: Functions, caplog: pytest.LogCaptureFixture
) -> None:
    state = functions.hand_off()
    functions.become("Checksum")
    functions.hash_shards(state)
    functions.become("LargeJob")
    assert functions.finish(state)["goes_on"] is False
    assert "server-side copy denied" not in caplog.text


@pytest.mark.parametrize("sid", ["ReadSources", "AccessJobFiles"])
def test_checksum_function_needs_each_statement(functions: Functions, sid: str) -> None:
    state = functions.hand_off()
    functions.become("Checksum", without=sid)
    with pytest.raises(AccessDenied):
        functions.hash_shards(state)


def test_checksum_function_needs_hash_in_scratch(
    functions: Functions, caplog: pytest.LogCaptureFixture
) -> None:
    state = functions.hand_off()
    functions.become("Checksum", without="HashInScratch")
    with caplog.at_level(logging.WARNING):
        functions.hash_shards(state)
    assert "server-side copy denied" in caplog.text


@pytest.mark.parametrize(
    "sid",
    [
        "ListSources",
        "ReadSources",
        "ListJobs",
        "AccessJobFiles",
        "ListRegistries",
        "ReadRegistries",
        "WriteRegistries",
        "PutOutcomes",
    ],
)
def test_large_job_function_needs_each_statement(functions: Functions, sid: str) -> None:
    state = functions.hand_off()
    functions.become("Checksum")
    functions.hash_shards(state)
    functions.change_an_object()
    functions.become("LargeJob", without=sid)
    with pytest.raises(PackagerError, match=r"(?i)may not|denied|refuses"):
        functions.finish(state)


def test_large_job_function_needs_to_send_dead_letters(
    functions: Functions,
) -> None:
    state = functions.hand_off()
    error = {"Error": "States.Timeout", "Cause": "It took too long."}
    functions.become("LargeJob")
    assert functions.finish(state, error=error)["code"] == "LargeJobFailed"
    functions.become("LargeJob", without="SendDeadLetters")
    with pytest.raises(AwsError, match="AccessDenied"):
        functions.finish(state, error=error)


def test_role_of_the_coalescer_suffices(functions: Functions) -> None:
    functions.become("Coalescer")
    assert functions.upload(*uploads(), "no JSON") == []


@pytest.mark.parametrize("sid", ["KeepWindows", "ScheduleChecks", "PublishReadyPrefixes"])
def test_coalescer_needs_each_statement(functions: Functions, sid: str) -> None:
    functions.become("Coalescer", without=sid)
    assert functions.upload(*uploads()) == ["0", "1"]


def test_coalescer_needs_to_send_dead_letters(functions: Functions) -> None:
    functions.become("Coalescer", without="SendDeadLetters")
    assert functions.upload("no JSON") == ["0"]


@pytest.mark.parametrize(
    ("function", "action", "arguments"),
    [
        ("Checksum", "s3:put_object", {"Bucket": "reg", "Key": ".quilt/packages/x"}),
        ("Checksum", "s3:get_object", {"Bucket": "reg", "Key": ".quilt/packages/x"}),
        ("Checksum", "s3:put_object", {"Bucket": "raw", "Key": "run/new"}),
        ("Checksum", "s3:delete_object", {"Bucket": "scratch", "Key": "jobs/x"}),
        ("LargeJob", "s3:put_object", {"Bucket": "raw", "Key": "run/new"}),
        ("LargeJob", "s3:delete_object", {"Bucket": "reg", "Key": ".quilt/packages/x"}),
        ("LargeJob", "stepfunctions:start_execution", {"stateMachineArn": MACHINE}),
        ("Coalescer", "s3:list_objects_v2", {"Bucket": "raw"}),
        ("Coalescer", "s3:get_object", {"Bucket": "raw", "Key": "run/0.bin"}),
        ("Coalescer", "dynamodb:scan", {"TableName": "windows"}),
        ("Coalescer", "dynamodb:delete_table", {"TableName": "windows"}),
    ],
)
def test_roles_allow_nothing_more(
    functions: Functions,
    aws: EnforcingMiniStack,
    function: str,
    action: str,
    arguments: dict[str, Any],
) -> None:
    service, _, operation = action.partition(":")
    client = aws.client(service, functions.become(function))
    with pytest.raises(ClientError, match="AccessDenied"):
        getattr(client, operation)(**arguments)


@pytest.mark.parametrize(
    ("function", "bus", "source"),
    [
        ("LargeJob", "announcements", "quilt.packager"),
        ("Coalescer", "default", "quilt.packager.uploads"),
    ],
)
def test_roles_cannot_publish_on_other_buses(
    functions: Functions, aws: EnforcingMiniStack, function: str, bus: str, source: str
) -> None:
    client = aws.client("events", functions.become(function))
    entry = {"EventBusName": bus, "Source": source, "DetailType": "x", "Detail": "{}"}
    with pytest.raises(ClientError, match="AccessDenied"):
        client.put_events(Entries=[entry])


def test_all_statements_are_tried_here(roles: Roles) -> None:
    tried = {
        "Checksum": {"ReadSources", "AccessJobFiles", "HashInScratch"} | TO_MISS_KEYS,
        "LargeJob": {
            *("ListSources", "ReadSources", "ListJobs", "AccessJobFiles", "HashInScratch"),
            *("ListRegistries", "ReadRegistries", "WriteRegistries"),
            *("PutOutcomes", "SendDeadLetters"),
        },
        "Coalescer": {"KeepWindows", "ScheduleChecks", "PublishReadyPrefixes", "SendDeadLetters"},
    }
    for function, sids in tried.items():
        assert sids == {
            sid for sid in roles[function] if not any(each in sid for each in NOT_FOR_THE_CODE)
        }
