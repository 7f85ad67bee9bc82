"""The behaviours of AWS that an engine relies on, and the witness of each.

A finding names the behaviours that it confirms. A behaviour without a witness says why.
`python -m quilt_packager.operations.checks.behaviours` prints the table of the documentation.
"""

from enum import StrEnum
from typing import NamedTuple


class Behaviour(StrEnum):
    """Ids of behaviours."""

    S3_VERSIONS = "s3-versions"
    S3_EVENTS = "s3-events"
    S3_IF_NONE_MATCH = "s3-if-none-match"
    S3_IF_MATCH = "s3-if-match"
    S3_STORED_CHECKSUMS = "s3-stored-checksums"
    S3_PART_CHECKSUMS = "s3-part-checksums"
    S3_COPY_CONDITION = "s3-copy-condition"
    S3_COPY_WRITE = "s3-copy-write"
    S3_LIST_VERSIONS = "s3-list-versions"
    S3_CONSISTENCY = "s3-consistency"
    S3_MISSING_KEY = "s3-missing-key"
    S3_BUCKET_POLICY = "s3-bucket-policy"
    EVENTS_RULE_STATE = "events-rule-state"
    EVENTS_PATTERN = "events-pattern"
    EVENTS_QUEUE_POLICY = "events-queue-policy"
    EVENTS_DELIVERY = "events-delivery"
    EVENTS_DEAD_LETTERS = "events-dead-letters"
    EVENTS_OUTCOMES = "events-outcomes"
    EVENTS_AWS_SENDERS = "events-aws-senders"
    EVENTS_DUPLICATES = "events-duplicates"
    OMICS_EVENTS = "omics-events"
    SQS_VISIBILITY = "sqs-visibility"
    SQS_REDRIVE = "sqs-redrive"
    SQS_RETENTION = "sqs-retention"
    SQS_DUPLICATES = "sqs-duplicates"
    LAMBDA_MAPPING = "lambda-mapping"
    LAMBDA_PARTIAL_BATCHES = "lambda-partial-batches"
    LAMBDA_CONCURRENCY = "lambda-concurrency"
    LAMBDA_STATE = "lambda-state"
    LAMBDA_TIMEOUT = "lambda-timeout"
    IAM_ROLE = "iam-role"
    IAM_DELAY = "iam-delay"
    KMS_STATE = "kms-state"
    KMS_KEY_POLICY = "kms-key-policy"
    KMS_EVENTBRIDGE = "kms-eventbridge"
    STATES_MAP = "states-map"


class Description(NamedTuple):
    """A behaviour of AWS.

    Attributes:
        behaviour: The behaviour.
        statement: Behaviour in words.
        needed_for: Part of the engine that relies on it.
        only_aws: Other servers are known not to have it: only AWS can confirm it.
        canary: Only `check --canary` has a finding for it.
        no_witness: Reason for which no finding confirms it; empty if one does.
    """

    behaviour: Behaviour
    statement: str
    needed_for: str
    only_aws: bool = False
    canary: bool = False
    no_witness: str = ""


B = Behaviour

DESCRIPTIONS = (
    Description(
        B.S3_VERSIONS,
        "A versioned bucket keeps the bytes of a version until that version is deleted.",
        "manifests name versions",
    ),
    Description(
        B.S3_EVENTS,
        "S3 sends `Object Created` to EventBridge in the region of the bucket, if the bucket is "
        "configured so.",
        "crates and uploads",
    ),
    Description(
        B.S3_IF_NONE_MATCH,
        "A write with `If-None-Match: *` fails with 412 if the key exists.",
        "pointers are never overwritten",
    ),
    Description(
        B.S3_IF_MATCH,
        "A write with `If-Match` succeeds for the current ETag, and fails with 412 for another.",
        "two jobs cannot both move `latest`",
    ),
    Description(
        B.S3_STORED_CHECKSUMS,
        "HEAD with `x-amz-checksum-mode` returns the SHA-256 checksum of an upload.",
        "objects with a stored checksum are not read",
    ),
    Description(
        B.S3_PART_CHECKSUMS,
        "The response of a part copy has the checksum of the part.",
        "large objects are hashed inside S3; otherwise their bytes are read",
    ),
    Description(
        B.S3_COPY_CONDITION,
        "A part copy with another ETag in `x-amz-copy-source-if-match` fails with 412.",
        "a checksum is that of the listed version",
    ),
    Description(
        B.S3_COPY_WRITE,
        "CopyObject and CompleteMultipartUpload accept `If-None-Match: *` and `If-Match` for their "
        "target; CopyObject keeps the tags, and returns the checksum that the request names.",
        "promotions copy nothing twice, and overwrite nothing",
        no_witness="It needs the rights of a promotion. Each promotion compares the checksums.",
    ),
    Description(
        B.S3_LIST_VERSIONS,
        "ListObjectVersions has the ETag that a write has returned.",
        "the inventory of a folder",
    ),
    Description(
        B.S3_CONSISTENCY,
        "A read or a listing that follows a write includes the write.",
        "a revision is visible to the next job",
        no_witness="A few attempts would show nothing: a violation would be rare.",
    ),
    Description(
        B.S3_MISSING_KEY,
        "A read of a missing key gives 403 without `s3:ListBucket`, and 404 with it.",
        "access errors are distinguished from missing files",
        no_witness="It needs a second role with fewer permissions.",
    ),
    Description(
        B.S3_BUCKET_POLICY,
        "A deny of a bucket's policy overrides every permission of a role.",
        "the packager can read the sources and write the registries",
        only_aws=True,
    ),
    Description(
        B.EVENTS_RULE_STATE,
        "An enabled rule sends matching events to its targets; a disabled one drops them.",
        "event sources are switched on and off",
    ),
    Description(
        B.EVENTS_PATTERN,
        "TestEventPattern matches as rules do.",
        "the events of HealthOmics, which no user can send",
        only_aws=True,
        canary=True,
    ),
    Description(
        B.EVENTS_QUEUE_POLICY,
        "EventBridge sends to a queue if the queue's policy allows the ARN of the rule.",
        "events reach the queue",
        only_aws=True,
    ),
    Description(
        B.EVENTS_DELIVERY,
        "An event on a bus reaches the target of a matching rule within seconds.",
        "packages follow their events",
        only_aws=True,
        canary=True,
    ),
    Description(
        B.EVENTS_DEAD_LETTERS,
        "EventBridge sends events that it cannot deliver for 24 hours to the dead-letter queue of "
        "the target, if that queue's policy allows the rule.",
        "undelivered events are listed as failures",
        only_aws=True,
    ),
    Description(
        B.EVENTS_OUTCOMES,
        "PutEvents accepts an outcome on the engine's bus.",
        "subscribers; without it, jobs do not succeed",
        only_aws=True,
        canary=True,
    ),
    Description(
        B.EVENTS_AWS_SENDERS,
        "PutEvents refuses events whose source begins with `aws.`.",
        "events of S3 and HealthOmics are genuine",
        no_witness="Where it does not hold, the attempt would start a job.",
    ),
    Description(
        B.EVENTS_DUPLICATES,
        "EventBridge delivers an event at least once.",
        "repeated jobs are unchanged",
        no_witness="Duplicates are rare. The tests of the project send them.",
    ),
    Description(
        B.OMICS_EVENTS,
        "HealthOmics sends an event for each change of a run's status, on a best-effort basis.",
        "packages of runs",
        only_aws=True,
    ),
    Description(
        B.SQS_VISIBILITY,
        "SQS hides a received message for the visibility timeout; Lambda refuses a queue whose "
        "timeout is below the function's.",
        "one job for each message at a time",
    ),
    Description(
        B.SQS_REDRIVE,
        "SQS moves a message to the dead-letter queue after the maximum number of receives.",
        "no message is retried forever",
    ),
    Description(
        B.SQS_RETENTION,
        "The age of a dead letter counts from the time at which the message was first sent.",
        "failures stay long enough to be seen",
    ),
    Description(
        B.SQS_DUPLICATES,
        "SQS delivers a message at least once.",
        "repeated jobs are unchanged",
        no_witness="Duplicates are rare. The tests of the project send them.",
    ),
    Description(
        B.LAMBDA_MAPPING,
        "Lambda polls a queue while the event source mapping is enabled.",
        "messages become jobs",
    ),
    Description(
        B.LAMBDA_PARTIAL_BATCHES,
        "With ReportBatchItemFailures, only the named messages of a batch are retried.",
        "one poison message does not repeat others",
    ),
    Description(
        B.LAMBDA_CONCURRENCY,
        "A function with a reserved concurrency of 0 never runs.",
        "messages become jobs",
    ),
    Description(
        B.LAMBDA_STATE,
        "A function runs while its state is Active.",
        "messages become jobs",
    ),
    Description(
        B.LAMBDA_TIMEOUT,
        "Lambda ends an invocation at its timeout.",
        "jobs stop in time and hand off",
        no_witness="It needs a job of several minutes. Alarms report it.",
    ),
    Description(
        B.IAM_ROLE,
        "SimulatePrincipalPolicy decides as IAM does, from the policies of the role and its "
        "permissions boundary.",
        "the packager can do its work",
        only_aws=True,
    ),
    Description(
        B.IAM_DELAY,
        "A change of a policy takes effect within seconds.",
        "deployments",
        no_witness="Its duration is not defined. A retry follows.",
    ),
    Description(
        B.KMS_STATE,
        "A key that is disabled or pending deletion refuses every use.",
        "encrypted buckets and queues",
        only_aws=True,
    ),
    Description(
        B.KMS_KEY_POLICY,
        "A role can use a key if the key's policy allows the role, or allows the account and the "
        "role's policy allows the key.",
        "encrypted buckets and queues",
        only_aws=True,
    ),
    Description(
        B.KMS_EVENTBRIDGE,
        "EventBridge can send to an encrypted queue if the key's policy allows it.",
        "encrypted queues",
        only_aws=True,
    ),
    Description(
        B.STATES_MAP,
        "A Distributed Map runs one execution for each shard, and retries those that fail.",
        "large jobs",
        no_witness="It needs a large job. `send --wait` of a large folder shows it.",
    ),
)

ONLY_AWS = frozenset(each.behaviour for each in DESCRIPTIONS if each.only_aws)
"""Behaviours that no other server confirms."""


def behaviours_table() -> str:
    """Write the behaviours as a table in Markdown."""
    rows = [
        f"| `{each.behaviour}` | {each.statement} | {each.needed_for} | {_witness(each)} |"
        for each in DESCRIPTIONS
    ]
    return "\n".join(["| id | behaviour | needed for | witness |", "|---|---|---|---|", *rows])


def _witness(described: Description) -> str:
    if described.no_witness:
        return f"None. {described.no_witness}"
    command = "`check --canary`" if described.canary else "`check`"
    return f"{command}, on AWS only" if described.only_aws else command


if __name__ == "__main__":
    import sys

    sys.stdout.write(behaviours_table() + "\n")
