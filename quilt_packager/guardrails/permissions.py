"""The permissions of the functions: named statements for each capability, with explicit actions.

The grants of CDK's buckets allow more (any `Get`, any `List`, tagging, deletion), so none is used.
"""

from collections.abc import Iterable, Iterator, Sequence

from aws_cdk import ArnFormat, Aws, IResource, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct
from quilt_packager_runtime.formats.event_names import EVENT_SOURCE
from quilt_packager_runtime.formats.objects import (
    ITEMS_FILE,
    JOBS_PREFIX,
    REGISTRY_PREFIX,
    SCRATCH_PREFIX,
)

from quilt_packager.contract import log_group_name
from quilt_packager.guardrails.nag import acknowledge_wildcards

BATCH_OPERATIONS = "batchoperations.s3.amazonaws.com"
"""The service principal of S3 Batch Operations."""

_ALIAS = ":alias/"
_BY_ALIAS = "ByAlias"
_ENCRYPT = ["kms:Decrypt", "kms:GenerateDataKey"]
_MANIFESTS = ".quilt/packages/*"
_WRITABLE = (_MANIFESTS, ".quilt/named_packages/*")
_WORKFLOWS = ".quilt/workflows/*"

MAX_STATEMENT_RESOURCES = 12
"""Maximum number of resources of a statement; longer ones are divided.

CDK moves whole statements to managed policies, which have at most 6,144 characters, and counts 150
for each ARN that it cannot resolve: three statements of this size fill a policy.
"""

_NAMED_AT_RUN_TIME = "Packages, revisions, uploads and runs get their names at run time."
_KNOWN_BY_ALIAS = "Only the alias of the key is known; a condition names it."
_WILDCARD_REASONS = {
    "ReadSources": "Messages name the objects to package.",
    "ReadRegistries": _NAMED_AT_RUN_TIME,
    "ReadSchemaVersions": "The workflows of a registry may name versions of schemas.",
    "WriteRegistries": _NAMED_AT_RUN_TIME,
    "AbortManifests": _NAMED_AT_RUN_TIME,
    "HashInScratch": _NAMED_AT_RUN_TIME,
    "AccessJobFiles": _NAMED_AT_RUN_TIME,
    "ComputeChecksums": "Messages name the objects to package.",
    "ReadManifests": _NAMED_AT_RUN_TIME,
    "WriteReports": _NAMED_AT_RUN_TIME,
    "CreateBatchJobs": "S3 supports no resource for this action.",
    "DescribeBatchJobs": _NAMED_AT_RUN_TIME,
    "GetOmicsRuns": _NAMED_AT_RUN_TIME,
    "ReadPromoted": _NAMED_AT_RUN_TIME,
    "ReadOriginals": "Manifests name the objects to copy.",
    "WriteCopies": _NAMED_AT_RUN_TIME,
    "JoinVpc": "EC2 supports no resource for most of these actions.",
}


def add_statements(function: lambda_.Function, statements: Iterable[iam.PolicyStatement]) -> None:
    """Add statements to the role of a function."""
    if function.role:
        add_to_role(function.role, statements)


def add_to_role(role: iam.IRole, statements: Iterable[iam.PolicyStatement]) -> None:
    """Add statements to a role."""
    for statement in statements:
        for part in _split(statement):
            role.add_to_principal_policy(part)
        sid = statement.sid or ""
        reason = _KNOWN_BY_ALIAS if sid.endswith(_BY_ALIAS) else _WILDCARD_REASONS.get(sid)
        if reason:
            acknowledge_wildcards(role, statement, reason)


def is_alias(key: kms.IKey) -> bool:
    """Return whether only the alias of a key is known. Its ARN permits no use of the key."""
    return _ALIAS in key.key_arn


def grant_use_by_alias(grantee: iam.IGrantable, key: kms.IKey) -> iam.Grant:
    """Allow a principal to send to what a key encrypts of which only the alias is known.

    CDK's own grants leave such keys out.
    """
    return iam.Grant.add_to_principal(
        grantee=grantee,
        actions=_ENCRYPT,
        resource_arns=[_any_key(key)],
        conditions=_has_alias([key]),
    )


def read_sources(buckets: Sequence[s3.IBucket]) -> list[iam.PolicyStatement]:
    """List buckets, and read their objects and attributes."""
    return [
        iam.PolicyStatement(
            sid="ListSources",
            actions=["s3:ListBucket", "s3:ListBucketVersions"],
            resources=[bucket.bucket_arn for bucket in buckets],
        ),
        iam.PolicyStatement(
            sid="ReadSources",
            actions=[
                "s3:GetObject",
                "s3:GetObjectAttributes",
                "s3:GetObjectVersion",
                "s3:GetObjectVersionAttributes",
            ],
            resources=[bucket.arn_for_objects("*") for bucket in buckets],
        ),
        *_use_keys("DecryptSources", ["kms:Decrypt"], buckets),
    ]


def write_registries(buckets: Sequence[s3.IBucket]) -> list[iam.PolicyStatement]:
    """Publish packages below `.quilt/`, and read the workflows there."""
    return [
        _list_registries(buckets),
        iam.PolicyStatement(
            sid="ReadRegistries",
            actions=["s3:GetObject"],
            resources=_objects(buckets, (*_WRITABLE, _WORKFLOWS)),
        ),
        iam.PolicyStatement(
            sid="ReadSchemaVersions",
            actions=["s3:GetObjectVersion"],
            resources=_objects(buckets, [_WORKFLOWS]),
        ),
        iam.PolicyStatement(
            sid="WriteRegistries",
            actions=["s3:PutObject"],
            resources=_objects(buckets, _WRITABLE),
        ),
        iam.PolicyStatement(
            sid="AbortManifests",
            actions=["s3:AbortMultipartUpload"],
            resources=_objects(buckets, [_MANIFESTS]),
        ),
        *_use_keys("EncryptRegistries", _ENCRYPT, buckets),
    ]


def read_registries(buckets: Sequence[s3.IBucket]) -> list[iam.PolicyStatement]:
    """Read packages below `.quilt/`, and write nothing."""
    return [
        _list_registries(buckets),
        iam.PolicyStatement(
            sid="ReadRegistries",
            actions=["s3:GetObject"],
            resources=_objects(buckets, _WRITABLE),
        ),
        *_use_keys("DecryptRegistries", ["kms:Decrypt"], buckets),
    ]


def read_lifecycle_rules(buckets: Sequence[s3.IBucket]) -> iam.PolicyStatement:
    """Read the lifecycle rules of buckets."""
    return iam.PolicyStatement(
        sid="ReadLifecycleRules",
        actions=["s3:GetLifecycleConfiguration"],
        resources=[bucket.bucket_arn for bucket in buckets],
    )


def read_promoted(
    registries: Sequence[s3.IBucket],
) -> list[iam.PolicyStatement]:
    """Read the manifests and pointers of registries whose revisions are promoted."""
    return [
        iam.PolicyStatement(
            sid="ListPromoted",
            actions=["s3:ListBucket"],
            resources=[bucket.bucket_arn for bucket in registries],
            conditions={"StringLike": {"s3:prefix": f"{REGISTRY_PREFIX}named_packages/*"}},
        ),
        iam.PolicyStatement(
            sid="ReadPromoted",
            actions=["s3:GetObject"],
            resources=_objects(registries, _WRITABLE),
        ),
        *_use_keys("DecryptPromoted", ["kms:Decrypt"], registries),
    ]


def copy_objects(
    sources: Sequence[s3.IBucket], target: s3.IBucket, prefix: str
) -> list[iam.PolicyStatement]:
    """Copy objects with their tags below a prefix, and read the copies."""
    copies = _objects([target], [f"{prefix}*"])
    return [
        iam.PolicyStatement(
            sid="ReadOriginals",
            actions=[
                "s3:GetObject",
                "s3:GetObjectTagging",
                "s3:GetObjectVersion",
                "s3:GetObjectVersionTagging",
            ],
            resources=_objects(sources, ["*"]),
        ),
        iam.PolicyStatement(
            sid="FindMissingOriginals",
            actions=["s3:ListBucket"],
            resources=[bucket.bucket_arn for bucket in sources],
        ),
        iam.PolicyStatement(
            sid="ListCopies",
            actions=["s3:ListBucketVersions"],
            resources=[target.bucket_arn],
            conditions={"StringLike": {"s3:prefix": f"{prefix}*"}},
        ),
        iam.PolicyStatement(
            sid="FindVersioning",
            actions=["s3:GetBucketVersioning"],
            resources=[target.bucket_arn],
        ),
        iam.PolicyStatement(
            sid="WriteCopies",
            actions=[
                "s3:AbortMultipartUpload",
                "s3:GetObject",
                "s3:GetObjectAttributes",
                "s3:GetObjectVersion",
                "s3:GetObjectVersionAttributes",
                "s3:PutObject",
                "s3:PutObjectTagging",
            ],
            resources=copies,
        ),
        *_use_keys("DecryptOriginals", ["kms:Decrypt"], sources),
        *_use_keys("EncryptCopies", _ENCRYPT, [target]),
    ]


def hash_in_scratch(buckets: Sequence[s3.IBucket]) -> list[iam.PolicyStatement]:
    """Copy objects into multipart uploads that S3 hashes, and abort them."""
    return [
        iam.PolicyStatement(
            sid="HashInScratch",
            actions=["s3:AbortMultipartUpload", "s3:PutObject"],
            resources=_objects(buckets, [f"{SCRATCH_PREFIX}*"]),
            conditions=_in_accounts(buckets),
        ),
        *_use_keys("EncryptScratch", _ENCRYPT, buckets),
    ]


def access_job_files(bucket: s3.IBucket) -> list[iam.PolicyStatement]:
    """List, read and write the files of large jobs."""
    return [
        iam.PolicyStatement(
            sid="ListJobs",
            actions=["s3:ListBucket"],
            resources=[bucket.bucket_arn],
            conditions={"StringLike": {"s3:prefix": f"{JOBS_PREFIX}*"}, **_in_accounts([bucket])},
        ),
        iam.PolicyStatement(
            sid="AccessJobFiles",
            actions=["s3:GetObject", "s3:PutObject"],
            resources=_objects([bucket], [f"{JOBS_PREFIX}*"]),
            conditions=_in_accounts([bucket]),
        ),
    ]


def compute_checksums(buckets: Sequence[s3.IBucket]) -> list[iam.PolicyStatement]:
    """Compute checksums of objects, as S3 Batch Operations does by its role.

    AWS requires `s3:RestoreObject`, although no object is restored for its reader.
    """
    return [
        iam.PolicyStatement(
            sid="ComputeChecksums",
            actions=["s3:GetObject", "s3:GetObjectVersion", "s3:RestoreObject"],
            resources=_objects(buckets, ["*"]),
        ),
        *_use_keys("DecryptArchived", ["kms:Decrypt"], buckets),
    ]


def exchange_batch_files(bucket: s3.IBucket) -> list[iam.PolicyStatement]:
    """Read manifests of S3 Batch Operations, and write reports. Both have S3's own encryption."""
    return [
        iam.PolicyStatement(
            sid="ReadManifests",
            actions=["s3:GetObject", "s3:GetObjectVersion"],
            resources=_objects([bucket], [f"{JOBS_PREFIX}*/batch/*.csv"]),
            conditions=_in_accounts([bucket]),
        ),
        iam.PolicyStatement(
            sid="WriteReports",
            actions=["s3:PutObject"],
            resources=_objects([bucket], [f"{JOBS_PREFIX}*/batch/reports/*"]),
            conditions=_in_accounts([bucket]),
        ),
    ]


def run_batch_jobs(role: iam.IRole) -> list[iam.PolicyStatement]:
    """Create jobs of S3 Batch Operations that compute checksums by a role, and watch them."""
    jobs = Stack.of(role).format_arn(service="s3", resource="job", resource_name="*")
    return [
        iam.PolicyStatement(
            sid="CreateBatchJobs",
            actions=["s3:CreateJob"],
            resources=["*"],
            conditions={"StringEquals": {"s3:RequestJobOperation": "S3ComputeObjectChecksum"}},
        ),
        iam.PolicyStatement(sid="DescribeBatchJobs", actions=["s3:DescribeJob"], resources=[jobs]),
        iam.PolicyStatement(
            sid="PassBatchRole",
            actions=["iam:PassRole"],
            resources=[role.role_arn],
            conditions={"StringEquals": {"iam:PassedToService": BATCH_OPERATIONS}},
        ),
    ]


def start_large_jobs(machine: sfn.IStateMachine) -> iam.PolicyStatement:
    """Start executions of the state machine."""
    return iam.PolicyStatement(
        sid="StartLargeJobs",
        actions=["states:StartExecution"],
        resources=[machine.state_machine_arn],
    )


def start_audits(machine: sfn.IStateMachine) -> iam.PolicyStatement:
    """Start executions of the audit's state machine."""
    return iam.PolicyStatement(
        sid="StartAudits",
        actions=["states:StartExecution"],
        resources=[machine.state_machine_arn],
    )


def start_promotions(machine: sfn.IStateMachine) -> iam.PolicyStatement:
    """Start executions of the state machine of promotions, as EventBridge does by a role."""
    return iam.PolicyStatement(
        sid="StartPromotions",
        actions=["states:StartExecution"],
        resources=[machine.state_machine_arn],
    )


def invoke(functions: Sequence[lambda_.IFunction]) -> iam.PolicyStatement:
    """Invoke functions."""
    return iam.PolicyStatement(
        sid="InvokeFunctions",
        actions=["lambda:InvokeFunction"],
        resources=[function.function_arn for function in functions],
    )


def read_items(bucket: s3.IBucket) -> list[iam.PolicyStatement]:
    """Read the lists of shards, one for each round of a job."""
    return [
        iam.PolicyStatement(
            sid="ReadItems",
            actions=["s3:GetObject"],
            resources=_objects([bucket], [f"{JOBS_PREFIX}*/{ITEMS_FILE}"]),
            conditions=_in_accounts([bucket]),
        ),
        *_use_keys("DecryptItems", ["kms:Decrypt"], [bucket]),
    ]


def join_vpc() -> iam.PolicyStatement:
    """Let Lambda connect a function to a VPC by its role."""
    return iam.PolicyStatement(
        sid="JoinVpc",
        actions=[
            "ec2:AssignPrivateIpAddresses",
            "ec2:CreateNetworkInterface",
            "ec2:DeleteNetworkInterface",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSubnets",
            "ec2:UnassignPrivateIpAddresses",
        ],
        resources=["*"],
    )


def decrypt_environment(key: kms.IKey) -> iam.PolicyStatement:
    """Decrypt the environment of a function, as Lambda does by the function's role."""
    return iam.PolicyStatement(
        sid="DecryptEnvironment", actions=["kms:Decrypt"], resources=[key.key_arn]
    )


def encrypt_logs(scope: Construct, service: str) -> iam.PolicyStatement:
    """Allow CloudWatch Logs to encrypt the logs of an engine, in a key's own policy."""
    stack = Stack.of(scope)
    log_groups = stack.format_arn(
        service="logs",
        resource="log-group",
        resource_name=log_group_name(service, "*"),
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )
    return iam.PolicyStatement(
        sid="EncryptLogs",
        principals=[iam.ServicePrincipal(f"logs.{stack.region}.{stack.url_suffix}")],
        actions=[
            "kms:Decrypt",
            "kms:DescribeKey",
            "kms:Encrypt",
            "kms:GenerateDataKey",
            "kms:GenerateDataKeyWithoutPlaintext",
            "kms:ReEncryptFrom",
            "kms:ReEncryptTo",
        ],
        resources=["*"],
        conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": log_groups}},
    )


def run_distributed_map(machine: sfn.StateMachine) -> list[iam.PolicyStatement]:
    """Run the items of a state machine's map as executions, and redrive them."""

    def executions(pattern: str) -> str:
        return Stack.of(machine).format_arn(
            service="states",
            resource="execution",
            resource_name=f"{machine.state_machine_name}{pattern}",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )

    return [
        iam.PolicyStatement(
            sid="StartItems",
            actions=["states:StartExecution"],
            resources=[machine.state_machine_arn],
        ),
        iam.PolicyStatement(
            sid="WatchItems",
            actions=["states:DescribeExecution", "states:StopExecution"],
            resources=[executions(":*")],
        ),
        iam.PolicyStatement(
            sid="RedriveItems",
            actions=["states:RedriveExecution"],
            resources=[executions("/*")],
        ),
    ]


def write_xray_traces() -> iam.PolicyStatement:
    """Send traces to X-Ray, whose actions support no resource."""
    return iam.PolicyStatement(
        sid="Trace",
        actions=[
            "xray:GetSamplingRules",
            "xray:GetSamplingTargets",
            "xray:PutTelemetryRecords",
            "xray:PutTraceSegments",
        ],
        resources=["*"],
    )


def send_dead_letters(
    dead_letter_queue: sqs.IQueue, key: kms.IKey | None
) -> list[iam.PolicyStatement]:
    """Send messages to the dead-letter queue, and use the key of both queues through SQS only."""
    return [
        iam.PolicyStatement(
            sid="SendDeadLetters",
            actions=["sqs:SendMessage"],
            resources=[dead_letter_queue.queue_arn],
        ),
        *_use_key("UseQueueKey", key, "sqs", dead_letter_queue),
    ]


def put_outcomes(event_bus: events.IEventBus) -> iam.PolicyStatement:
    """Publish outcomes on a bus, under the engine's own event source only."""
    return iam.PolicyStatement(
        sid="PutOutcomes",
        actions=["events:PutEvents"],
        resources=[event_bus.event_bus_arn],
        conditions={"StringEquals": {"events:source": EVENT_SOURCE}},
    )


def publish_notices(topic: sns.ITopic) -> list[iam.PolicyStatement]:
    """Publish notifications of failures, and use the topic's key through SNS only."""
    return [
        iam.PolicyStatement(
            sid="PublishNotices", actions=["sns:Publish"], resources=[topic.topic_arn]
        ),
        *_use_key("UseTopicKey", topic.master_key, "sns", topic),
    ]


def consume_queue(queue: sqs.IQueue) -> iam.PolicyStatement:
    """Receive and delete messages of the queue, as Lambda's poller does."""
    return iam.PolicyStatement(
        sid="ConsumeQueue",
        actions=["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
        resources=[queue.queue_arn],
    )


def defer_messages(queue: sqs.IQueue) -> iam.PolicyStatement:
    """Delay the redelivery of messages of the queue."""
    return iam.PolicyStatement(
        sid="DeferMessages",
        actions=["sqs:ChangeMessageVisibility"],
        resources=[queue.queue_arn],
    )


def coalescer_permissions(
    queue: sqs.IQueue, table: dynamodb.ITable, bus: events.IEventBus, source: str
) -> list[iam.PolicyStatement]:
    """Record windows of uploads, schedule checks, and announce folders under one event source."""
    return [
        iam.PolicyStatement(
            sid="KeepWindows",
            actions=["dynamodb:GetItem", "dynamodb:UpdateItem"],
            resources=[table.table_arn],
        ),
        iam.PolicyStatement(
            sid="ScheduleChecks", actions=["sqs:SendMessage"], resources=[queue.queue_arn]
        ),
        iam.PolicyStatement(
            sid="PublishReadyPrefixes",
            actions=["events:PutEvents"],
            resources=[bus.event_bus_arn],
            conditions={"StringEquals": {"events:source": source}},
        ),
        *_use_table_key(table),
    ]


def access_lineage(table: dynamodb.ITable) -> list[iam.PolicyStatement]:
    """Read and write the index of lineage."""
    return [
        iam.PolicyStatement(
            sid="KeepLineage",
            actions=["dynamodb:Query", "dynamodb:UpdateItem"],
            resources=[table.table_arn],
        ),
        *_use_table_key(table),
    ]


def get_omics_runs(scope: Construct) -> iam.PolicyStatement:
    """Describe HealthOmics runs of this account and region."""
    runs = Stack.of(scope).format_arn(
        service="omics",
        resource="run",
        resource_name="*",
        arn_format=ArnFormat.SLASH_RESOURCE_NAME,
    )
    return iam.PolicyStatement(sid="GetOmicsRuns", actions=["omics:GetRun"], resources=[runs])


def deny_destructive_actions(
    sources: Sequence[s3.IBucket], registries: Sequence[s3.IBucket]
) -> list[iam.PolicyStatement]:
    """Deny deletion and reconfiguration, even if another policy allows them."""
    buckets = list({bucket.bucket_arn: bucket for bucket in (*sources, *registries)}.values())
    return [
        iam.PolicyStatement(
            sid="NeverDeleteOrReconfigure",
            effect=iam.Effect.DENY,
            actions=[
                "s3:BypassGovernanceRetention",
                "s3:DeleteBucket",
                "s3:DeleteBucketPolicy",
                "s3:DeleteObject",
                "s3:DeleteObjectVersion",
                "s3:PutBucketAcl",
                "s3:PutBucketNotification",
                "s3:PutBucketPolicy",
                "s3:PutBucketPublicAccessBlock",
                "s3:PutBucketVersioning",
                "s3:PutEncryptionConfiguration",
                "s3:PutLifecycleConfiguration",
                "s3:PutObjectAcl",
                "s3:PutObjectVersionAcl",
            ],
            resources=[
                arn
                for bucket in buckets
                for arn in (bucket.bucket_arn, bucket.arn_for_objects("*"))
            ],
        ),
        iam.PolicyStatement(
            sid="NeverWriteWorkflows",
            effect=iam.Effect.DENY,
            actions=["s3:PutObject"],
            resources=_objects(registries, (_WORKFLOWS,)),
        ),
    ]


def allow_eventbridge_send(queue: sqs.IQueue) -> iam.PolicyStatement:
    """Allow EventBridge to send, in a queue's own policy. The caller adds the rules that may."""
    return iam.PolicyStatement(
        sid="AcceptEvents",
        principals=[_event_bridge()],
        actions=["sqs:SendMessage"],
        resources=[queue.queue_arn],
    )


def encrypt_events() -> iam.PolicyStatement:
    """Allow EventBridge to encrypt messages to a queue, in a key's own policy.

    EventBridge passes KMS neither the rule nor the account, so no condition can name them: the
    queue's policy restricts the rules.
    """
    return iam.PolicyStatement(
        sid="EncryptEvents",
        principals=[_event_bridge()],
        actions=_ENCRYPT,
        resources=["*"],
    )


def _event_bridge() -> iam.ServicePrincipal:
    return iam.ServicePrincipal("events.amazonaws.com")


def _in_accounts(buckets: Iterable[s3.IBucket]) -> dict[str, dict[str, str | list[str]]]:
    """Restrict a statement to the buckets' accounts: a deleted bucket's name can be reused."""
    accounts = list(dict.fromkeys(bucket.env.account for bucket in buckets))
    account = accounts[0] if len(accounts) == 1 else accounts
    return {"StringEquals": {"aws:ResourceAccount": account}}


def _list_registries(buckets: Sequence[s3.IBucket]) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid="ListRegistries",
        actions=["s3:ListBucket"],
        resources=[bucket.bucket_arn for bucket in buckets],
        conditions={"StringLike": {"s3:prefix": ".quilt/*"}},
    )


def _objects(buckets: Iterable[s3.IBucket], patterns: Sequence[str]) -> list[str]:
    return [bucket.arn_for_objects(pattern) for bucket in buckets for pattern in patterns]


def _use_keys(
    sid: str, actions: Sequence[str], buckets: Iterable[s3.IBucket]
) -> list[iam.PolicyStatement]:
    """Use the known keys of buckets, through S3 only."""
    encrypted = [(bucket, key) for bucket in buckets if (key := bucket.encryption_key)]
    return _permit_keys(sid, actions, "s3", encrypted)


def _use_key(
    sid: str, key: kms.IKey | None, service: str, resource: IResource
) -> list[iam.PolicyStatement]:
    """Use the key of a queue or a topic, if it has one, through its service only."""
    return _permit_keys(sid, _ENCRYPT, service, [(resource, key)]) if key else []


def _use_table_key(table: dynamodb.ITable) -> list[iam.PolicyStatement]:
    """Use the key of a table, if it has one, as DynamoDB does by the caller's role."""
    key = table.encryption_key
    actions = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"]
    return _permit_keys("UseTableKey", actions, "dynamodb", [(table, key)]) if key else []


def _permit_keys(
    sid: str, actions: Sequence[str], service: str, encrypted: Sequence[tuple[IResource, kms.IKey]]
) -> list[iam.PolicyStatement]:
    """Use the keys of resources through a service. The ARN of an alias permits nothing."""
    statements = []
    for by_alias in (False, True):
        chosen = [each for each in encrypted if is_alias(each[1]) is by_alias]
        if chosen:
            arns = [_any_key(resource) if by_alias else key.key_arn for resource, key in chosen]
            endpoints = [
                f"{service}.{resource.env.region}.{Aws.URL_SUFFIX}" for resource, _ in chosen
            ]
            conditions = {"StringEquals": {"kms:ViaService": list(dict.fromkeys(endpoints))}}
            if by_alias:
                conditions |= _has_alias(key for _, key in chosen)
            statements.append(
                iam.PolicyStatement(
                    sid=f"{sid}{_BY_ALIAS}" if by_alias else sid,
                    actions=actions,
                    resources=list(dict.fromkeys(arns)),
                    conditions=conditions,
                )
            )
    return statements


def _split(statement: iam.PolicyStatement) -> Iterator[iam.PolicyStatement]:
    """Divide a statement that is too long for a policy by its resources."""
    resources = statement.resources
    if len(resources) <= MAX_STATEMENT_RESOURCES:
        yield statement
        return
    for number, start in enumerate(range(0, len(resources), MAX_STATEMENT_RESOURCES), start=1):
        yield statement.copy(
            sid=statement.sid if number == 1 else f"{statement.sid}{number}",
            resources=resources[start : start + MAX_STATEMENT_RESOURCES],
        )


def _has_alias(keys: Iterable[kms.IKey]) -> dict[str, dict[str, list[str]]]:
    aliases = dict.fromkeys("alias/" + key.key_arn.partition(_ALIAS)[2] for key in keys)
    return {"ForAnyValue:StringEquals": {"kms:ResourceAliases": list(aliases)}}


def _any_key(resource: IResource) -> str:
    """Return the ARN of all keys in a resource's account and region."""
    return Stack.of(resource).format_arn(
        service="kms",
        resource="key",
        resource_name="*",
        account=resource.env.account,
        region=resource.env.region,
    )
