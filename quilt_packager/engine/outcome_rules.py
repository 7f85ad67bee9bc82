"""What others hear of an engine's jobs: the bus, the topic, the rules, and the events' schema."""

from typing import TypedDict, Unpack

from aws_cdk import Annotations, Resource
from aws_cdk import aws_events as events
from aws_cdk import aws_eventschemas as eventschemas
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct
from quilt_packager_runtime.formats.outcome import Result
from quilt_packager_runtime.reporting.outcome_events import event_schema, outcome_pattern

from quilt_packager.guardrails import permissions

SCHEMA_TYPE = "JSONSchemaDraft4"


class RuleOptions(TypedDict, total=False):
    """How to make a rule: the props of `aws_events.Rule` that are left open."""

    description: str
    enabled: bool
    rule_name: str


class Outcomes(Construct):
    """Where the outcomes of an engine's jobs are told.

    Args:
        scope: The engine.
        engine: The engine's name in the events.
        event_bus: The bus that they are put on, or None for the account's default bus.
        notifications_topic: Where people read of failures, or None.
        publish_schema: Whether the events' schema is published.

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
        super().__init__(scope, "Outcomes")  # a room of its own: users choose the rules' ids
        self._engine = engine
        self.event_bus = event_bus or events.EventBus.from_event_bus_name(
            self, "DefaultEventBus", "default"
        )
        self._topic = notifications_topic
        self.topic_arn = notifications_topic.topic_arn if notifications_topic else None
        if notifications_topic:
            self._say_if_key_is_unknown(notifications_topic)
        if publish_schema:
            self._publish_schema()

    def grant_publish_outcomes(self, function: lambda_.Function) -> None:
        """Let a function put events on the bus, and write to the topic."""
        permissions.permit(function, [permissions.put_outcomes(self.event_bus)])
        if self._topic:
            permissions.permit(function, [permissions.publish_notices(self._topic)])
            if self._topic.master_key:
                self._topic.master_key.grant(function, "kms:Decrypt", "kms:GenerateDataKey")

    def add_rule(
        self,
        construct_id: str,
        result: Result,
        target: events.IRuleTarget | None,
        options: RuleOptions,
    ) -> events.Rule:
        """Let something happen whenever a job of the engine ends in one way.

        Args:
            construct_id: The rule's id.
            result: How the job ends.
            target: What happens; None: nothing yet.
            options: More of the rule.
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

    def _say_if_key_is_unknown(self, topic: sns.ITopic) -> None:
        if Resource.is_owned_resource(topic) or topic.master_key:
            return
        # No warning: most likely the topic has no key, and `cdk --strict` fails on warnings.
        Annotations.of(self).add_info_v2(
            "quilt-packager:notificationsTopicKey",
            "The notifications_topic is imported without a key. If it is encrypted with a key of "
            "yours, no notice can be published, and jobs that were rejected are delivered again: "
            "name the key, by Topic.from_topic_attributes(key_arn=…) or the flag "
            "quilt:notifications_topic_key.",
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
            description="How a job ended that was to make a Quilt package",
            content=event_schema(),
        )


class OutcomeRules:
    """What can happen when jobs of an engine end."""

    _outcomes: Outcomes

    def on_package_created(
        self,
        construct_id: str,
        *,
        target: events.IRuleTarget | None = None,
        **options: Unpack[RuleOptions],
    ) -> events.Rule:
        """Let something happen whenever a revision was published.

        A job that died after publishing is done again, and ends unchanged: to miss no revision,
        listen to both, and compare top hashes.

        Args:
            construct_id: The rule's id, unique among these rules of the engine.
            target: What happens. Default: nothing, until the rule is given a target.
            **options: `description`, `enabled`, `rule_name`.

        Returns:
            The rule, whose pattern and targets can be added to.
        """
        return self._outcomes.add_rule(construct_id, Result.CREATED, target, options)

    def on_package_unchanged(
        self,
        construct_id: str,
        *,
        target: events.IRuleTarget | None = None,
        **options: Unpack[RuleOptions],
    ) -> events.Rule:
        """Let something happen whenever a package was found up to date."""
        return self._outcomes.add_rule(construct_id, Result.UNCHANGED, target, options)

    def on_package_rejected(
        self,
        construct_id: str,
        *,
        target: events.IRuleTarget | None = None,
        **options: Unpack[RuleOptions],
    ) -> events.Rule:
        """Let something happen whenever a job can never succeed as it is."""
        return self._outcomes.add_rule(construct_id, Result.REJECTED, target, options)

    def on_package_failed(
        self,
        construct_id: str,
        *,
        target: events.IRuleTarget | None = None,
        **options: Unpack[RuleOptions],
    ) -> events.Rule:
        """Let something happen whenever a job failed for the last time."""
        return self._outcomes.add_rule(construct_id, Result.FAILED, target, options)
