"""Checks buckets: existence, region, versions, events, and policies."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from quilt_packager.operations.checks.behaviours import Behaviour
from quilt_packager.operations.checks.finding import Finding, notice, ok, unconfirmed, wrong
from quilt_packager.operations.checks.policies import Decision, Request, decide, role_names

if TYPE_CHECKING:
    from quilt_packager.operations.checks.inspection import Inspection

JOB_FUNCTIONS = ("packager", "checksum", "large_job")
READING = ("s3:ListBucket", "s3:GetObject")
WRITING = ("s3:PutObject",)
MISSING = frozenset({"404", "NoSuchBucket"})
HIDDEN = frozenset({"403", "AccessDenied"})


def check_bucket(engine: "Inspection", name: str) -> Iterator[Finding]:
    """Check one bucket of an engine."""
    from botocore.exceptions import ClientError

    try:
        found = engine.deployment.s3.head_bucket(Bucket=name)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in MISSING:
            yield wrong(
                name,
                "The bucket does not exist.",
                f"Create it, or remove {name} from the buckets of the engine and deploy.",
            )
            return
        if code in HIDDEN:
            hidden = unconfirmed(
                name,
                "You have no access to the bucket. It may belong to another account.",
                f"Check the name with its owner, or allow yourself s3:ListBucket on {name}.",
            )
            yield msgspec.structs.replace(hidden, denied=True)
            return
        raise
    region = found.get("BucketRegion", engine.deployment.region)
    yield ok(name, f"The bucket exists in {region}.")
    if name in engine.source_buckets:
        yield _check_versions(engine, name)
    if name in engine.watched_buckets:
        yield _check_events(engine, name, region)
    yield from _check_policy(engine, name)


def _check_versions(engine: "Inspection", name: str) -> Finding:
    found = engine.deployment.s3.get_bucket_versioning(Bucket=name)
    status: str | None = found.get("Status")
    if status == "Enabled":
        return ok(name, "The bucket is versioned.", Behaviour.S3_VERSIONS)
    state = "Versioning is suspended" if status else "The bucket is not versioned"
    return notice(
        name,
        f"{state}: packages break when a file is overwritten.",
        f"aws s3api put-bucket-versioning --bucket {name} "
        "--versioning-configuration Status=Enabled",
        Behaviour.S3_VERSIONS,
    )


def _check_events(engine: "Inspection", name: str, region: str) -> Finding:
    here = engine.deployment.region
    if region != here:
        return wrong(
            name,
            f"The bucket sends its events to EventBridge in {region}; the rules are in {here}.",
            f"Deploy an engine in {region}, or forward the events with a rule there.",
            Behaviour.S3_EVENTS,
        )
    found = engine.deployment.s3.get_bucket_notification_configuration(Bucket=name)
    if "EventBridgeConfiguration" in found:
        return ok(name, "The bucket sends its events to EventBridge.", Behaviour.S3_EVENTS)
    kept = {key: value for key, value in found.items() if key.endswith("Configurations")}
    configuration = json.dumps({**kept, "EventBridgeConfiguration": {}})
    return wrong(
        name,
        "The bucket sends no events to EventBridge: crates and uploads start no job.",
        f"aws s3api put-bucket-notification-configuration --bucket {name} "
        f"--notification-configuration '{configuration}'",
        Behaviour.S3_EVENTS,
    )


def _check_policy(engine: "Inspection", name: str) -> Iterator[Finding]:
    from botocore.exceptions import ClientError

    try:
        policy: str | None = engine.deployment.s3.get_bucket_policy(Bucket=name)["Policy"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucketPolicy":
            raise
        policy = None
    is_written = name in engine.registries or name == engine.deployment.scratch_bucket
    actions = (*READING, *(WRITING if is_written else ()))
    found: dict[Decision, set[str]] = {}
    for function in engine.functions:
        if function.handler not in JOB_FUNCTIONS:
            continue
        for action in actions:
            decision = decide(policy, _request(engine, function.role, action, name))
            found.setdefault(decision, set()).add(action)
    behaviour = Behaviour.S3_BUCKET_POLICY
    if denied := found.get(Decision.DENIED):
        yield wrong(
            name,
            f"The policy of the bucket denies {', '.join(sorted(denied))} to the engine.",
            "Exempt the roles of the engine from the statement with Deny: "
            + ", ".join(sorted({each.role for each in engine.functions})),
            behaviour,
        )
    elif unknown := found.get(Decision.UNKNOWN):
        yield unconfirmed(
            name,
            f"The policy of the bucket has conditions on {', '.join(sorted(unknown))} that cannot "
            "be evaluated here.",
            "Use --canary, whose job runs with the permissions of the engine.",
            behaviour,
        )
    elif found:
        yield ok(name, "The policy of the bucket denies the engine nothing.", behaviour)


def _request(engine: "Inspection", role: str, action: str, bucket: str) -> Request:
    arn = f"arn:{engine.deployment.partition}:s3:::{bucket}"
    resource = arn if action == "s3:ListBucket" else f"{arn}/.quilt/packages/0"
    if bucket not in engine.registries:
        resource = resource.replace(".quilt/packages/0", "folder/file")
    return Request(
        role_names(role),
        action,
        resource,
        {
            "aws:principalaccount": engine.deployment.account,
            "aws:principalarn": role,
            "aws:principalisawsservice": "false",
            "aws:securetransport": "true",
            "s3:tlsversion": "1.3",
        },
    )
