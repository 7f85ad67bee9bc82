"""A deployed engine, found by the outputs and the resources of its stack."""

import shlex
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from quilt_packager.contract import (
    AUDIT,
    AUDIT_LOG,
    AUDIT_MACHINE,
    CHECKSUM_LOG,
    DEAD_LETTERS_OUTPUT,
    LARGE_JOBS,
    PACKAGER_FUNCTION,
    PACKAGER_LOG,
    QUEUE_OUTPUT,
    SCRATCH_BUCKET,
    join_names,
)
from quilt_packager.operations.deployment.engines import (
    Engine,
    Resource,
    find_queues,
    read_engines,
)
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

LOG_GROUPS = {"packager": PACKAGER_LOG, "checksum": CHECKSUM_LOG, "audit": AUDIT + AUDIT_LOG}
"""Log group constructs of the functions whose logs are read."""

# A page waits for these calls, so they time out early.
CONNECT_TIMEOUT_SECONDS = 3
READ_TIMEOUT_SECONDS = 20
ATTEMPTS = 3

UNKNOWN_STACK = "ValidationError"


class Options(NamedTuple):
    """Options that selected an engine, for suggested commands.

    Environment variables are not included: they apply to the next command as well.

    Attributes:
        stack: Engine, such as `Deployment.name`.
        profile: Profile of the AWS configuration.
        region: Region, such as `us-east-1`.
    """

    stack: str | None = None
    profile: str | None = None
    region: str | None = None

    def command(self, *words: str) -> str:
        """Write a command for the same engine, quoted for a shell.

        Example:
            >>> Options("prod/lab", region="us-east-1").command("jobs", "show", "3f9a61c2")
            'quilt-packager jobs show 3f9a61c2 --stack prod/lab --region us-east-1'
            >>> Options().command("jobs", "--name", "wgs/*")
            "quilt-packager jobs --name 'wgs/*'"
        """
        given = {name: value for name, value in self._asdict().items() if value}
        options = [word for name in given for word in (f"--{name}", given[name])]
        return shlex.join(["quilt-packager", *words, *options])


class Deployment:
    """A deployed engine, with the clients to operate it.

    Threads may share it. Each client is created on first use.

    Attributes:
        session: Credentials and region.
        name: Value of the option `--stack`: the name of the stack, and in a stack with several
            engines also `/` and the name of the engine.
        stack_name: Name of the stack.
        partition: Partition, such as `aws` or `aws-cn`.
        region: Region, such as `us-east-1`.
        account: Account id.
        resources: Resources of the engine.
        stack_resources: Resources of the stack.
        options: Options that selected the engine. Default: none.
    """

    def __init__(
        self,
        session: "boto3.Session",
        stack: "StackTypeDef",
        engine: Engine,
        *,
        name: str,
        stack_resources: tuple[Resource, ...],
    ) -> None:
        self.name = name
        self.stack_name = stack["StackName"]
        _, self.partition, _, self.region, self.account, _ = stack["StackId"].split(":", 5)
        self.resources = engine.resources
        self.stack_resources = stack_resources
        self.session = session
        self.options = Options()
        self._engine = engine
        self._lock = threading.Lock()

    @property
    def queue_url(self) -> str:
        """The URL of the queue of jobs."""
        return self._engine.queues.queue_url

    @property
    def dead_letter_queue_url(self) -> str:
        """The URL of the dead-letter queue."""
        return self._engine.queues.dead_letter_queue_url

    @property
    def state_machine_arn(self) -> str | None:
        """The ARN of the state machine of large jobs; None if there is none."""
        return self._engine.find("AWS::StepFunctions::StateMachine", LARGE_JOBS)

    @property
    def audit_machine_arn(self) -> str | None:
        """The ARN of the state machine of the audit; None if there is none."""
        return self._engine.find("AWS::StepFunctions::StateMachine", AUDIT + AUDIT_MACHINE)

    @property
    def scratch_bucket(self) -> str | None:
        """The bucket for files of large jobs; None if there is none."""
        return self._engine.find("AWS::S3::Bucket", SCRATCH_BUCKET)

    @property
    def packager(self) -> str | None:
        """The name of the packager function; None if it was not found."""
        return self._engine.find("AWS::Lambda::Function", PACKAGER_FUNCTION)

    def command(self, *words: str, names_stack: bool = False) -> str:
        """Write a command for this engine, quoted for the shell of the user.

        Args:
            words: Arguments of `quilt-packager`.
            names_stack: Name the stack even if the user did not.
        """
        options = self.options._replace(stack=self.name) if names_stack else self.options
        return options.command(*words)

    def log_group(self, function: str) -> str | None:
        """Find the log group of a function in `LOG_GROUPS`; None if there is no such function."""
        return self._engine.find("AWS::Logs::LogGroup", LOG_GROUPS[function])

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
    def dynamodb(self) -> Any:  # noqa: ANN401 - made at run time
        """DynamoDB."""
        return self._connect("dynamodb")

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
    def iam(self) -> Any:  # noqa: ANN401 - made at run time
        """IAM."""
        return self._connect("iam")

    @cached_property
    def kms(self) -> Any:  # noqa: ANN401 - made at run time
        """KMS."""
        return self._connect("kms")

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
        """STS."""
        client: STSClient = self._connect("sts")
        return client

    def _connect(self, service: str) -> Any:  # noqa: ANN401 - made at run time
        # Sessions are not thread-safe.
        with self._lock:
            return make_client(self.session, service, self.region)


def connect(profile: str | None = None, region: str | None = None) -> "boto3.Session":
    """Create a session; the default chain finds missing credentials and a missing region."""
    from quilt_packager_runtime.aws.sessions import create_session

    return create_session(profile, region)


def make_client(session: "boto3.Session", service: str, region: str | None = None) -> Any:  # noqa: ANN401 - made at run time
    """Create a client with short timeouts, in the region of the session by default."""
    from botocore.config import Config
    from quilt_packager_runtime.aws.sessions import create_client

    config = Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    return create_client(session, service, region, config)


def find_deployment(session: "boto3.Session", stack_name: str | None = None) -> Deployment:
    """Find an engine.

    Args:
        session: Credentials and region.
        stack_name: Name or ARN of the stack; `STACK/ENGINE` in a stack with several engines.
            Default: the only engine in the region.

    Raises:
        NoEngine: The stack or the engine does not exist.
        SeveralEngines: Several engines match.
    """
    client: CloudFormationClient = make_client(session, "cloudformation")
    if stack_name is None:
        return _choose(session, _find_only(client))
    # The ARN of a stack has slashes of its own.
    stack, _, engine = (stack_name, "", "") if ":" in stack_name else stack_name.partition("/")
    found = _find_stack(client, stack)
    if found is None:
        others = _list_names(client, _find_stacks(client))
        raise NoEngine(
            f'No engine has a stack "{stack}" in {client.meta.region_name}.',
            why=f"The account has {', '.join(others)} there."
            if others
            else "The account has no engine there.",
            remedy=f"--stack {others[0]}" if others else "Deploy one, or give --region.",
        )
    return _choose(session, _read(client, found), engine)


class _Stack(NamedTuple):
    """A stack with engines."""

    stack: "StackTypeDef"
    resources: tuple[Resource, ...]
    engines: list[Engine]

    @property
    def names(self) -> dict[str, Engine]:
        """The engines by their value of `--stack`: their `service`, where it is known."""
        stack = self.stack["StackName"]
        if len(self.engines) == 1:
            return {stack: self.engines[0]}
        taken = Counter(each.name for each in self.engines)
        parts = {
            each.construct: each.name if taken[each.name] == 1 else each.construct
            for each in self.engines
        }
        return {join_names(stack, parts[each.construct]): each for each in self.engines}


def _choose(session: "boto3.Session", found: _Stack, wanted: str | None = None) -> Deployment:
    """Choose an engine by its name or its construct id; None: the only one."""
    stack = found.stack["StackName"]
    names = found.names
    name = join_names(stack, wanted)
    if wanted is not None and name in names:
        chosen = [(name, names[name])]
    else:
        chosen = [
            (name, engine)
            for name, engine in names.items()
            if not wanted or wanted in (engine.name, engine.construct)
        ]
    if not chosen:
        raise NoEngine(
            f'The stack "{stack}" has no engine "{wanted}".',
            why=f"It has {', '.join(names)}.",
            remedy=f"--stack {next(iter(names))}",
        )
    if len(chosen) > 1:
        raise SeveralEngines(
            f'The stack "{stack}" has {len(chosen)} engines: {", ".join(names)}.',
            why="The engine is ambiguous.",
            remedy=f"--stack {next(iter(names))}",
        )
    ((name, engine),) = chosen
    return Deployment(session, found.stack, engine, name=name, stack_resources=found.resources)


def _find_only(client: "CloudFormationClient") -> _Stack:
    region = client.meta.region_name
    stacks = list(_find_stacks(client))
    if not stacks:
        raise NoEngine(
            f"There is no engine in {region}.",
            why=f"No stack of this account has the outputs {QUEUE_OUTPUT} and "
            f"{DEAD_LETTERS_OUTPUT}.",
            remedy="Deploy one with cdk deploy, or give --region or --profile.",
        )
    if len(stacks) > 1:
        names = _list_names(client, stacks)
        raise SeveralEngines(
            f"There are {len(names)} engines in {region}: {', '.join(names)}.",
            why="The engine is ambiguous.",
            remedy=f"--stack {names[0]}",
        )
    return _read(client, stacks[0])


def _find_stack(client: "CloudFormationClient", name: str) -> "StackTypeDef | None":
    from botocore.exceptions import ClientError

    try:
        (stack,) = client.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] == UNKNOWN_STACK:
            return None
        raise
    return stack if find_queues(_outputs(stack)) else None


def _find_stacks(client: "CloudFormationClient") -> Iterator["StackTypeDef"]:
    for page in client.get_paginator("describe_stacks").paginate():
        yield from (each for each in page["Stacks"] if find_queues(_outputs(each)))


def _list_names(client: "CloudFormationClient", stacks: Iterable["StackTypeDef"]) -> list[str]:
    """List the values of `--stack` for the engines of these stacks."""
    names: list[str] = []
    for stack in stacks:
        # The only engine of a stack goes by the name of the stack.
        alone = len(find_queues(_outputs(stack))) == 1
        names += [stack["StackName"]] if alone else _read(client, stack).names
    return sorted(names)


def _read(client: "CloudFormationClient", stack: "StackTypeDef") -> _Stack:
    pages = client.get_paginator("list_stack_resources").paginate(StackName=stack["StackName"])
    resources = tuple(
        Resource(each["LogicalResourceId"], each["ResourceType"], each["PhysicalResourceId"])
        for page in pages
        for each in page["StackResourceSummaries"]
        # A resource in creation has none yet.
        if "PhysicalResourceId" in each
    )
    engines = read_engines(_outputs(stack), resources)
    return _Stack(stack, resources, sorted(engines, key=lambda each: each.name))


def _outputs(stack: "StackTypeDef") -> dict[str, str]:
    return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
