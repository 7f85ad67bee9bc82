"""Checks KMS keys of buckets and queues: their state, and their policies."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from quilt_packager.operations import formats
from quilt_packager.operations.checks.behaviours import Behaviour
from quilt_packager.operations.checks.finding import Finding, ok, unconfirmed, wrong
from quilt_packager.operations.checks.policies import Decision, Request, decide, role_names
from quilt_packager.operations.checks.roles import HASHING, PUBLISHING, find_denied

if TYPE_CHECKING:
    from quilt_packager.operations.checks.inspection import Function, Inspection

DECRYPT = ("kms:Decrypt",)
ENCRYPT = ("kms:Decrypt", "kms:GenerateDataKey")
REFUSALS = frozenset({Decision.DENIED, Decision.SILENT})


class KeyUse(NamedTuple):
    """A key, and the resources that it encrypts.

    Attributes:
        key: Id, ARN or alias of the key.
        queues: Names of queues.
        buckets: Names of buckets.
        is_written: The functions write to one of the buckets.
    """

    key: str
    queues: tuple[str, ...]
    buckets: tuple[str, ...]
    is_written: bool

    @property
    def resources(self) -> str:
        """The name of one resource, and the number of the others."""
        first, *others = [*self.buckets, *self.queues]
        return f"{first} and {formats.count(len(others), 'other')}" if others else first


class _Policy(NamedTuple):
    """The policy of a key."""

    arn: str
    document: str

    def decide_all(
        self,
        principals: frozenset[str],
        actions: tuple[str, ...],
        context: Mapping[str, str | None],
    ) -> dict[str, Decision]:
        return {
            each: decide(self.document, Request(principals, each, self.arn, context))
            for each in actions
        }


def find_keys(engine: "Inspection") -> list[KeyUse]:
    """Find the keys of the queues, and of the buckets that can be read."""
    queues: dict[str, list[str]] = {}
    for queue in engine.queues.values():
        if key := queue.attributes.get("KmsMasterKeyId"):
            queues.setdefault(key, []).append(queue.name)
    buckets: dict[str, list[str]] = {}
    for bucket in engine.buckets:
        if key := find_bucket_key(engine, bucket):
            buckets.setdefault(key, []).append(bucket)
    written = {*engine.registries, engine.deployment.scratch_bucket}
    return [
        KeyUse(
            key,
            tuple(queues.get(key, ())),
            tuple(buckets.get(key, ())),
            is_written=not written.isdisjoint(buckets.get(key, ())),
        )
        for key in dict.fromkeys([*buckets, *queues])
    ]


def find_bucket_key(engine: "Inspection", bucket: str) -> str | None:
    """Return the key of a bucket's default encryption; None without one, or if it is hidden."""
    from botocore.exceptions import ClientError

    try:
        found = engine.deployment.s3.get_bucket_encryption(Bucket=bucket)
    except ClientError:
        # The checks of the bucket report that it cannot be read.
        return None
    for rule in found["ServerSideEncryptionConfiguration"]["Rules"]:
        default = rule.get("ApplyServerSideEncryptionByDefault")
        if default and "KMSMasterKeyID" in default:
            return default["KMSMasterKeyID"]
    return None


def check_key(engine: "Inspection", use: KeyUse) -> Iterator[Finding]:
    """Check that the functions, and EventBridge for a queue, can use a key."""
    found = engine.deployment.kms.describe_key(KeyId=use.key)["KeyMetadata"]
    arn = found["Arn"]
    if found["KeyState"] != "Enabled":
        yield wrong(
            use.key,
            f"The key of {use.resources} is {found['KeyState']}: everything that it encrypts is "
            "unusable.",
            f"aws kms enable-key --key-id {arn}"
            if found["KeyState"] == "Disabled"
            else f"aws kms cancel-key-deletion --key-id {arn}, then aws kms enable-key",
            Behaviour.KMS_STATE,
        )
        return
    yield ok(use.key, "The key is enabled.", Behaviour.KMS_STATE)
    # The policy of a key that AWS manages cannot be changed.
    if found.get("KeyManager") == "AWS":
        if use.queues:
            yield wrong(
                use.key,
                f"{use.resources} uses AWS's own key, which EventBridge cannot use.",
                "Use encryption by SQS, or a key of your own.",
                Behaviour.KMS_EVENTBRIDGE,
            )
        return
    policy = engine.deployment.kms.get_key_policy(KeyId=arn, PolicyName="default")["Policy"]
    users = HASHING if use.buckets else PUBLISHING
    for function in engine.functions:
        if function.handler in users:
            yield _check_role(engine, function, use, _Policy(arn, policy))
    if use.queues:
        yield _check_eventbridge(engine, use, _Policy(arn, policy))


def _check_role(engine: "Inspection", function: "Function", use: KeyUse, key: _Policy) -> Finding:
    subject, behaviour = use.key, Behaviour.KMS_KEY_POLICY
    actions = ENCRYPT if use.is_written or use.queues else DECRYPT
    context = {
        "aws:principalarn": function.role,
        "aws:principalaccount": engine.deployment.account,
        "kms:calleraccount": engine.deployment.account,
        "kms:viaservice": engine.s3_host,
    }
    by_policy = key.decide_all(role_names(function.role), actions, context)
    refused = [action for action, each in by_policy.items() if each in REFUSALS]
    if engine.on_aws:  # the simulations of other servers ignore conditions
        denied = find_denied(engine, function.role, actions, [key.arn])
        refused += [action for action, _ in denied if action not in refused]
    if refused:
        return wrong(
            subject,
            f"The key of {use.resources} refuses {', '.join(refused)} to the role of "
            f"{function.handler}.",
            f"Add the role to the policy of the key, and the key to the flag quilt:bucket_keys or "
            f"the bucket's encryption_key: {function.role}",
            behaviour,
        )
    if Decision.UNKNOWN in by_policy.values():
        return unconfirmed(
            subject,
            f"The policy of the key of {use.resources} has conditions that cannot be evaluated "
            "here.",
            "Use --canary, whose job runs with the permissions of the engine.",
            behaviour,
        )
    return ok(subject, f"The role of {function.handler} can use the key.", behaviour)


def _check_eventbridge(engine: "Inspection", use: KeyUse, key: _Policy) -> Finding:
    context = {"aws:principalisawsservice": "true", "aws:sourceaccount": engine.deployment.account}
    principals = frozenset({"events.amazonaws.com"})
    decisions = set(key.decide_all(principals, ENCRYPT, context).values())
    behaviour = Behaviour.KMS_EVENTBRIDGE
    if decisions & REFUSALS:
        return wrong(
            use.key,
            f"The key of {use.resources} refuses EventBridge: no event arrives.",
            "Allow kms:Decrypt and kms:GenerateDataKey to events.amazonaws.com in its policy.",
            behaviour,
        )
    if Decision.UNKNOWN in decisions:
        return unconfirmed(
            use.key,
            "The policy of the key has conditions that cannot be evaluated here.",
            "Use --canary, which sends events.",
            behaviour,
        )
    return ok(use.key, "EventBridge can use the key.", behaviour)
