"""Checks rules: their state, their targets, and the policies of the queues they send to."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from quilt_packager.operations.checks.behaviours import Behaviour
from quilt_packager.operations.checks.finding import Finding, notice, ok, unconfirmed, wrong
from quilt_packager.operations.checks.policies import Decision, Request, decide
from quilt_packager.operations.sources.sources import DeployedRule, describe_rule

if TYPE_CHECKING:
    from quilt_packager.operations.checks.inspection import Inspection, Queue

EVENTBRIDGE = frozenset({"events.amazonaws.com"})

ALLOWED = {
    Behaviour.EVENTS_QUEUE_POLICY: "The policy of the queue allows the rule.",
    Behaviour.EVENTS_DEAD_LETTERS: "The policy of the dead-letter queue allows the rule.",
}


def check_rule(engine: "Inspection", deployed: DeployedRule) -> Iterator[Finding]:
    """Check one rule of an engine."""
    rule = deployed.rule
    subject = deployed.named.get("name") or rule.name
    found = describe_rule(engine.deployment, rule)
    if not found:
        yield wrong(
            subject,
            f"The rule {rule.name} was deleted: its events start no job.",
            "Delete the resource from the template, deploy, restore it, and deploy again.",
            Behaviour.EVENTS_RULE_STATE,
        )
        return
    yield _check_state(engine, deployed, subject, enabled=found.get("State") != "DISABLED")
    targets = engine.deployment.events.list_targets_by_rule(Rule=rule.name, EventBusName=rule.bus)[
        "Targets"
    ]
    if not targets:
        yield wrong(
            subject,
            f"The rule {rule.name} has no target: its events start no job.",
            f"aws events put-targets --rule {rule.name} --event-bus-name {rule.bus} "
            f"--targets Id=PackagerQueue,Arn={_queue_arn(engine)}",
            Behaviour.EVENTS_RULE_STATE,
        )
    for target in targets:
        yield from _check_target(engine, subject, found["Arn"], target)


def _check_state(
    engine: "Inspection", deployed: DeployedRule, subject: str, *, enabled: bool
) -> Finding:
    behaviour = Behaviour.EVENTS_RULE_STATE
    rule = deployed.rule
    if enabled:
        return ok(subject, "The rule is enabled.", behaviour)
    if deployed.deployed is False:
        return ok(subject, "The rule is off, as deployed.", behaviour)
    name = deployed.named.get("name")
    return wrong(
        subject,
        f"The rule {rule.name} is off, and deployed on: its events start no job.",
        engine.deployment.command("sources", "enable", name)
        if name
        else f"aws events enable-rule --name {rule.name} --event-bus-name {rule.bus}",
        behaviour,
    )


def _check_target(
    engine: "Inspection", subject: str, rule_arn: str, target: Mapping[str, Any]
) -> Iterator[Finding]:
    if target["Arn"] not in engine.queues:
        return
    queue, behaviour = engine.queues[target["Arn"]], Behaviour.EVENTS_QUEUE_POLICY
    yield _check_policy(engine, queue, subject, rule_arn, behaviour)
    dead_letters = target.get("DeadLetterConfig", {}).get("Arn")
    behaviour = Behaviour.EVENTS_DEAD_LETTERS
    if dead_letters in engine.queues:
        yield _check_policy(engine, engine.queues[dead_letters], subject, rule_arn, behaviour)
    elif dead_letters is None:
        yield notice(
            subject,
            "Events that EventBridge cannot deliver are lost: the target has no dead-letter queue.",
            "Deploy the stack with this version, which adds it.",
            behaviour,
        )


def _check_policy(
    engine: "Inspection", queue: "Queue", subject: str, rule_arn: str, behaviour: Behaviour
) -> Finding:
    request = Request(
        EVENTBRIDGE,
        "sqs:SendMessage",
        queue.attributes["QueueArn"],
        {
            "aws:principalisawsservice": "true",
            "aws:securetransport": "true",
            "aws:sourceaccount": engine.deployment.account,
            "aws:sourcearn": rule_arn,
        },
    )
    match decide(queue.policy, request):
        case Decision.ALLOWED:
            return ok(subject, ALLOWED[behaviour], behaviour)
        case Decision.UNKNOWN:
            return unconfirmed(
                subject,
                f"The policy of {queue.name} has conditions that cannot be evaluated here.",
                "Use --canary, which sends events.",
                behaviour,
            )
        case decision:
            reason = "denies" if decision is Decision.DENIED else "does not allow"
            return wrong(
                subject,
                f"The policy of {queue.name} {reason} the rule: its events do not arrive.",
                'Allow sqs:SendMessage to events.amazonaws.com with "ArnEquals": '
                f'{{"aws:SourceArn": "{rule_arn}"}} in the policy of {queue.name}.',
                behaviour,
            )


def _queue_arn(engine: "Inspection") -> str:
    return next(
        (arn for arn, each in engine.queues.items() if each.url == engine.deployment.queue_url), ""
    )
