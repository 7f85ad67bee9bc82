"""Checks functions and the queues that they poll."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from quilt_packager.operations import formats
from quilt_packager.operations.checks.behaviours import Behaviour
from quilt_packager.operations.checks.finding import Finding, notice, ok, wrong
from quilt_packager.operations.checks.inspection import Function, Queue

if TYPE_CHECKING:
    from quilt_packager.operations.checks.inspection import Inspection

POLLING = ("packager", "coalescer")
"""Functions that are started by a queue."""

ACTIVE = frozenset({"Enabled", "Enabling", "Updating", "Creating"})
"""States of an event source mapping that polls, or is about to."""

REPORTED = "ReportBatchItemFailures"


def check_function(engine: "Inspection", function: Function) -> Iterator[Finding]:
    """Check one function of an engine, and its queue."""
    yield _check_state(function)
    yield _check_concurrency(function)
    if function.handler not in POLLING:
        return
    mapped = [each for each in function.mappings if each.get("EventSourceArn") in engine.queues]
    if not mapped:
        yield wrong(
            function.handler,
            "No event source mapping connects the function to its queue: messages wait forever.",
            "Delete the mapping from the template, deploy, restore it, and deploy again.",
            Behaviour.LAMBDA_MAPPING,
        )
    for mapping in mapped:
        queue = engine.queues[mapping["EventSourceArn"]]
        yield _check_mapping(function, queue, mapping["UUID"], mapping.get("State", ""))
        if REPORTED not in mapping.get("FunctionResponseTypes", []):
            yield notice(
                function.handler,
                "The event source mapping does not report failures of single messages.",
                f"aws lambda update-event-source-mapping --uuid {mapping['UUID']} "
                f"--function-response-types {REPORTED}",
                Behaviour.LAMBDA_PARTIAL_BATCHES,
            )
        else:
            yield ok(
                function.handler,
                "The event source mapping reports failures of single messages.",
                Behaviour.LAMBDA_PARTIAL_BATCHES,
            )
        yield from _check_queue(engine, queue, function)


def _check_state(function: Function) -> Finding:
    if function.state in {"Active", "Inactive"} and function.update != "Failed":
        return ok(function.handler, f"The function is {function.state}.", Behaviour.LAMBDA_STATE)
    return wrong(
        function.handler,
        f"The function is {function.state}, and its last update {function.update}.",
        f"aws lambda get-function-configuration --function-name {function.name} has the reason.",
        Behaviour.LAMBDA_STATE,
    )


def _check_concurrency(function: Function) -> Finding:
    if function.reserved == 0:
        return wrong(
            function.handler,
            "The reserved concurrency of the function is 0: it never runs.",
            f"aws lambda delete-function-concurrency --function-name {function.name}",
            Behaviour.LAMBDA_CONCURRENCY,
        )
    wanted = max(
        (each.get("ScalingConfig", {}).get("MaximumConcurrency", 0) for each in function.mappings),
        default=0,
    )
    if function.reserved is not None and function.reserved < wanted:
        return notice(
            function.handler,
            f"The reserved concurrency of {function.reserved:,} is below the maximum concurrency "
            f"of the queue, {wanted:,}: throttled messages lose attempts.",
            f"aws lambda put-function-concurrency --function-name {function.name} "
            f"--reserved-concurrent-executions {wanted}",
            Behaviour.LAMBDA_CONCURRENCY,
        )
    reserved = "is not limited" if function.reserved is None else f"is {function.reserved:,}"
    return ok(function.handler, f"The concurrency {reserved}.", Behaviour.LAMBDA_CONCURRENCY)


def _check_mapping(function: Function, queue: Queue, uuid: str, state: str) -> Finding:
    if state in ACTIVE:
        return ok(function.handler, "The function polls its queue.", Behaviour.LAMBDA_MAPPING)
    return wrong(
        function.handler,
        f"The event source mapping is {state}: messages in {queue.name} start no job.",
        f"aws lambda update-event-source-mapping --uuid {uuid} --enabled",
        Behaviour.LAMBDA_MAPPING,
    )


def _check_queue(engine: "Inspection", queue: Queue, function: Function) -> Iterator[Finding]:
    visible_after, timeout = int(queue.attributes["VisibilityTimeout"]), function.timeout_seconds
    if visible_after < timeout:
        yield wrong(
            queue.name,
            f"The visibility timeout of {visible_after:,} s is below the timeout of the function, "
            f"{timeout:,} s: messages are processed twice.",
            f"aws sqs set-queue-attributes --queue-url {queue.url} "
            f"--attributes VisibilityTimeout={timeout}",
            Behaviour.SQS_VISIBILITY,
        )
    else:
        yield ok(
            queue.name,
            f"The visibility timeout of {visible_after:,} s covers the timeout of the function, "
            f"{timeout:,} s.",
            Behaviour.SQS_VISIBILITY,
        )
    arn = queue.dead_letter_arn
    letters = engine.queues.get(arn or "")
    if letters is None:
        yield wrong(
            queue.name,
            f"The redrive policy names {arn}, which is no queue of the engine."
            if arn
            else "The queue has no redrive policy: a message that fails is retried until it "
            "expires.",
            "Set the redrive policy to the dead-letter queue: deploy the stack again.",
            Behaviour.SQS_REDRIVE,
        )
        return
    yield ok(
        queue.name,
        "Messages that fail are moved to the dead-letter queue.",
        Behaviour.SQS_REDRIVE,
    )
    yield _check_retention(queue, letters)
    yield _check_letters(engine, letters)


def _check_retention(queue: Queue, letters: Queue) -> Finding:
    waiting, kept = (int(each.attributes["MessageRetentionPeriod"]) for each in (queue, letters))
    if kept < waiting:
        return notice(
            letters.name,
            f"Dead letters are deleted {formats.age(kept)} after they were first sent, messages of "
            f"the queue after {formats.age(waiting)}: a late failure may never be seen.",
            f"aws sqs set-queue-attributes --queue-url {letters.url} "
            "--attributes MessageRetentionPeriod=1209600",
            Behaviour.SQS_RETENTION,
        )
    return ok(
        letters.name, f"Dead letters are kept for {formats.age(kept)}.", Behaviour.SQS_RETENTION
    )


def _check_letters(engine: "Inspection", letters: Queue) -> Finding:
    if not letters.messages:
        return ok(letters.name, "No dead letter waits.")
    is_packagers = letters.url == engine.deployment.dead_letter_queue_url
    return notice(
        letters.name,
        f"{formats.count(letters.messages, 'dead letter')} waiting.",
        engine.deployment.command("failures")
        if is_packagers
        else f"aws sqs receive-message --queue-url {letters.url} --message-attribute-names All",
    )
