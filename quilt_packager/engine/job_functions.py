"""The functions that work on jobs, what they may do, and the state machine that runs two."""

from collections.abc import Sequence
from functools import partial

import msgspec
from aws_cdk import aws_s3 as s3
from constructs import Construct
from quilt_packager_runtime.requests.source_options import SourceOptions
from quilt_packager_runtime.settings import PREFIX, Settings

from quilt_packager.engine.functions import FunctionFactory, FunctionSize
from quilt_packager.engine.props import ResolvedProps
from quilt_packager.engine.state_machine import create_state_machine, give_up_ended_jobs
from quilt_packager.guardrails import permissions
from quilt_packager.guardrails.quotas import check_environment
from quilt_packager.monitoring.watched import WatchedFunction

JOB_LOG = "PackagerLambda"
CHECKSUM_LOG = "ChecksumLambda"


class JobFunctions:
    """The functions of an engine's jobs, with their logs.

    Args:
        scope: The engine, whose children they are.
        props: The engine's props.
        factory: Creates the functions.
        settings: What the functions are told. The packager is told of the state machine, too.
        scratch_bucket: Where S3 copies objects to hash them, and where the files of large jobs are.

    Attributes:
        packager: Makes packages.
        checksum: Hashes a shard of a large job.
        large_job: Publishes a large job, or gives it up.
        state_machine: Runs large jobs.
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
        self.log_group = factory.create_log(scope, "PackagerLog", JOB_LOG)
        self.checksum_log_group = factory.create_log(scope, "ChecksumLog", CHECKSUM_LOG)
        create = partial(factory.create, scope, size=self._size)
        self.checksum = create(
            "ChecksumFunction",
            handler="checksum",
            description="Hashes shards of large Quilt packages",
            log_group=self.checksum_log_group,
            environment=settings.to_environment(),
        )
        self.large_job = create(
            "LargeJobFunction",
            handler="large_job",
            description="Publishes large Quilt packages",
            log_group=self.log_group,
            environment=settings.to_environment(),
        )
        self.state_machine = create_state_machine(
            scope,
            checksum_function=self.checksum,
            large_job_function=self.large_job,
            scratch_bucket=scratch_bucket,
            checksum_concurrency=props.checksum_concurrency,
            tracing=props.tracing,
        )
        give_up_ended_jobs(scope, self.state_machine, self.large_job)
        self._settings = msgspec.structs.replace(
            settings, state_machine_arn=self.state_machine.state_machine_arn
        )
        self.packager = create(
            "PackagerFunction",
            handler="packager",
            description="Makes Quilt packages of S3 folders",
            log_group=self.log_group,
            environment=self._settings.to_environment(),
        )
        self._permit(props, scratch_bucket)

    @property
    def watched(self) -> list[WatchedFunction]:
        """The functions, for alarms and dashboards."""
        memory = self._size.memory_mebibytes
        return [
            WatchedFunction("PackagerLambda", self.packager, memory, JOB_LOG),
            WatchedFunction("LargeJobLambda", self.large_job, memory, JOB_LOG),
            WatchedFunction("ChecksumLambda", self.checksum, memory, CHECKSUM_LOG),
        ]

    def set_sources(self, sources: Sequence[SourceOptions]) -> None:
        """Tell the packager how the events of sources are treated.

        Args:
            sources: The options of all sources.

        Raises:
            LimitExceeded: Its environment has no room for them.
        """
        # The environment of a function has 4 KiB: what is as it always is takes none of it.
        if any(each.is_special for each in sources):
            settings = msgspec.structs.replace(self._settings, sources=tuple(sources))
            variables = self._factory.add_service(settings.to_environment())
            check_environment(self._scope, "PackagerFunction", variables)
            name = f"{PREFIX}SOURCES"
            self.packager.add_environment(name, variables[name])

    def _permit(self, props: ResolvedProps, scratch_bucket: s3.Bucket) -> None:
        hashing = [
            *permissions.read_sources(props.source_buckets),
            *permissions.hash_in_scratch([scratch_bucket, *props.scratch_buckets.values()]),
            *permissions.access_job_files(scratch_bucket),
            *permissions.never(props.source_buckets, props.written_buckets),
        ]
        publishing = permissions.write_registries(props.written_buckets)
        starting = permissions.start_large_jobs(self.state_machine)
        permissions.permit(self.checksum, hashing)
        permissions.permit(self.large_job, [*hashing, *publishing])
        permissions.permit(self.packager, [*hashing, *publishing, starting])
