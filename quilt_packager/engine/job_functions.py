"""The functions of jobs, their permissions, and the state machine that runs two of them."""

from collections.abc import Sequence
from functools import partial

import msgspec
from aws_cdk import aws_s3 as s3
from constructs import Construct
from quilt_packager_runtime.settings import PREFIX, Settings
from quilt_packager_runtime.settings.source_options import SourceOptions

from quilt_packager.contract import (
    CHECKSUM_LAMBDA,
    CHECKSUM_LOG,
    PACKAGER_FUNCTION,
    PACKAGER_LAMBDA,
    PACKAGER_LOG,
)
from quilt_packager.engine.batch_role import create_batch_role
from quilt_packager.engine.functions import FunctionFactory, FunctionSize
from quilt_packager.engine.props import ResolvedProps
from quilt_packager.engine.state_machine import create_state_machine, fail_stopped_jobs
from quilt_packager.guardrails import permissions
from quilt_packager.guardrails.quotas import check_environment
from quilt_packager.monitoring.watched import WatchedFunction


class JobFunctions:
    """The functions of an engine's jobs, with their logs.

    Args:
        scope: The engine, their scope.
        props: The engine's props.
        factory: The engine's factory of functions.
        settings: Settings of the functions. The packager's include the state machine.
        scratch_bucket: Bucket for copies that S3 hashes, and for the files of large jobs.

    Attributes:
        packager: The function that packages folders.
        checksum: The function that hashes a shard of a large job.
        batch_role: The role of S3 Batch Operations, if archived objects are hashed.
        large_job: The function that publishes large jobs or reports their failure.
        state_machine: The state machine of large jobs.
        log_group: The log of the packager and of the large-job function.
        checksum_log_group: The log of the checksum function.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        props: ResolvedProps,
        factory: FunctionFactory,
        settings: Settings,
        scratch_bucket: s3.Bucket,
    ) -> None:
        self._scope = scope
        self._factory = factory
        self._size = FunctionSize(props.memory_size, props.timeout, props.ephemeral_storage_size)
        self.batch_role = create_batch_role(scope, props, scratch_bucket)
        if self.batch_role is not None:
            arn = self.batch_role.role_arn
            settings = msgspec.structs.replace(settings, batch_role_arn=arn)
        self.log_group = factory.create_log(scope, PACKAGER_LOG, PACKAGER_LAMBDA)
        self.checksum_log_group = factory.create_log(scope, CHECKSUM_LOG, CHECKSUM_LAMBDA)
        create = partial(factory.create, scope, size=self._size)
        self.checksum = create(
            "ChecksumFunction",
            handler="checksum",
            description="Hashes shards of large Quilt packages",
            log_group=self.checksum_log_group,
            environment=settings.to_environment(),
            role_name=props.role_name("checksum"),
        )
        self.large_job = create(
            "LargeJobFunction",
            handler="large_job",
            description="Publishes large Quilt packages",
            log_group=self.log_group,
            environment=settings.to_environment(),
            role_name=props.role_name("large-job"),
        )
        self.state_machine = create_state_machine(
            scope,
            checksum_function=self.checksum,
            large_job_function=self.large_job,
            scratch_bucket=scratch_bucket,
            checksum_concurrency=props.checksum_concurrency,
            tracing=props.tracing,
        )
        fail_stopped_jobs(scope, self.state_machine, self.large_job)
        self._settings = msgspec.structs.replace(
            settings, state_machine_arn=self.state_machine.state_machine_arn
        )
        self.packager = create(
            PACKAGER_FUNCTION,
            handler="packager",
            description="Makes Quilt packages of S3 folders",
            log_group=self.log_group,
            environment=self._settings.to_environment(),
            role_name=props.role_name("packager"),
            reserved_concurrent_executions=props.reserved_concurrent_executions,
        )
        self._grant_permissions(props, scratch_bucket)

    @property
    def watched(self) -> list[WatchedFunction]:
        """The functions, for alarms and dashboards."""
        memory = self._size.memory_mebibytes
        return [
            WatchedFunction(PACKAGER_LAMBDA, self.packager, memory, PACKAGER_LAMBDA),
            WatchedFunction("LargeJobLambda", self.large_job, memory, PACKAGER_LAMBDA),
            WatchedFunction(CHECKSUM_LAMBDA, self.checksum, memory, CHECKSUM_LAMBDA),
        ]

    def set_sources(self, sources: Sequence[SourceOptions]) -> None:
        """Set the options of all sources in the packager's environment.

        Raises:
            LimitExceeded: The environment exceeds Lambda's quota.
        """
        # The environment of a function has 4 KiB: defaults take none of it.
        if any(each.is_special for each in sources):
            settings = msgspec.structs.replace(self._settings, sources=tuple(sources))
            variables = self._factory.add_service(settings.to_environment())
            check_environment(self._scope, PACKAGER_FUNCTION, variables)
            name = f"{PREFIX}SOURCES"
            self.packager.add_environment(name, variables[name])

    def _grant_permissions(self, props: ResolvedProps, scratch_bucket: s3.Bucket) -> None:
        hashing = [
            *permissions.read_sources(props.source_buckets),
            *permissions.hash_in_scratch([scratch_bucket, *props.scratch_buckets.values()]),
            *permissions.access_job_files(scratch_bucket),
            *permissions.deny_destructive_actions(props.source_buckets, props.written_buckets),
        ]
        publishing = permissions.write_registries(props.written_buckets)
        starting = permissions.start_large_jobs(self.state_machine)
        permissions.add_statements(self.checksum, hashing)
        batch = permissions.run_batch_jobs(self.batch_role) if self.batch_role else []
        permissions.add_statements(self.large_job, [*hashing, *publishing, *batch])
        permissions.add_statements(self.packager, [*hashing, *publishing, starting])
