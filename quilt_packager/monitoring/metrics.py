"""The metrics of an engine: the runtime's by their names, and those of its queues and machine."""

from typing import TypedDict, Unpack

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from quilt_packager_runtime.settings import METRICS_NAMESPACE, Metric


class MetricOptions(TypedDict, total=False):
    """How to show a metric: the props of `aws_cloudwatch.MetricOptions` that are in use."""

    statistic: str
    period: Duration
    label: str
    color: str


class EngineMetrics:
    """What can be measured of an engine, for alarms and dashboards of one's own.

    Attributes:
        service: The metrics' dimension.
        queue: The queue that takes jobs.
        dead_letter_queue: Where jobs end up that led to nothing.
        state_machine: What runs large jobs.
    """

    service: str
    queue: sqs.Queue
    dead_letter_queue: sqs.Queue
    state_machine: sfn.StateMachine

    def metric(self, name: str, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """A metric of the runtime by its name, by default summed over 5 minutes."""
        return cloudwatch.Metric(
            namespace=METRICS_NAMESPACE,
            metric_name=name,
            dimensions_map={"service": self.service},
            **(MetricOptions(statistic=cloudwatch.Stats.SUM) | options),
        )

    def metric_packages_created(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """How many jobs published a revision."""
        return self.metric(Metric.PACKAGES_CREATED, **options)

    def metric_packages_unchanged(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """How many jobs found their package up to date."""
        return self.metric(Metric.PACKAGES_UNCHANGED, **options)

    def metric_packages_rejected(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """How many jobs can never succeed as they are."""
        return self.metric(Metric.PACKAGES_REJECTED, **options)

    def metric_packages_failed(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """How many attempts failed, the last ones too; most are repeated, and succeed."""
        return self.metric(Metric.PACKAGES_FAILED, **options)

    def metric_objects(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """How many entries the revisions of jobs have, published or unchanged."""
        return self.metric(Metric.OBJECTS, **options)

    def metric_bytes(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """The sum of the entries' sizes."""
        return self.metric(Metric.BYTES, **options)

    def metric_checksums_reused(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """How many entries have their checksum from the previous revision."""
        return self.metric(Metric.REUSED, **options)

    def metric_checksums_stored(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """How many entries have the checksum that S3 had stored."""
        return self.metric(Metric.STORED, **options)

    def metric_checksums_computed(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """How many entries have a checksum that had to be computed."""
        return self.metric(Metric.COMPUTED, **options)

    def metric_seconds(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """How long jobs took, by default the longest of 5 minutes."""
        return self.metric(
            Metric.SECONDS, **(MetricOptions(statistic=cloudwatch.Stats.MAXIMUM) | options)
        )

    def metric_queue_depth(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """How many jobs wait."""
        return self.queue.metric_approximate_number_of_messages_visible(**options)

    def metric_oldest_job_age(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Seconds that the oldest job has been waiting or running."""
        return self.queue.metric_approximate_age_of_oldest_message(**options)

    def metric_dead_letters(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """How many dead letters there are."""
        return self.dead_letter_queue.metric_approximate_number_of_messages_visible(**options)

    def metric_large_jobs(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """How many jobs were too large for one invocation."""
        return self.metric(Metric.LARGE_JOBS, **options)

    def metric_uploads(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """How many uploads `ObjectUploads` recorded."""
        return self.metric(Metric.UPLOADS, **options)

    def metric_prefixes_announced(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """How many folders `ObjectUploads` found to be at rest, and announced."""
        return self.metric(Metric.PREFIXES_ANNOUNCED, **options)

    def metric_large_jobs_failed(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """How many large jobs failed under Step Functions."""
        return self.state_machine.metric_failed(**options)

    def metric_large_jobs_time(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Milliseconds that large jobs took under Step Functions."""
        return self.state_machine.metric_time(**options)
