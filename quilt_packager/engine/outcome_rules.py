"""Outcomes of an engine's jobs: the bus, the topic, the rules, and the events' schema."""

from typing import TypedDict, Unpack

from aws_cdk import Annotations, Resource
from aws_cdk import aws_events as events
from aws_cdk import aws_eventschemas as eventschemas
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct
from quilt_packager_runtime.formats.outcome import Result
from quilt_packager_runtime.reporting.outcome_events import event_schema, outcome_pattern

from quilt_packager.contract import FLAG_PREFIX
from quilt_packager.guardrails import permissions

SCHEMA_TYPE = "JSONSchemaDraft4"


class RuleOptions(TypedDict, total=False):
    """The props of `aws_events.Rule` that callers choose."""

    description: str
    enabled: bool
    rule_name: str


class Outcomes(Construct):
    """The destinations of the outcomes of an engine's jobs.

    Args:
        scope: The engine.
        engine: The engine's name in the events.
        event_bus: The event bus, or None for the account's default bus.
        notifications_topic: Topic for notifications of failures, or None.
        publish_schema: Publish the events' schema.

    Attributes:
        event_bus: The bus.
        topic_arn: The topic's ARN.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        engine: str,
        event_bus: events.IEventBus | None,
        notifications_topic: sns.ITopic | None,
        publish_schema: bool,
    ) -> None:
        super().__init__(scope, "Outcomes")  # a scope of its own: users choose the rules' ids
        self._engine = engine
        self.event_bus = event_bus or events.EventBus.from_event_bus_name(
            self, "DefaultEventBus", "default"
        )
        self._topic = notifications_topic
        self.topic_arn = notifications_topic.topic_arn if notifications_topic else None
        if notifications_topic:
            self._inform_of_unknown_key(notifications_topic)
        if publish_schema:
            self._publish_schema()

    def grant_publish_outcomes(self, function: lambda_.Function) -> None:
        """Allow a function to publish outcomes on the bus and notifications to the topic."""
        permissions.add_statements(function, [permissions.put_outcomes(self.event_bus)])
        if self._topic:
            permissions.add_statements(function, permissions.publish_notices(self._topic))

    def add_rule(
        self,
        construct_id: str,
        result: Result,
        target: events.IRuleTarget | None,
        options: RuleOptions,
    ) -> events.Rule:
        """Create a rule for one outcome of the engine's jobs.

        Args:
            construct_id: The rule's id.
            result: The outcome to react to.
            target: The rule's target. None: none yet.
            options: Other props of the rule.
        """
        pattern = outcome_pattern(result, engine=self._engine)
        return events.Rule(
            self,
            construct_id,
            event_bus=self.event_bus,
            event_pattern=events.EventPattern(
                source=pattern["source"],
                detail_type=pattern["detail-type"],
                detail=pattern["detail"],
            ),
            targets=[target] if target else None,
            **options,
        )

    def _inform_of_unknown_key(self, topic: sns.ITopic) -> None:
        if Resource.is_owned_resource(topic) or topic.master_key:
            return
        # No warning: most likely the topic has no key, and `cdk --strict` fails on warnings.
        Annotations.of(self).add_info_v2(
            "quilt-packager:notificationsTopicKey",
            "The notifications_topic is imported without a key. If a customer managed key encrypts "
            "it, no notification can be published. Specify the key by "
            f"Topic.from_topic_attributes(key_arn=…) or by the flag {FLAG_PREFIX}"
            "notifications_topic_key.",
        )

    def _publish_schema(self) -> None:
        registry = eventschemas.CfnRegistry(
            self, "OutcomeSchemas", description="Outcomes of Quilt packaging"
        )
        eventschemas.CfnSchema(
            self,
            "OutcomeSchema",
            registry_name=registry.attr_registry_name,
            type=SCHEMA_TYPE,
            description="The outcome of a Quilt packaging job",
            content=event_schema(),
        )


class OutcomeRules:
    """Rules that react to the outcomes of an engine's jobs."""

    _outcomes: Outcomes

    def on_package_created(
        self,
        construct_id: str,
        *,
        target: events.IRuleTarget | None = None,
        **options: Unpack[RuleOptions],
    ) -> events.Rule:
        """Create a rule for published revisions.

        A job that is killed after publishing is retried and ends unchanged: to miss no revision,
        subscribe to both, and compare top hashes.

        Args:
            construct_id: The rule's id, unique among these rules of the engine.
            target: The rule's target. Default: none; add it to the rule.
            **options: `description`, `enabled`, `rule_name`.

        Returns:
            The rule, to which targets can be added.
        """
        return self._outcomes.add_rule(construct_id, Result.CREATED, target, options)

    def on_package_unchanged(
        self,
        construct_id: str,
        *,
        target: events.IRuleTarget | None = None,
        **options: Unpack[RuleOptions],
    ) -> events.Rule:
        """Create a rule for packages that are up to date."""
        return self._outcomes.add_rule(construct_id, Result.UNCHANGED, target, options)

    def on_package_rejected(
        self,
        construct_id: str,
        *,
        target: events.IRuleTarget | None = None,
        **options: Unpack[RuleOptions],
    ) -> events.Rule:
        """Create a rule for rejected jobs."""
        return self._outcomes.add_rule(construct_id, Result.REJECTED, target, options)

    def on_package_failed(
        self,
        construct_id: str,
        *,
        target: events.IRuleTarget | None = None,
        **options: Unpack[RuleOptions],
    ) -> events.Rule:
        """Create a rule for jobs that failed on their last attempt."""
        return self._outcomes.add_rule(construct_id, Result.FAILED, target, options)
