"""The roles grant the actions that the functions' requests take, and no others.

The functions run on the S3 stub and on clients of boto3 that answer by themselves, each with an
access key of its own; the stack is one with all optional parts and a key for each of them.
"""

import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import msgspec
import pytest
import quilt_packager_runtime
from aws_cdk import Duration
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk.aws_scheduler import ScheduleExpression
from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import AccessDenied, SourceChanged, WriteConflict
from quilt_packager_runtime.handlers import (
    audit,
    checksum,
    coalescer,
    invocations,
    large_job,
    packager,
    promotion,
)
from quilt_packager_runtime.settings import Settings
from quilt_packager_runtime.settings.promotion_settings import PromotionSettings
from quilt_packager_runtime.settings.source_options import SourceOptions
from quilt_packager_runtime.settings.upload_settings import UploadSettings

from quilt_packager import Audit, HealthOmicsRuns, ObjectUploads
from quilt_packager.local.ministack import ACCOUNT, REGION
from tests.constructs.templates import add_engine, find, make_stack, permissions_of, template_of
from tests.integration.enforcement import resolve
from tests.integration.iam_needs import (
    Grant,
    Need,
    Statement,
    arn,
    boto_needs,
    covers,
    grants_of,
    s3_needs,
)
from tests.lambda_context import invocation
from tests.packager_function import crate_event
from tests.runtime_s3 import connect_to
from tests.s3_stub import S3Stub, Version, Versioning

pytestmark = pytest.mark.xdist_group("granted-actions")  # the functions run once for all tests

FUNCTIONS = ("Packager", "Checksum", "LargeJob", "Coalescer", "Audit", "Promotion")
MIB = 2**20
FAR_FUTURE_MS = "32503680000000"
"""The time when messages are sent: no folder has settled."""
MACHINE = arn("states", "stateMachine:jobs")
TOPIC = arn("sns", "notices")
KEYS = {
    name: arn("kms", f"key/{name}")
    for name in ("source", "registry", "engine", "topic", "production")
}
KEY_OF = {
    "raw": KEYS["source"],
    "reg": KEYS["registry"],
    "production": KEYS["production"],
    "refused": KEYS["engine"],
    "notices": KEYS["topic"],
    **dict.fromkeys(("scratch", "jobs", "dead-letters", "uploads", "unread"), KEYS["engine"]),
    "windows": KEYS["engine"],
    "lineage": KEYS["engine"],
}
RESOURCES = {
    "LogP": arn("logs", "log-group:packager"),
    "Log": arn("logs", "log-group:other"),
    "ScratchBucket": "arn:aws:s3:::scratch",
    "LargeJobs": MACHINE,
    "PackagerDeadLetterQueue": arn("sqs", "dead-letters"),
    "PackagerQueue": arn("sqs", "jobs"),
    "CoalescerDeadLetterQueue": arn("sqs", "unread"),
    "CoalescerQueue": arn("sqs", "uploads"),
    "PromotionDeadLetterQueue": arn("sqs", "refused"),
    "Windows": arn("dynamodb", "table/windows"),
    "Lineage": arn("dynamodb", "table/lineage"),
    "Bus": arn("events", "event-bus/announcements"),
}
OF_LAMBDA = frozenset(
    {
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
    }
)
"""Actions that Lambda itself takes by the role: it polls the queue, and writes the log."""

SIDS_OF_LAMBDA = frozenset({"DecryptEnvironment"})

COMPARED_BY_STATEMENT = {"s3control"}
"""No server here has S3 Batch Operations; `test_archived.py` compares the statements."""

NOT_ON_AWS = frozenset({"GetBucketVersioning"})
"""Operations for servers without ListObjectVersions, which S3 has."""

WORKFLOWS = """\
version: '1'
is_workflow_required: false
workflows: {{plain: {{name: Plain, metadata_schema: any}}}}
schemas: {{any: {{url: 's3://{}/.quilt/workflows/{}'}}}}
"""
SETTINGS = Settings(
    source_buckets=("raw",),
    registry_buckets=("reg",),
    default_registry="reg",
    scratch_bucket="scratch",
    state_machine_arn=MACHINE,
    dead_letter_queue_url=f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/dead-letters",
    max_attempts=3,
    event_bus="default",
    engine="lab",
    notifications_topic_arn=TOPIC,
    lineage_table="lineage",
    sources=(SourceOptions(kind="workflow_run_crate", settle_seconds=60),),
)
INLINE = {"max_inline_objects": 100_000}
HANDED_OFF = {"max_inline_objects": 1, "max_shard_objects": 100_000}
UPLOADS = UploadSettings(
    threshold_event_count=2,
    event_bus="announcements",
    table="windows",
    queue_url=f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/uploads",
    dead_letter_queue_url=f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/unread",
)
PROMOTION = PromotionSettings(
    registry="production",
    copy_to="s3://production/data/",
    workflow="plain",
    engine="lab",
    event_bus="default",
    dead_letter_queue_url=f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/refused",
)
ANSWERS: dict[str, dict[str, Any]] = {
    "PutEvents": {"FailedEntryCount": 0, "Entries": []},
    "GetRun": {"id": "7", "outputUri": "s3://raw/kept/"},
    "UpdateItem": {"Attributes": {"uploads": {"BS": [b"1", b"2"]}, "quiet_at": {"N": "1"}}},
    "Query": {"Items": []},
    "GetItem": {"Item": {"uploads": {"BS": [b"1", b"2"]}, "quiet_at": {"N": "1"}}},
    "SendMessageBatch": {"Successful": [], "Failed": []},
}


class Account:
    """The functions, with records of what each asks for.

    Attributes:
        raw: The source bucket.
        needs: The permissions that each function's calls of boto3 take.
        services: The services that were called.
    """

    def __init__(self, stub: S3Stub, patch: pytest.MonkeyPatch) -> None:
        self.stub = stub
        self.raw = stub.create_bucket("raw")
        self.needs: dict[str, set[Need]] = {function: set() for function in FUNCTIONS}
        self.services: set[str] = set()
        self._scratch = stub.create_bucket("scratch", versioning=Versioning.OFF)
        self._registry = stub.create_bucket("reg")
        self.production = stub.create_bucket("production")
        # Their roles list by prefix only.
        for bucket in (self._scratch, self._registry, self.production):
            bucket.hides_missing_keys = True
        self._function = ""
        self._patch = patch
        patch.setattr(clients, "connect", cache(self._connect))
        patch.setattr(clients, "prepare", lambda _service: None)
        patch.setattr(coalescer, "load_settings", lambda: UPLOADS)
        patch.setattr(promotion, "load_settings", lambda: PROMOTION)
        for registry in (self._registry, self.production):
            schema = registry.put(".quilt/workflows/any.json", "{}")
            for version in ("", f"?versionId={schema.version_id}"):
                rules = WORKFLOWS.format(registry.name, f"any.json{version}")
                registry.put(".quilt/workflows/config.yml", rules)

    def become(self, function: str, **settings: Any) -> None:
        """Let the next calls be those of a function."""
        self._function = function
        key = {"AWS_ACCESS_KEY_ID": function.upper(), "AWS_SECRET_ACCESS_KEY": "secret"}
        connected = connect_to(self.stub.url, key, retry_base_ms=1)
        chosen = msgspec.structs.replace(SETTINGS, **settings)
        self._patch.setattr(invocations, "load_settings", lambda: chosen)
        self._patch.setattr(invocations, "connect", lambda: connected)

    def describe(self, folder: str) -> Version:
        """Write a metadata file that names an input."""
        used = self.raw.put("used.bin", b"x")
        inputs = {"input_uris": [f"s3://raw/used.bin?versionId={used.version_id}"]}
        return self.raw.put(f"meta/{folder}x.json", json.dumps(inputs))

    def fill(self, folder: str) -> None:
        """Write objects whose checksums are stored, stored in parts, read, and copied."""
        unversioned = folder == "plain/"
        self.raw.versioning = Versioning.OFF if unversioned else Versioning.ENABLED
        large = os.urandom(9 * MIB)
        self.raw.put(f"{folder}stored", "stored", stored=["SHA256"])
        self.raw.put(f"{folder}read", "read", stored=[])
        self.raw.put(f"{folder}copied", large, stored=[])
        self.raw.put(f"{folder}parts", large, stored=["SHA256"], part_sizes=[8 * MIB, MIB])

    def fill_with_empty_objects(self) -> None:
        """Write the objects of a manifest that is uploaded in parts; they need no request."""
        for number in range(4500):
            self.raw.put(f"many/{number:04}{'x' * 900}")
        self.raw.put("many/1", "1", stored=["SHA256"])
        self.raw.put("many/2", "2", stored=["SHA256"])

    def deliver(self, body: dict[str, Any] | str, *, deliveries: int = 1) -> str:
        """Deliver a message to the packager, and return the id of its job."""
        job_id = os.urandom(8).hex()
        for number in range(deliveries):
            self._deliver(job_id, body if isinstance(body, str) else json.dumps(body), number + 1)
        return job_id

    def _deliver(self, job_id: str, body: str, number: int) -> None:
        record = {
            "messageId": job_id,
            "body": body,
            "receiptHandle": "receipt",
            "attributes": {"ApproximateReceiveCount": str(number), "SentTimestamp": FAR_FUTURE_MS},
            "eventSourceARN": arn("sqs", "jobs"),
        }
        packager.handler({"Records": [record]}, invocation())

    def promote(self, name: str) -> None:
        """Promote the newest revision of a package of the registry."""
        latest = self._registry.get(f".quilt/named_packages/{name}/latest")
        assert latest
        detail = {"registry": "reg", "package_name": name, "top_hash": latest.data.decode()}
        promotion.handler({"event": {"id": "1", "detail": detail}}, invocation())

    def deny(self, key: str) -> None:
        """Deny the next HEAD of an object."""
        self.stub.on("HeadObject", key=key).answer(403, "AccessDenied")

    def copy_nothing(self) -> None:
        """Let the next promotions leave the objects where they are."""
        settings = msgspec.structs.replace(PROMOTION, copy_to=None)
        self._patch.setattr(promotion, "load_settings", lambda: settings)

    def fail_completion(self, bucket: str = "reg") -> None:
        """Refuse the next upload, which is then aborted."""
        completion = self.stub.on("CompleteMultipartUpload", bucket=bucket)
        completion.answer(412, "PreconditionFailed")

    def hash_shards(self, job_id: str) -> None:
        items = self._scratch.get(f"jobs/{job_id}/00/items.jsonl")
        assert items
        for line in items.data.splitlines():
            checksum.handler(json.loads(line), invocation())

    def s3_needs_of(self, function: str) -> Iterator[Need]:
        for request in self.stub.requests:
            if request.access_key == function.upper():
                yield from s3_needs(request, KEY_OF)

    def _connect(self, service: str, _region: str | None = None) -> Any:
        client = boto3.client(service, region_name=REGION)
        prefix = client.meta.service_model.signing_name
        self.services.add(service)

        def keep(params: dict[str, Any], model: Any, **_: object) -> None:
            self.needs[self._function].update(boto_needs(prefix, model.name, params, KEY_OF))

        def answer(model: Any, **_: object) -> Any:
            return SimpleNamespace(status_code=200), ANSWERS.get(model.name, {})

        client.meta.events.register("provide-client-params.*.*", keep)
        client.meta.events.register("before-call.*.*", answer)
        return client


def message(folder: str, **fields: str) -> dict[str, Any]:
    return {"source_prefix": f"s3://raw/{folder}", "package_name": "lab/" + folder[:-1], **fields}


def run_packager(account: Account) -> None:
    account.become("Packager", **INLINE)
    for folder in ("plain/", "kept/"):
        metadata = account.describe(folder)
        version = f"?versionId={metadata.version_id}" if folder == "kept/" else ""
        uri = f"s3://raw/meta/{folder}x.json{version}"
        account.deliver(message(folder, metadata_uri=uri, workflow="plain"), deliveries=2)
    account.deliver(message("kept/", metadata_uri="missing.json"))  # rejected
    account.deliver(message("many/"))
    account.fill_with_empty_objects()  # other versions: the manifest is written again
    account.fail_completion()
    account.deliver(message("many/"))
    account.deliver(crate_event("1"))  # deferred
    run = {"arn": arn("omics", "run/7"), "status": "COMPLETED"}
    event = {"source": "aws.omics", "detail-type": "Run Status Change", "id": "1", "detail": run}
    account.deliver(json.dumps(event))


def run_large_jobs(account: Account) -> None:
    for folder in ("plain/", "kept/", "many/"):
        account.become("Packager", **HANDED_OFF)
        account.describe(folder)
        uri = f"s3://raw/meta/{folder}x.json"
        fields = {"package_name": f"large/{folder[:-1]}", "workflow": "plain", "metadata_uri": uri}
        job_id = account.deliver(message(folder, **fields), deliveries=2)
        account.become("Checksum")
        if folder == "kept/":
            account.raw.delete("kept/stored", account.raw.versions("kept/stored")[0].version_id)
            account.deny("kept/parts")
            with pytest.raises(AccessDenied):
                account.hash_shards(job_id)
        account.hash_shards(job_id)
        account.become("LargeJob", **INLINE)
        step = {"job_id": job_id, "round": 0}
        if folder == "many/":
            account.fill_with_empty_objects()
            account.fail_completion()
        else:
            account.fill(folder)  # hashed by the function itself
        if folder == "kept/":
            account.deny("kept/parts")
            with pytest.raises(AccessDenied):
                large_job.handler(step, invocation())
            account.stub.on("HeadObject", key="kept/parts").answer(404, "NoSuchKey")
            with pytest.raises(SourceChanged):
                large_job.handler(step, invocation())
        large_job.handler(step, invocation())
        error = {"Error": "States.Timeout", "Cause": "It took too long."}
        large_job.handler({**step, "error": error}, invocation())


def run_coalescer(account: Account) -> None:
    account.become("Coalescer")
    bodies = [
        json.dumps(
            {
                "source": "aws.s3",
                "detail-type": "Object Created",
                "detail": {"bucket": {"name": "raw"}, "object": {"key": "a/b/c", "sequencer": "1"}},
            }
        ),
        '{"check":"window","folder":{"bucket":"raw","prefix":"a/b/"},"quiet_at_ms":5}',
        "poison",
    ]
    records = [{"messageId": str(n), "body": body} for n, body in enumerate(bodies)]
    assert coalescer.handler({"Records": records}, invocation()) == {"batchItemFailures": []}


def run_audit(account: Account) -> None:
    account.become("Audit", scratch_bucket=None)
    assert audit.handler({}, invocation())["done"]


def run_promotion(account: Account) -> None:
    production = account.production
    for folder in ("plain/", "kept/"):
        account.fill(folder)
        account.become("Packager", **INLINE)
        account.deliver(message(folder, workflow="plain"))
        account.become("Promotion")
        production.versioning = Versioning.OFF if folder == "plain/" else Versioning.ENABLED
        for _ in range(2):
            account.promote(f"lab/{folder[:-1]}")
    production.versioning = Versioning.OFF
    production.put("data/lab/kept/stored", "other")  # in the way
    account.promote("lab/kept")
    production.versioning = Versioning.ENABLED
    account.fill("kept/")
    account.become("Packager", **INLINE)
    account.deliver(message("kept/", workflow="plain"))
    account.become("Promotion")
    account.raw.delete("kept/copied", account.raw.versions("kept/copied")[0].version_id)
    account.promote("lab/kept")
    account.fill("kept/")
    account.become("Packager", **INLINE)
    account.deliver(message("kept/", workflow="plain"))
    account.become("Promotion")
    account.fail_completion("production")  # of a copy in parts
    with pytest.raises(WriteConflict):
        account.promote("lab/kept")
    account.copy_nothing()
    for _ in range(2):
        account.fail_completion("production")  # of a large manifest
        account.promote("lab/many")


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with S3Stub() as stub, pytest.MonkeyPatch.context() as patch:
        account = Account(stub, patch)
        account.fill("plain/")
        account.fill("kept/")
        account.fill_with_empty_objects()
        run_packager(account)
        run_large_jobs(account)
        run_coalescer(account)
        run_audit(account)
        run_promotion(account)
        for function in FUNCTIONS:
            account.needs[function].update(account.s3_needs_of(function))
        yield account


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    stack = make_stack()
    keys = {name: kms.Key.from_key_arn(stack, f"{name}-key", KEYS[name]) for name in KEYS}
    topic = sns.Topic.from_topic_attributes(stack, "Topic", topic_arn=TOPIC, key_arn=KEYS["topic"])
    raw, reg, production = (
        s3.Bucket.from_bucket_attributes(
            stack, f"{name}-bucket", bucket_name=name, region=REGION, encryption_key=key
        )
        for name, key in (
            ("raw", keys["source"]),
            ("reg", keys["registry"]),
            ("production", keys["production"]),
        )
    )
    engine = add_engine(
        stack,
        source_buckets=[raw],
        registry_buckets=[reg],
        encryption_key=keys["engine"],
        notifications_topic=topic,
        audit=Audit(ScheduleExpression.rate(Duration.days(7))),
        lineage=True,
        event_sources=[HealthOmicsRuns(), ObjectUploads()],
    )
    engine.promote_to(production, copy_data_to="data/")
    return template_of(stack)


@pytest.fixture(scope="module")
def roles(template: dict[str, Any]) -> dict[str, list[Statement]]:
    return {
        function: [
            resolve(statement, RESOURCES)
            for statement in permissions_of(template, f"{function}Function").values()
        ]
        for function in FUNCTIONS
    }


def unused(statements: list[Statement], needs: set[Need]) -> list[Grant]:
    return [
        grant
        for statement in statements
        if statement["Effect"] == "Allow" and statement.get("Sid") not in SIDS_OF_LAMBDA
        for grant in grants_of(statement)
        if grant.action not in OF_LAMBDA
        and not any(covers(statement, grant, need) for need in needs)
    ]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_granted_action_is_taken(
    account: Account, roles: dict[str, list[Statement]], function: str
) -> None:
    assert [str(each) for each in unused(roles[function], account.needs[function])] == []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_action_that_is_taken_is_granted(
    account: Account, roles: dict[str, list[Statement]], function: str
) -> None:
    granted = [
        (statement, grant)
        for statement in roles[function]
        if statement["Effect"] == "Allow"
        for grant in grants_of(statement)
    ]
    missing = {
        need
        for need in account.needs[function]
        if not any(covers(statement, grant, need) for statement, grant in granted)
    }
    assert sorted(missing) == []


def test_each_operation_of_the_runtime_is_taken_here(account: Account) -> None:
    runtime = Path(quilt_packager_runtime.__file__).parent
    source = "".join(path.read_text("utf-8") for path in runtime.rglob("*.py"))
    operations = set(re.findall(r'operation="(\w+)"', source)) - NOT_ON_AWS
    assert operations <= {request.operation for request in account.stub.requests}
    called = set(re.findall(r'\bconnect\("(\w+)"', source))
    assert called - COMPARED_BY_STATEMENT <= account.services


def test_each_function_is_run_here(template: dict[str, Any]) -> None:
    handlers = {
        function["Properties"]["Handler"].split(".")[-2]
        for function in find(template, "AWS::Lambda::Function").values()
    }
    assert handlers == {"packager", "checksum", "large_job", "coalescer", "audit", "promotion"}
