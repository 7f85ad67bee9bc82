"""A deployed engine, found by the outputs and resources of its stack."""

import shlex
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from quilt_packager.operations.deployment.engines import (
    CHECKSUM_LOG,
    DEAD_LETTERS_OUTPUT,
    LARGE_JOBS,
    PACKAGER_FUNCTION,
    PACKAGER_LOG,
    QUEUE_OUTPUT,
    SCRATCH_BUCKET,
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

LOG_GROUPS = {"packager": PACKAGER_LOG, "checksum": CHECKSUM_LOG}
"""The functions whose logs are read, and the constructs of these."""

# A page waits for these: a call that hangs is to end while somebody still looks.
CONNECT_TIMEOUT_SECONDS = 3
READ_TIMEOUT_SECONDS = 20
ATTEMPTS = 3

UNKNOWN_STACK = "ValidationError"


class Options(NamedTuple):
    """The options by which a user chose an engine, for the commands that follow.

    What the shell's environment says is not among them: it holds for the next command, too.

    Attributes:
        stack: As `Deployment.name`; None: not given.
        profile: A profile of AWS's configuration; None: not given.
        region: As `us-east-1`; None: not given.
    """

    stack: str | None = None
    profile: str | None = None
    region: str | None = None

    def command(self, *words: str) -> str:
        """A command for the same engine, as one types it into a shell.

        Args:
            words: What stands after `quilt-packager`, unquoted.

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
    """A deployed engine, and the clients to operate it by.

    Threads may share it. Each client is made when it is first asked for.

    Args:
        session: The credentials and the region to use.
        stack: What CloudFormation says of the stack.
        engine: The engine in it.
        name: What the engine goes by.
        stack_resources: The resources of the stack.

    Attributes:
        session: As given.
        name: What the option `--stack` takes for it: its stack, and where there are others in it,
            `/` and its own name.
        stack_name: The stack.
        partition: The part of AWS that this is in, as `aws` or `aws-cn`.
        region: Where it is.
        account: Whose it is.
        resources: The engine's resources.
        stack_resources: The stack's, among them those of others.
        options: The options by which the user chose it. Default: none.
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
        """Where messages go."""
        return self._engine.queues.queue_url

    @property
    def dead_letter_queue_url(self) -> str:
        """Where messages are that led to nothing."""
        return self._engine.queues.dead_letter_queue_url

    @property
    def state_machine_arn(self) -> str | None:
        """What goes on with large jobs; None if nothing does."""
        return self._engine.find("AWS::StepFunctions::StateMachine", LARGE_JOBS)

    @property
    def scratch_bucket(self) -> str | None:
        """Where the files of large jobs are; None if there is none."""
        return self._engine.find("AWS::S3::Bucket", SCRATCH_BUCKET)

    @property
    def packager(self) -> str | None:
        """The function that makes packages; None if it is not there."""
        return self._engine.find("AWS::Lambda::Function", PACKAGER_FUNCTION)

    def command(self, *words: str, names_stack: bool = False) -> str:
        """A command about this engine, as one types it into the shell that this one came from.

        Args:
            words: What stands after `quilt-packager`, unquoted.
            names_stack: Whether to name the stack although the user did not.
        """
        options = self.options._replace(stack=self.name) if names_stack else self.options
        return options.command(*words)

    def log_group(self, function: str) -> str | None:
        """The log group of a function.

        Args:
            function: One of `LOG_GROUPS`.

        Returns:
            Its name; None if the engine has no such function.
        """
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
        stack_name: Its stack; of several engines in one, `STACK/ENGINE`. Default: the only engine
            that there is.

    Raises:
        NoEngine: There is none, or the stack is not one.
        SeveralEngines: There are several, and none is named.
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
        """Its engines by what `--stack` takes for them: their `service`, where that is known."""
        stack = self.stack["StackName"]
        if len(self.engines) == 1:
            return {stack: self.engines[0]}
        taken = Counter(each.name for each in self.engines)
        parts = {
            each.construct: each.name if taken[each.name] == 1 else each.construct
            for each in self.engines
        }
        return {
            "/".join(filter(None, [stack, parts[each.construct]])): each for each in self.engines
        }


def _choose(session: "boto3.Session", found: _Stack, wanted: str | None = None) -> Deployment:
    """Take the engine of a name, or of a construct's id; None: the only one."""
    stack = found.stack["StackName"]
    names = found.names
    name = "/".join(filter(None, [stack, wanted]))
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
            why="It is not clear which is meant.",
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
            why="It is not clear which is meant.",
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
    """What `--stack` takes for the engines of these stacks."""
    names: list[str] = []
    for stack in stacks:
        # An engine that is alone is its stack: its resources need not be asked for.
        alone = len(find_queues(_outputs(stack))) == 1
        names += [stack["StackName"]] if alone else _read(client, stack).names
    return sorted(names)


def _read(client: "CloudFormationClient", stack: "StackTypeDef") -> _Stack:
    pages = client.get_paginator("list_stack_resources").paginate(StackName=stack["StackName"])
    resources = tuple(
        Resource(each["LogicalResourceId"], each["ResourceType"], each["PhysicalResourceId"])
        for page in pages
        for each in page["StackResourceSummaries"]
        # One that is being made has none yet.
        if "PhysicalResourceId" in each
    )
    engines = read_engines(_outputs(stack), resources)
    return _Stack(stack, resources, sorted(engines, key=lambda each: each.name))


def _outputs(stack: "StackTypeDef") -> dict[str, str]:
    return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
