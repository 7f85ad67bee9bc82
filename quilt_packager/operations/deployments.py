"""A deployed engine, found by the outputs and resources of its stack."""

import threading
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from quilt_packager.operations.errors import NoEngine, SeveralEngines

if TYPE_CHECKING:
    import boto3
    from types_boto3_cloudformation.client import CloudFormationClient
    from types_boto3_cloudformation.type_defs import StackTypeDef
    from types_boto3_cloudwatch.client import CloudWatchClient
    from types_boto3_events.client import EventBridgeClient
    from types_boto3_lambda.client import LambdaClient
    from types_boto3_logs.client import CloudWatchLogsClient
    from types_boto3_s3.client import S3Client
    from types_boto3_sqs.client import SQSClient
    from types_boto3_stepfunctions.client import SFNClient
    from types_boto3_sts.client import STSClient

QUEUE_OUTPUT = "PackagerQueueUrl"
DEAD_LETTERS_OUTPUT = "PackagerDeadLetterQueueUrl"

LOG_GROUP_NAMES = {"packager": "PackagerLambda", "checksum": "ChecksumLambda"}
"""The last part of the names of the engine's log groups, which stand below `/quilt/<stack>/`."""

# A page waits for these: a call that hangs is to end while somebody still looks.
CONNECT_TIMEOUT_SECONDS = 3
READ_TIMEOUT_SECONDS = 20
ATTEMPTS = 3

UNKNOWN_STACK = "ValidationError"


class Resource(NamedTuple):
    """A resource of a stack.

    Attributes:
        logical_id: Its id in the template.
        type: As `AWS::SQS::Queue`.
        physical_id: Its name, URL or ARN, as its type has it.
    """

    logical_id: str
    type: str
    physical_id: str


class Deployment:
    """A deployed engine, and the clients to operate it by.

    Threads may share it. Each client is made when it is first asked for.

    Args:
        session: The credentials and the region to use.
        stack: What CloudFormation says of the stack.
        resources: The stack's resources.

    Attributes:
        session: As given.
        stack_name: The stack.
        partition: The part of AWS that this is in, as `aws` or `aws-cn`.
        region: Where it is.
        account: Whose it is.
        outputs: The stack's outputs.
        resources: The stack's resources.
    """

    def __init__(
        self, session: "boto3.Session", stack: "StackTypeDef", resources: tuple[Resource, ...]
    ) -> None:
        self.stack_name = stack["StackName"]
        _, self.partition, _, self.region, self.account, _ = stack["StackId"].split(":", 5)
        self.outputs = _outputs(stack)
        self.resources = resources
        self.session = session
        self._lock = threading.Lock()

    @property
    def queue_url(self) -> str:
        """Where messages go."""
        return self.outputs[QUEUE_OUTPUT]

    @property
    def dead_letter_queue_url(self) -> str:
        """Where messages are that led to nothing."""
        return self.outputs[DEAD_LETTERS_OUTPUT]

    @property
    def state_machine_arn(self) -> str | None:
        """What goes on with large jobs; None if nothing does."""
        return next(self.physical_ids("AWS::StepFunctions::StateMachine"), None)

    def log_group(self, function: str) -> str | None:
        """The log group of a function.

        Args:
            function: One of `LOG_GROUP_NAMES`.

        Returns:
            Its name; None if the engine has no such function.
        """
        suffix = f"/{LOG_GROUP_NAMES[function]}"
        groups = self.physical_ids("AWS::Logs::LogGroup")
        return next((name for name in groups if name.endswith(suffix)), None)

    def physical_ids(self, resource_type: str) -> Iterator[str]:
        """The names, URLs or ARNs of all resources of a type.

        Args:
            resource_type: As `AWS::SQS::Queue`.
        """
        return (each.physical_id for each in self.resources if each.type == resource_type)

    @cached_property
    def cloudformation(self) -> "CloudFormationClient":
        """CloudFormation."""
        client: CloudFormationClient = self._connect("cloudformation")
        return client

    @cached_property
    def cloudwatch(self) -> "CloudWatchClient":
        """CloudWatch."""
        client: CloudWatchClient = self._connect("cloudwatch")
        return client

    @cached_property
    def events(self) -> "EventBridgeClient":
        """EventBridge."""
        client: EventBridgeClient = self._connect("events")
        return client

    @cached_property
    def functions(self) -> "LambdaClient":
        """Lambda."""
        client: LambdaClient = self._connect("lambda")
        return client

    @cached_property
    def logs(self) -> "CloudWatchLogsClient":
        """CloudWatch Logs."""
        client: CloudWatchLogsClient = self._connect("logs")
        return client

    @cached_property
    def s3(self) -> "S3Client":
        """S3."""
        client: S3Client = self._connect("s3")
        return client

    @cached_property
    def sqs(self) -> "SQSClient":
        """SQS."""
        client: SQSClient = self._connect("sqs")
        return client

    @cached_property
    def states(self) -> "SFNClient":
        """Step Functions."""
        client: SFNClient = self._connect("stepfunctions")
        return client

    @cached_property
    def sts(self) -> "STSClient":
        """STS, which tells whose credentials these are."""
        client: STSClient = self._connect("sts")
        return client

    def _connect(self, service: str) -> Any:  # noqa: ANN401 - made at run time
        # A session must not make two clients at once.
        with self._lock:
            return make_client(self.session, service, self.region)


def connect(profile: str | None = None, region: str | None = None) -> "boto3.Session":
    """Take credentials and a region, by the default chain where they are not given.

    Args:
        profile: A profile of AWS's configuration.
        region: As `us-east-1`.
    """
    import boto3  # half a second

    return boto3.Session(profile_name=profile, region_name=region)


def make_client(session: "boto3.Session", service: str, region: str | None = None) -> Any:  # noqa: ANN401 - made at run time
    """A client whose calls end while somebody still waits for them.

    Args:
        session: The credentials.
        service: As `sqs`.
        region: Where. Default: the session's.
    """
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    return session.client(service, region_name=region, config=config)


def find_deployment(session: "boto3.Session", stack_name: str | None = None) -> Deployment:
    """Find an engine.

    Args:
        session: The credentials, and the region to look in.
        stack_name: Its stack. Default: the only one with the outputs of an engine.

    Raises:
        NoEngine: There is none, or the stack is not one.
        SeveralEngines: There are several, and none is named.
    """
    client: CloudFormationClient = make_client(session, "cloudformation")
    region = client.meta.region_name
    stack = _find_stack(client, stack_name) if stack_name else _find_only(client, region)
    if stack is None:
        others = [each["StackName"] for each in _find_engines(client)]
        raise NoEngine(
            f'No engine has a stack "{stack_name}" in {region}.',
            why=f"The account has {', '.join(others)} there."
            if others
            else "The account has no engine there.",
            remedy=f"--stack {others[0]}" if others else "Deploy one, or give --region.",
        )
    pages = client.get_paginator("list_stack_resources").paginate(StackName=stack["StackName"])
    resources = tuple(
        Resource(each["LogicalResourceId"], each["ResourceType"], each["PhysicalResourceId"])
        for page in pages
        for each in page["StackResourceSummaries"]
        # One that is being made has none yet.
        if "PhysicalResourceId" in each
    )
    return Deployment(session, stack, resources)


def _find_stack(client: "CloudFormationClient", name: str) -> "StackTypeDef | None":
    from botocore.exceptions import ClientError

    try:
        (stack,) = client.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] == UNKNOWN_STACK:
            return None
        raise
    return stack if _is_engine(stack) else None


def _find_only(client: "CloudFormationClient", region: str) -> "StackTypeDef":
    stacks = list(_find_engines(client))
    if not stacks:
        raise NoEngine(
            f"There is no engine in {region}.",
            why=f"No stack of this account has the output {QUEUE_OUTPUT}.",
            remedy="Deploy one with cdk deploy, or give --region or --profile.",
        )
    if len(stacks) > 1:
        names = sorted(each["StackName"] for each in stacks)
        raise SeveralEngines(
            f"There are {len(names)} engines in {region}: {', '.join(names)}.",
            why="It is not clear which is meant.",
            remedy=f"--stack {names[0]}",
        )
    return stacks[0]


def _find_engines(client: "CloudFormationClient") -> Iterator["StackTypeDef"]:
    for page in client.get_paginator("describe_stacks").paginate():
        yield from filter(_is_engine, page["Stacks"])


def _is_engine(stack: "StackTypeDef") -> bool:
    return {QUEUE_OUTPUT, DEAD_LETTERS_OUTPUT} <= _outputs(stack).keys()


def _outputs(stack: "StackTypeDef") -> dict[str, str]:
    return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
