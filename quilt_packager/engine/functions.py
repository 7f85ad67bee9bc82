"""The common properties of Lambda functions: Python, architecture, logging and code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from aws_cdk import Duration, RemovalPolicy, Size, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from quilt_packager.bundling import LAMBDA_PYTHON, RUNTIME, Platform, build_asset
from quilt_packager.contract import log_group_name
from quilt_packager.guardrails import permissions
from quilt_packager.guardrails.nag import (
    acknowledge,
    acknowledge_controls,
    acknowledge_inline_policy,
)
from quilt_packager.guardrails.quotas import RolePolicies, check_environment

PYTHON = lambda_.Runtime(
    f"python{LAMBDA_PYTHON}", lambda_.RuntimeFamily.PYTHON, supports_inline_code=True
)

HTTPS = 443

CONTROLS = {
    "LambdaConcurrency": "The event source mapping or the state machine limits the concurrent "
    "invocations.",
    "LambdaDLQ": "SQS and Step Functions keep what fails, as for Serverless-LambdaDLQ.",
}
"""Accepted findings of the packs of regulations. The packager can have a reserved concurrency."""

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


@dataclass(frozen=True)
class Network:
    """The place of functions in a VPC.

    Attributes:
        vpc: The VPC.
        subnets: The subnets, or None for the private ones.
        security_groups: The security groups.
    """

    vpc: ec2.IVpc
    subnets: ec2.SubnetSelection | None
    security_groups: Sequence[ec2.ISecurityGroup]

    @classmethod
    def create(
        cls,
        scope: Construct,
        *,
        vpc: ec2.IVpc | None,
        subnets: ec2.SubnetSelection | None,
        security_groups: Sequence[ec2.ISecurityGroup],
    ) -> Self | None:
        """Return the place of an engine's functions. Default: one security group, HTTPS only."""
        if vpc is None:
            return None
        if not security_groups:
            group = ec2.SecurityGroup(
                scope,
                "SecurityGroup",
                vpc=vpc,
                description="Functions of Quilt packaging, which call the endpoints of AWS",
                allow_all_outbound=False,
            )
            group.add_egress_rule(
                ec2.Peer.any_ipv4(), ec2.Port.tcp(HTTPS), "HTTPS to the endpoints of AWS"
            )
            security_groups = [group]
        return cls(vpc, subnets, security_groups)


@dataclass(frozen=True, kw_only=True)
class FunctionFactory:
    """Creates functions of the runtime and their logs, with the common properties of an engine.

    Attributes:
        service: The `service` field of logs, and dimension of metrics.
        code: The asset.
        architecture: The CPU that the asset is for.
        tracing: Tracing of the functions by X-Ray.
        log_retention: Retention period of logs.
        network: The VPC of the functions, or None.
        encryption_key: The key of logs and environments, or None for AWS's own.
    """

    service: str
    code: lambda_.Code
    architecture: lambda_.Architecture
    tracing: lambda_.Tracing
    log_retention: logs.RetentionDays
    network: Network | None = None
    encryption_key: kms.IKey | None = None

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
        role_name: str | None = None,
        reserved_concurrent_executions: int | None = None,
    ) -> lambda_.Function:
        """Create a function, whose role may only write its log and be in the VPC.

        Raises:
            LimitExceeded: The environment exceeds Lambda's quota.
        """
        variables = self.add_service(environment)
        check_environment(scope, construct_id, variables)
        role = iam.Role(
            scope,
            f"{construct_id}Role",
            role_name=role_name,
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description=f"{description} (execution role)",
        )
        role.node.add_validation(RolePolicies(role))
        acknowledge_inline_policy(role)
        log_group.grant_write(role)
        if self.network:
            permissions.add_to_role(role, [permissions.join_vpc()])
        if self.encryption_key:
            permissions.add_to_role(role, [permissions.decrypt_environment(self.encryption_key)])
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
            environment_encryption=self.encryption_key,
            reserved_concurrent_executions=reserved_concurrent_executions,
            vpc=self.network.vpc if self.network else None,
            vpc_subnets=self.network.subnets if self.network else None,
            security_groups=self.network.security_groups if self.network else None,
        )
        acknowledge(function, ACKNOWLEDGED)
        acknowledge_controls(function, CONTROLS)
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
            encryption_key=self.encryption_key,
            # Its name is fixed: a retained log group would fail the stack's next deployment.
            removal_policy=RemovalPolicy.DESTROY,
        )

    def add_service(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return a function's environment: its settings and the service of its logs and metrics."""
        return {**environment, "POWERTOOLS_SERVICE_NAME": self.service}
