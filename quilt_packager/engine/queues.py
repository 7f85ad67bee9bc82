"""A queue and its dead-letter queue, with their policies."""

from aws_cdk import Annotations, Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from quilt_packager.guardrails import permissions
from quilt_packager.guardrails.nag import acknowledge
from quilt_packager.guardrails.quotas import check_queue_policy


class JobQueues:
    """The two queues of a function.

    Args:
        scope: The engine or a part of it.
        name: Prefix of the queues' ids.
        visibility_timeout: Delay before a failed message is retried.
        max_receive_count: Number of attempts.
        extra_receives: Number of deliveries beyond the attempts.
        retention_period: Retention period of waiting messages.
        dead_letter_retention_period: Retention period of dead letters.
        key: The key that encrypts both, or None for SQS's own.

    Attributes:
        queue: The queue that takes jobs.
        dead_letter_queue: The queue of messages and events that could not be processed.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        name: str = "Packager",
        visibility_timeout: Duration,
        max_receive_count: int,
        extra_receives: int = 1,
        retention_period: Duration,
        dead_letter_retention_period: Duration,
        key: kms.IKey | None,
    ) -> None:
        self._scope = scope
        self._name = name
        self._key = key
        self.dead_letter_queue = create_dead_letter_queue(
            scope, f"{name}DeadLetterQueue", key, dead_letter_retention_period
        )
        self.queue = sqs.Queue(
            scope,
            f"{name}Queue",
            encryption=_encryption(key),
            encryption_master_key=key,
            enforce_ssl=True,
            retention_period=retention_period,
            visibility_timeout=visibility_timeout,
            dead_letter_queue=sqs.DeadLetterQueue(
                queue=self.dead_letter_queue,
                # At least one, by which the function reports a last attempt that gave no reason.
                max_receive_count=max_receive_count + extra_receives,
            ),
        )
        self._rules: list[events.CfnRule] = []
        self._statements: list[iam.PolicyStatement] = []

    def add_consumer(
        self,
        function: lambda_.Function,
        *,
        max_concurrency: int,
        batch_size: int = 1,
        max_batching_window: Duration | None = None,
    ) -> None:
        """Add a function as the queue's consumer, and allow it to send dead letters.

        Args:
            function: The function.
            max_concurrency: Maximum number of concurrent batches.
            batch_size: Maximum number of messages in a batch. Default: 1.
            max_batching_window: Time to wait for a full batch. Default: none.
        """
        permissions.add_statements(function, [permissions.consume_queue(self.queue)])
        self.grant_send_dead_letters(function)
        function.add_event_source_mapping(
            f"{self._name}Queue",
            event_source_arn=self.queue.queue_arn,
            batch_size=batch_size,
            max_batching_window=max_batching_window,
            max_concurrency=max_concurrency,
            report_batch_item_failures=True,
        )

    def grant_send_messages(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow a principal to send messages to the queue, and to use its key."""
        grant = self.queue.grant_send_messages(grantee)
        if self._key and permissions.is_alias(self._key):
            grant = grant.combine(permissions.grant_use_by_alias(grantee, self._key))
        return grant

    def grant_send_dead_letters(self, function: lambda_.Function) -> None:
        """Allow a function to send messages to the dead-letter queue."""
        permissions.add_statements(
            function, permissions.send_dead_letters(self.dead_letter_queue, self._key)
        )

    def add_as_target(self, rule: events.CfnRule, message: events.RuleTargetInput | None) -> None:
        """Add the queue as the target of a rule.

        An L2 target would write the queues' policies, and on queues with a key would allow
        the rules of every account to send.
        """
        made = message.bind(rule) if message else events.RuleTargetInputProperties()
        transformer = None
        if made.input_template is not None:
            transformer = events.CfnRule.InputTransformerProperty(
                input_template=made.input_template, input_paths_map=made.input_paths_map
            )
        rule.targets = [
            events.CfnRule.TargetProperty(
                id=f"{self._name}Queue",
                arn=self.queue.queue_arn,
                input=made.input,
                input_path=made.input_path,
                input_transformer=transformer,
                # An event that could not be delivered for a day is not lost: it can be sent again.
                dead_letter_config=events.CfnRule.DeadLetterConfigProperty(
                    arn=self.dead_letter_queue.queue_arn
                ),
            )
        ]
        self._allow_rule(rule)

    def _allow_rule(self, rule: events.CfnRule) -> None:
        """Allow one more rule to send. All share a statement: a queue's policy has at most 20."""
        self._rules.append(rule)
        check_queue_policy(self._scope, f"{self._name}Queue", self._rules)
        if not self._statements:
            self._create_queue_policies()
        arns = [each.attr_arn for each in self._rules]
        for statement in self._statements:
            statement.add_conditions({"ArnEquals": {"aws:SourceArn": arns}})

    def _create_queue_policies(self) -> None:
        for queue in (self.queue, self.dead_letter_queue):
            statement = permissions.allow_eventbridge_send(queue)
            self._statements.append(statement)
            queue.add_to_resource_policy(statement)
        allow_events_to_encrypt(self._scope, self._key)


def create_dead_letter_queue(
    scope: Construct, construct_id: str, key: kms.IKey | None, retention_period: Duration
) -> sqs.Queue:
    """Create a queue of messages and events that could not be processed."""
    queue = sqs.Queue(
        scope,
        construct_id,
        encryption=_encryption(key),
        encryption_master_key=key,
        enforce_ssl=True,
        retention_period=retention_period,
    )
    acknowledge(
        queue, {"Serverless-SQSRedrivePolicy": "It is the dead-letter queue: people look into it."}
    )
    return queue


def allow_events_to_encrypt(scope: Construct, key: kms.IKey | None) -> None:
    """Allow EventBridge to use the key of a queue, or warn that only its owner can."""
    if key and not key.add_to_resource_policy(permissions.encrypt_events()).statement_added:
        Annotations.of(scope).add_warning_v2(
            "quilt-packager:queueEncryptionKey",
            "The queue_encryption_key is imported, so CDK cannot change its policy. The policy "
            "must allow events.amazonaws.com to use kms:Decrypt and kms:GenerateDataKey: "
            "otherwise no event arrives.",
        )


def _encryption(key: kms.IKey | None) -> sqs.QueueEncryption:
    # EventBridge cannot send to a queue that is encrypted with AWS's own KMS key for SQS.
    return sqs.QueueEncryption.KMS if key else sqs.QueueEncryption.SQS_MANAGED
