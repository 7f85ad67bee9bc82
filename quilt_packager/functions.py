"""The Lambda functions: their Python, architecture, logging, environment and code, decided once."""

from collections.abc import Mapping
from typing import Literal

from aws_cdk import Duration, Size, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from quilt_packager.acknowledgements import acknowledge
from quilt_packager.bundling import LAMBDA_PYTHON, RUNTIME, Target, build_asset
from quilt_packager.sizes import check_environment

PYTHON = lambda_.Runtime(
    f"python{LAMBDA_PYTHON}", lambda_.RuntimeFamily.PYTHON, supports_inline_code=True
)


def bundle_code(
    scope: Construct, architecture: Literal["arm64", "x86_64", "host"]
) -> lambda_.AssetCode:
    """Build the runtime's Lambda asset, or take it from the cache.

    Args:
        scope: A construct of the stack that will hold the function.
        architecture: `arm64` or `x86_64` on Lambda, or `host` for an embedded AWS that runs
            functions on this machine's own Python.

    Raises:
        BundlingError: The asset could not be built.
    """
    if not Stack.of(scope).bundling_required:  # `cdk list` and `cdk destroy` upload no assets
        return lambda_.Code.from_asset(str(RUNTIME))
    target = Target.host() if architecture == "host" else Target.aws_lambda(architecture)
    asset = build_asset(target)
    return lambda_.Code.from_asset(str(asset.path), asset_hash=asset.asset_hash)


def add_service(environment: Mapping[str, str], service: str) -> dict[str, str]:
    """All variables of a function: its settings, and what its logs and metrics are told apart by.

    Args:
        environment: The settings.
        service: The value of the `service` field of logs and of the metrics' dimension.
    """
    return {**environment, "POWERTOOLS_SERVICE_NAME": service}


def create_function(
    scope: Construct,
    construct_id: str,
    *,
    handler: str,
    description: str,
    code: lambda_.Code,
    architecture: lambda_.Architecture,
    memory_size: int,
    timeout: Duration,
    ephemeral_storage_size: Size,
    log_group: logs.ILogGroup,
    service: str,
    environment: Mapping[str, str],
    tracing: lambda_.Tracing,
) -> lambda_.Function:
    """Create a function of the runtime, whose role may write its log and nothing else.

    Args:
        scope: Where the function and its role go.
        construct_id: The function's id; its role's is this and `Role`.
        handler: The module in `quilt_packager_runtime.handlers`.
        description: What the function does.
        code: The asset.
        architecture: The CPU that the asset is for.
        memory_size: MiB, which also buys CPU.
        timeout: How long one invocation may take.
        ephemeral_storage_size: The size of `/tmp`.
        log_group: Where its log goes.
        service: The value of the `service` field of logs and of the metrics' dimension.
        environment: The engine's settings.
        tracing: Whether X-Ray traces it.

    Raises:
        LimitExceeded: Lambda takes less of an environment.
    """
    variables = add_service(environment, service)
    check_environment(scope, construct_id, variables)
    role = iam.Role(
        scope,
        f"{construct_id}Role",
        assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
        description=f"{description} (execution role)",
    )
    log_group.grant_write(role)
    function = lambda_.Function(
        scope,
        construct_id,
        description=description,
        runtime=PYTHON,
        architecture=architecture,
        handler=f"quilt_packager_runtime.handlers.{handler}.handler",
        code=code,
        role=role,
        memory_size=memory_size,
        timeout=timeout,
        ephemeral_storage_size=ephemeral_storage_size,
        tracing=tracing,
        log_group=log_group,
        # Powertools writes JSON itself; this makes Lambda's own lines, and crashes, JSON too.
        logging_format=lambda_.LoggingFormat.JSON,
        environment=variables,
    )
    acknowledge(
        function,
        {
            "AwsSolutions-L1": "The wheels of the asset are pinned, and tested, for this Python.",
            "Serverless-LambdaLatestVersion": "As AwsSolutions-L1.",
            "Serverless-LambdaDLQ": "SQS or Step Functions invokes it, and loses no failure; of a "
            "stopped job, which EventBridge tells, an alarm tells too.",
            "Serverless-LambdaEventSourceMappingDestination": "As Serverless-LambdaDLQ.",
            "Serverless-LambdaTracing": "The tracing prop turns it on for those who pay for it.",
        },
    )
    if tracing is not lambda_.Tracing.DISABLED:
        reason = "X-Ray's actions are on no resource; CDK adds them with tracing."
        acknowledge(role, {"AwsSolutions-IAM5[Resource::*]": reason})
    return function
