"""The coalescer: a queue of uploads, the function that records them, and its table."""

from collections.abc import Mapping

import msgspec
from aws_cdk import Aws, Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from constructs import Construct
from quilt_packager_runtime.settings.upload_settings import UploadSettings

from quilt_packager.contract import COALESCER_FUNCTION, log_group_name
from quilt_packager.engine.engine import PackagingEngine
from quilt_packager.engine.queues import JobQueues
from quilt_packager.guardrails import permissions
from quilt_packager.guardrails.nag import acknowledge, acknowledge_controls
from quilt_packager.guardrails.quotas import check_pattern
from quilt_packager.monitoring.watched import WatchedQueues

MEMORY_MEBIBYTES = 512
TIMEOUT_SECONDS = 60
MAX_CONCURRENCY = 10
MAX_RECEIVE_COUNT = 5

BATCH_SIZE = 1000
MAX_BATCHING_SECONDS = 5
"""Uploads within these seconds share an invocation, and a write for each prefix."""

VISIBILITY_SECONDS = 6 * TIMEOUT_SECONDS
"""AWS's recommendation. A claim of a window is shorter: it ends with its invocation."""


class Coalescer(Construct):
    """Coalesces the uploads below a prefix into one event when they have stopped.

    Args:
        engine: The engine, its scope.
        construct_id: Its id.
        name: Name of the source.
        settings: The thresholds, and the `source` of its events.
        log_name: Name of the log group below `/quilt/<service>/`.
        event_bus: The bus for the events of ready prefixes.

    Attributes:
        queue: The queue of uploads.
        dead_letter_queue: The queue of uploads that could not be parsed or recorded.
        table: The table of windows.
        function: The function that records uploads and announces folders.
        log_group: The log of the function.
        event_bus: The bus of the announcements.
    """

    def __init__(
        self,
        engine: PackagingEngine,
        construct_id: str,
        *,
        name: str,
        settings: UploadSettings,
        log_name: str,
        event_bus: events.IEventBus,
    ) -> None:
        super().__init__(engine, construct_id)
        self._queues = JobQueues(
            self,
            name="Coalescer",
            visibility_timeout=Duration.seconds(VISIBILITY_SECONDS),
            max_receive_count=MAX_RECEIVE_COUNT,
            retention_period=Duration.days(4),
            dead_letter_retention_period=Duration.days(14),
            key=engine.queue.encryption_master_key,
        )
        self.queue = self._queues.queue
        self.dead_letter_queue = self._queues.dead_letter_queue
        self.table = self._create_table(engine.encryption_key)
        self.function = engine.add_function(
            self,
            COALESCER_FUNCTION,
            handler="coalescer",
            description="Finds out when all uploads below a prefix are there",
            log_name=log_name,
            memory_size=MEMORY_MEBIBYTES,
            timeout=Duration.seconds(TIMEOUT_SECONDS),
            environment=msgspec.structs.replace(
                settings,
                event_bus=event_bus.event_bus_name,
                partition=Aws.PARTITION,
                table=self.table.table_name,
                queue_url=self.queue.queue_url,
                dead_letter_queue_url=self.dead_letter_queue.queue_url,
            ).to_environment(),
        )
        self.log_group = self.function.log_group
        self.event_bus = event_bus
        permissions.add_statements(
            self.function,
            permissions.coalescer_permissions(self.queue, self.table, event_bus, settings.source),
        )
        self._queues.add_consumer(
            self.function,
            max_concurrency=MAX_CONCURRENCY,
            batch_size=BATCH_SIZE,
            max_batching_window=Duration.seconds(MAX_BATCHING_SECONDS),
        )
        engine.watch(
            WatchedQueues(
                name,
                self.queue,
                self.dead_letter_queue,
                log_name=log_name,
                advice=f"Find the reason in the log {log_group_name(engine.service, log_name)}, "
                "correct it, and redrive the messages: aws sqs start-message-move-task "
                f"--source-arn {self.dead_letter_queue.queue_arn}.",
            )
        )

    def add_rule(self, pattern: Mapping[str, object], *, enabled: bool) -> events.CfnRule:
        """Send the uploads that match a pattern to the coalescer.

        Args:
            pattern: The event pattern, in EventBridge's own JSON.
            enabled: Send the uploads to the coalescer. A disabled rule stays in place.

        Raises:
            LimitExceeded: The pattern is too long.
        """
        check_pattern(self, self.node.id, pattern)
        rule = events.CfnRule(
            self,
            "Rule",
            description="Uploads, to be packaged when all are there",
            event_pattern=pattern,
            state="ENABLED" if enabled else "DISABLED",
        )
        self._queues.add_as_target(rule, None)
        return rule

    def _create_table(self, key: kms.IKey | None) -> dynamodb.Table:
        table = dynamodb.Table(
            self,
            "Windows",
            partition_key=dynamodb.Attribute(name="window", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute="expires_at",
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED if key else None,
            encryption_key=key,
            # Its items are needed for minutes.
            removal_policy=RemovalPolicy.DESTROY,
        )
        needed_for_minutes = (
            "Windows are needed for minutes; restored ones would only announce folders again."
        )
        acknowledge(
            table,
            {"AwsSolutions-DDB3": needed_for_minutes},
        )
        acknowledge_controls(
            table,
            {
                "DynamoDBInBackupPlan": needed_for_minutes,
                "DynamoDBPITREnabled": needed_for_minutes,
            },
        )
        return table
