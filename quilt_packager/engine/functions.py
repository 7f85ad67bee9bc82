"""The common properties of Lambda functions: Python, architecture, logging and code."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from aws_cdk import Duration, RemovalPolicy, Size, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from quilt_packager.bundling import LAMBDA_PYTHON, RUNTIME, Platform, build_asset
from quilt_packager.contract import log_group_name
from quilt_packager.guardrails.nag import acknowledge
from quilt_packager.guardrails.quotas import RolePolicies, check_environment

PYTHON = lambda_.Runtime(
    f"python{LAMBDA_PYTHON}", lambda_.RuntimeFamily.PYTHON, supports_inline_code=True
)

ACKNOWLEDGED = {
    "AwsSolutions-L1": "The wheels of the asset are pinned, and tested, for this Python.",
    "Serverless-LambdaLatestVersion": "As AwsSolutions-L1.",
    "Serverless-LambdaDLQ": "SQS and Step Functions keep what fails. A large job that was "
    "stopped can be redriven for 14 days; engine.add_alarms() reports it.",
    "Serverless-LambdaEventSourceMappingDestination": "As Serverless-LambdaDLQ.",
    "Serverless-LambdaTracing": "The tracing prop turns it on for those who pay for it.",
}


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
    platform = Platform.host() if architecture == "host" else Platform.aws_lambda(architecture)
    asset = build_asset(platform)
    return lambda_.Code.from_asset(str(asset.path), asset_hash=asset.asset_hash)


def bundling_platform(architecture: lambda_.Architecture) -> Literal["arm64", "x86_64"]:
    """Return the platform that `bundle_code` builds for an architecture."""
    return "arm64" if architecture.name == lambda_.Architecture.ARM_64.name else "x86_64"


@dataclass(frozen=True)
class FunctionSize:
    """The resources of a function's invocation.

    Attributes:
        memory_mebibytes: Memory in MiB.
        timeout: Maximum duration of an invocation.
        ephemeral_storage: The size of `/tmp`.
    """

    memory_mebibytes: int
    timeout: Duration
    ephemeral_storage: Size


@dataclass(frozen=True, kw_only=True)
class FunctionFactory:
    """Creates functions of the runtime and their logs, with the common properties of an engine.

    Attributes:
        service: The `service` field of logs, and dimension of metrics.
        code: The asset.
        architecture: The CPU that the asset is for.
        tracing: Tracing of the functions by X-Ray.
        log_retention: Retention period of logs.
    """

    service: str
    code: lambda_.Code
    architecture: lambda_.Architecture
    tracing: lambda_.Tracing
    log_retention: logs.RetentionDays

    def create(
        self,
        scope: Construct,
        construct_id: str,
        *,
        handler: str,
        description: str,
        size: FunctionSize,
        log_group: logs.ILogGroup,
        environment: Mapping[str, str],
    ) -> lambda_.Function:
        """Create a function, whose role may only write its log.

        Raises:
            LimitExceeded: The environment exceeds Lambda's quota.
        """
        variables = self.add_service(environment)
        check_environment(scope, construct_id, variables)
        role = iam.Role(
            scope,
            f"{construct_id}Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description=f"{description} (execution role)",
        )
        role.node.add_validation(RolePolicies(role))
        log_group.grant_write(role)
        function = lambda_.Function(
            scope,
            construct_id,
            description=description,
            runtime=PYTHON,
            architecture=self.architecture,
            handler=f"quilt_packager_runtime.handlers.{handler}.handler",
            code=self.code,
            role=role,
            memory_size=size.memory_mebibytes,
            timeout=size.timeout,
            ephemeral_storage_size=size.ephemeral_storage,
            tracing=self.tracing,
            log_group=log_group,
            # Powertools writes JSON itself; this makes Lambda's own lines, and crashes, JSON too.
            logging_format=lambda_.LoggingFormat.JSON,
            environment=variables,
        )
        acknowledge(function, ACKNOWLEDGED)
        if self.tracing is not lambda_.Tracing.DISABLED:
            reason = "X-Ray's actions are on no resource; CDK adds them with tracing."
            acknowledge(role, {"AwsSolutions-IAM5[Resource::*]": reason})
        return function

    def create_log(self, scope: Construct, construct_id: str, name: str) -> logs.LogGroup:
        """Create a log group `/quilt/<service>/<name>`, which is removed with the stack."""
        return logs.LogGroup(
            scope,
            construct_id,
            log_group_name=log_group_name(self.service, name),
            retention=self.log_retention,
            # Its name is fixed: a retained log group would fail the stack's next deployment.
            removal_policy=RemovalPolicy.DESTROY,
        )

    def add_service(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return a function's environment: its settings and the service of its logs and metrics."""
        return {**environment, "POWERTOOLS_SERVICE_NAME": self.service}
