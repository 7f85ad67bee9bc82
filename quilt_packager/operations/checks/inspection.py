"""The parts of a deployed engine, read once for all checks."""

import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from quilt_packager.operations.deployment.configurations import Configuration, read_configuration
from quilt_packager.operations.sources.sources import DeployedRule, list_rules, list_sources

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment
    from quilt_packager.operations.sources.sources import Source

HANDLER = re.compile(r"quilt_packager_runtime\.handlers\.(?P<name>\w+)\.handler")
AWS_HOST = re.compile(r".*\.(amazonaws\.com(\.cn)?|amazonaws\.eu|api\.aws|i?c\.gov|sgov\.gov)")

URL_SUFFIXES = {"aws-cn": "amazonaws.com.cn", "aws-eusc": "amazonaws.eu"}


class Function(NamedTuple):
    """A Lambda function of the runtime.

    Attributes:
        handler: Name of its handler, such as `packager`.
        name: Name of the function.
        role: ARN of its role.
        timeout_seconds: Timeout.
        state: State, such as `Active`.
        update: Status of its last update, such as `Successful`.
        reserved: Reserved concurrency; None if it has none.
        mappings: Event source mappings.
    """

    handler: str
    name: str
    role: str
    timeout_seconds: int
    state: str
    update: str
    reserved: int | None
    mappings: tuple[Mapping[str, Any], ...]


class Queue(NamedTuple):
    """A queue of the engine.

    Attributes:
        url: URL.
        attributes: All attributes.
    """

    url: str
    attributes: Mapping[str, str]

    @property
    def name(self) -> str:
        """The name."""
        return self.url.rpartition("/")[2]

    @property
    def policy(self) -> str | None:
        """The policy document; None if there is none."""
        return self.attributes.get("Policy") or None

    @property
    def dead_letter_arn(self) -> str | None:
        """The ARN of the dead-letter queue; None if there is none."""
        redrive: dict[str, str] = json.loads(self.attributes.get("RedrivePolicy") or "{}")
        return redrive.get("deadLetterTargetArn")

    @property
    def messages(self) -> int:
        """The approximate number of messages."""
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        return sum(int(self.attributes.get(name, 0)) for name in names)


class Inspection:
    """A deployed engine as checks see it. Each part is read on first use.

    Attributes:
        deployment: The engine.
    """

    def __init__(self, deployment: "Deployment") -> None:
        self.deployment = deployment

    @cached_property
    def on_aws(self) -> bool:
        """True if the endpoint belongs to AWS."""
        host = urlsplit(self.deployment.s3.meta.endpoint_url).hostname or ""
        return AWS_HOST.fullmatch(host) is not None

    @property
    def s3_host(self) -> str:
        """The host of S3 in this region, as KMS names the service."""
        suffix = URL_SUFFIXES.get(self.deployment.partition, "amazonaws.com")
        return f"s3.{self.deployment.region}.{suffix}"

    @cached_property
    def configuration(self) -> Configuration:
        """The configuration of the packager."""
        return read_configuration(self.deployment)

    @cached_property
    def sources(self) -> "list[Source]":
        """The event sources."""
        return list_sources(self.deployment)

    @cached_property
    def rules(self) -> list[DeployedRule]:
        """All rules."""
        return list_rules(self.deployment)

    @cached_property
    def functions(self) -> list[Function]:
        """The functions of the runtime."""
        names = self._find("AWS::Lambda::Function")
        return [found for name in names if (found := self._read_function(name)) is not None]

    @cached_property
    def queues(self) -> dict[str, Queue]:
        """The queues by their ARN."""
        client = self.deployment.sqs
        read = []
        for url in self._find("AWS::SQS::Queue"):
            answer = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
            read.append(
                Queue(url, {str(name): value for name, value in answer["Attributes"].items()})
            )
        return {each.attributes["QueueArn"]: each for each in read}

    @cached_property
    def source_buckets(self) -> tuple[str, ...]:
        """The buckets that packages may be made of, if the configuration names them."""
        return self.configuration.settings.source_buckets

    @cached_property
    def registries(self) -> tuple[str, ...]:
        """The buckets that packages are written to, if the configuration names them."""
        settings = self.configuration.settings
        others = [
            each for each in (settings.default_registry, settings.quarantine_registry) if each
        ]
        return tuple(dict.fromkeys([*settings.registry_buckets, *others]))

    @cached_property
    def watched_buckets(self) -> tuple[str, ...]:
        """The buckets whose events an enabled source receives."""
        names = (
            name
            for source in self.sources
            if source.enabled and source.pattern.get("source") == ["aws.s3"]
            for name in source.pattern.get("detail", {}).get("bucket", {}).get("name", [])
        )
        return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))

    @property
    def buckets(self) -> tuple[str, ...]:
        """All named buckets."""
        scratch = self.deployment.scratch_bucket
        return tuple(
            dict.fromkeys(
                [
                    *self.source_buckets,
                    *self.registries,
                    *self.watched_buckets,
                    *([scratch] if scratch else []),
                ]
            )
        )

    def _find(self, resource_type: str) -> list[str]:
        return [
            each.physical_id for each in self.deployment.resources if each.type == resource_type
        ]

    def _read_function(self, name: str) -> Function | None:
        client = self.deployment.functions
        read = client.get_function_configuration(FunctionName=name)
        handler = HANDLER.fullmatch(read.get("Handler", ""))
        if handler is None:
            return None
        concurrency = client.get_function_concurrency(FunctionName=name)
        mappings = client.get_paginator("list_event_source_mappings").paginate(FunctionName=name)
        return Function(
            handler=handler["name"],
            name=name,
            role=read["Role"],
            timeout_seconds=read["Timeout"],
            state=read.get("State", "Active"),
            update=read.get("LastUpdateStatus", "Successful"),
            reserved=concurrency.get("ReservedConcurrentExecutions"),
            mappings=tuple(each for page in mappings for each in page["EventSourceMappings"]),
        )
