"""Checks roles: simulates the requests of the functions with the permissions of their roles."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from quilt_packager_runtime.formats.event_names import EVENT_SOURCE
from quilt_packager_runtime.formats.objects import REGISTRY_PREFIX, SCRATCH_PREFIX

from quilt_packager.operations.checks.behaviours import Behaviour
from quilt_packager.operations.checks.finding import NOT_AWS, Finding, ok, unconfirmed, wrong
from quilt_packager.operations.checks.inspection import Function

if TYPE_CHECKING:
    from quilt_packager.operations.checks.inspection import Inspection

PUBLISHING = ("packager", "large_job")
HASHING = (*PUBLISHING, "checksum")


class _Need(NamedTuple):
    actions: tuple[str, ...]
    resources: tuple[str, ...]


def check_role(engine: "Inspection", function: Function) -> Iterator[Finding]:
    """Check that the role of a function allows its work."""
    if function.handler not in HASHING:
        return
    denied = [
        f"{action} on {resource}"
        for need in _needs(engine, function)
        for action, resource in find_denied(engine, function.role, need.actions, need.resources)
    ]
    if not denied:
        text = "The role allows the work of the function."
        yield ok(function.handler, text, Behaviour.IAM_ROLE)
    elif engine.on_aws:
        yield wrong(
            function.handler,
            f"The role {function.role} does not allow {', '.join(denied)}.",
            "Deploy the stack again; remove a permissions boundary or an organization's policy "
            "that denies it.",
            Behaviour.IAM_ROLE,
        )
    else:
        # The simulations of other servers ignore conditions.
        text = f"The simulation denies {', '.join(denied)}. {NOT_AWS}"
        yield unconfirmed(function.handler, text, "", Behaviour.IAM_ROLE)


def find_denied(
    engine: "Inspection", role: str, actions: Sequence[str], resources: Sequence[str]
) -> list[tuple[str, str]]:
    """Simulate requests with the policies of a role, and return the denied ones.

    Returns:
        Pairs of an action and a resource.
    """
    if not resources:
        return []
    context = {
        "aws:ResourceAccount": engine.deployment.account,
        "events:source": EVENT_SOURCE,
        "kms:ViaService": engine.s3_host,
        "s3:prefix": f"{REGISTRY_PREFIX}packages/",
    }
    pages = engine.deployment.iam.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=role,
        ActionNames=list(actions),
        ResourceArns=list(resources),
        ContextEntries=[
            {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
            for key, value in context.items()
        ],
    )
    return [
        (result["EvalActionName"], resource)
        for page in pages
        for result in page["EvaluationResults"]
        for resource, decision in _decisions(result)
        if decision != "allowed"
    ]


def _decisions(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the decision for each resource: of several, results may be listed separately."""
    specific = [
        (each["EvalResourceName"], each["EvalResourceDecision"])
        for each in result.get("ResourceSpecificResults", [])
    ]
    return specific or [(result["EvalResourceName"], result["EvalDecision"])]


def _needs(engine: "Inspection", function: Function) -> Iterator[_Need]:
    """Yield the requests of a function, without those on resources that are not known."""
    deployment = engine.deployment

    def arns(buckets: Sequence[str], *keys: str) -> tuple[str, ...]:
        return tuple(
            f"arn:{deployment.partition}:s3:::{bucket}{key}" for bucket in buckets for key in keys
        )

    scratch = [deployment.scratch_bucket] if deployment.scratch_bucket else []
    reading = ("s3:GetObject", "s3:GetObjectVersion")
    yield _Need(("s3:ListBucket", "s3:ListBucketVersions"), arns(engine.source_buckets, ""))
    yield _Need(reading, arns(engine.source_buckets, "/folder/file"))
    yield _Need(("s3:PutObject", "s3:AbortMultipartUpload"), arns(scratch, f"/{SCRATCH_PREFIX}0"))
    if function.handler in PUBLISHING:
        pointers = f"/{REGISTRY_PREFIX}named_packages/a/b/latest"
        manifests = f"/{REGISTRY_PREFIX}packages/0"
        writing = ("s3:PutObject", "s3:GetObject")
        yield _Need(("s3:ListBucket",), arns(engine.registries, ""))
        yield _Need(writing, arns(engine.registries, pointers, manifests))
    if function.handler == "packager":
        by_url = {queue.url: arn for arn, queue in engine.queues.items()}
        consuming = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility")
        yield _Need(consuming, (by_url[deployment.queue_url],))
        yield _Need(("sqs:SendMessage",), (by_url[deployment.dead_letter_queue_url],))
        if bus := engine.configuration.settings.event_bus:
            yield _Need(("events:PutEvents",), (bus,))
        if machine := deployment.state_machine_arn:
            yield _Need(("states:StartExecution",), (machine,))
