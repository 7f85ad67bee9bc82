"""Engines of other stacks, known by their attributes."""

from typing import Protocol

from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from quilt_packager.engine.outcome_rules import OutcomeRules, Outcomes
from quilt_packager.guardrails import permissions


class IPackagingEngine(Protocol):
    """An engine that takes messages: one of this app, or an imported one."""

    @property
    def queue(self) -> sqs.IQueue:
        """The queue that takes jobs."""

    def grant_send_messages(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow a principal to send messages to the queue, and to use the queue's key."""


class ImportedEngine(OutcomeRules, Construct):
    """An engine of another stack, for its senders and for subscribers to its outcomes.

    `PackagingEngine.from_queue_arn` and `from_engine_attributes` create it.

    Args:
        scope: Scope of the imported engine.
        construct_id: Its id.
        queue_arn: ARN of the queue of jobs.
        queue_encryption_key: The queue's KMS key, or None for SQS's own.
        service: The engine's `service`, or None if no outcomes are subscribed to.
        event_bus: Bus of the outcomes, or None for the account's default bus.

    Attributes:
        queue: The queue that takes jobs.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        queue_arn: str,
        queue_encryption_key: kms.IKey | None = None,
        service: str | None = None,
        event_bus: events.IEventBus | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._alias = None
        key_arn = queue_encryption_key.key_arn if queue_encryption_key else None
        if queue_encryption_key and permissions.is_alias(queue_encryption_key):
            self._alias, key_arn = queue_encryption_key, None
        self.queue = sqs.Queue.from_queue_attributes(
            self, "Queue", queue_arn=queue_arn, key_arn=key_arn
        )
        if service is not None:
            self._outcomes = Outcomes(
                self,
                engine=service,
                event_bus=event_bus,
                notifications_topic=None,
                publish_schema=False,
            )

    def grant_send_messages(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow a principal to send messages to the queue, and to use the queue's key.

        The queue's own policy is unchanged. A principal of another account needs a grant of the
        engine in its own stack too.
        """
        grant = self.queue.grant_send_messages(grantee)
        if self._alias:
            grant = grant.combine(permissions.grant_use_by_alias(grantee, self._alias))
        return grant
