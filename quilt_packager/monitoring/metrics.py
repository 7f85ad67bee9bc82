"""The metrics of an engine: the runtime's by their names, and those of its queues and machine."""

from typing import TypedDict, Unpack

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from quilt_packager_runtime.settings import METRICS_NAMESPACE, Metric


class MetricOptions(TypedDict, total=False):
    """The props of `aws_cloudwatch.MetricOptions` that the engine's metrics accept."""

    statistic: str
    """Statistic over the period, such as `Sum` or `p99`. Default: that of the metric."""
    period: Duration
    """Period of a data point. Default: 5 minutes."""
    label: str
    """Label of the metric in a graph."""
    color: str
    """Color of the metric in a graph, as `#rrggbb`."""


class EngineMetrics:
    """The metrics of an engine, for your own alarms and dashboards.

    Attributes:
        service: The metrics' dimension.
        queue: The queue that takes jobs.
        dead_letter_queue: The queue of jobs that were rejected or failed on every attempt.
        state_machine: The state machine of large jobs.
    """

    service: str
    queue: sqs.Queue
    dead_letter_queue: sqs.Queue
    state_machine: sfn.StateMachine

    def metric(self, name: str, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return a metric of the runtime by its name, by default summed over 5 minutes."""
        return cloudwatch.Metric(
            namespace=METRICS_NAMESPACE,
            metric_name=name,
            dimensions_map={"service": self.service},
            **(MetricOptions(statistic=cloudwatch.Stats.SUM) | options),
        )

    def metric_packages_created(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the number of jobs that published a revision."""
        return self.metric(Metric.PACKAGES_CREATED, **options)

    def metric_packages_unchanged(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the number of jobs whose package was up to date."""
        return self.metric(Metric.PACKAGES_UNCHANGED, **options)

    def metric_packages_rejected(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the number of rejected jobs."""
        return self.metric(Metric.PACKAGES_REJECTED, **options)

    def metric_packages_failed(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the number of failed attempts, including the last ones."""
        return self.metric(Metric.PACKAGES_FAILED, **options)

    def metric_objects(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the number of entries in the revisions of jobs, published or unchanged."""
        return self.metric(Metric.OBJECTS, **options)

    def metric_bytes(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the total size of the entries in bytes."""
        return self.metric(Metric.BYTES, **options)

    def metric_checksums_reused(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the number of checksums that were reused from the previous revision."""
        return self.metric(Metric.REUSED, **options)

    def metric_checksums_stored(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the number of checksums that S3 had stored."""
        return self.metric(Metric.STORED, **options)

    def metric_checksums_computed(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the number of checksums that were computed."""
        return self.metric(Metric.COMPUTED, **options)

    def metric_seconds(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the duration of jobs in seconds, by default the maximum over 5 minutes."""
        return self.metric(
            Metric.SECONDS, **(MetricOptions(statistic=cloudwatch.Stats.MAXIMUM) | options)
        )

    def metric_queue_depth(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the number of waiting jobs."""
        return self.queue.metric_approximate_number_of_messages_visible(**options)

    def metric_oldest_job_age(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the age of the oldest job in seconds, waiting or running."""
        return self.queue.metric_approximate_age_of_oldest_message(**options)

    def metric_dead_letters(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the number of dead letters."""
        return self.dead_letter_queue.metric_approximate_number_of_messages_visible(**options)

    def metric_large_jobs(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the number of jobs that were too large for one invocation."""
        return self.metric(Metric.LARGE_JOBS, **options)

    def metric_outcomes_not_published(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the number of refused notifications, and of events that were never accepted."""
        return self.metric(Metric.OUTCOMES_NOT_PUBLISHED, **options)

    def metric_uploads(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the number of uploads that `ObjectUploads` recorded."""
        return self.metric(Metric.UPLOADS, **options)

    def metric_prefixes_announced(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the number of folders that `ObjectUploads` announced as ready."""
        return self.metric(Metric.PREFIXES_ANNOUNCED, **options)

    def metric_packages_audited(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the number of packages that the audit checked."""
        return self.metric(Metric.PACKAGES_AUDITED, **options)

    def metric_packages_damaged(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the number of damaged packages that the audit found."""
        return self.metric(Metric.PACKAGES_DAMAGED, **options)

    def metric_revisions_promoted(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the number of revisions that `promote_to` published in other registries."""
        return self.metric(Metric.REVISIONS_PROMOTED, **options)

    def metric_promotions_failed(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the number of promotions that were rejected, or failed on every attempt."""
        return self.metric(Metric.PROMOTIONS_FAILED, **options)

    def metric_objects_copied(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the number of objects that promotions copied."""
        return self.metric(Metric.OBJECTS_COPIED, **options)

    def metric_large_jobs_failed(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the number of large jobs that failed under Step Functions."""
        return self.state_machine.metric_failed(**options)

    def metric_large_jobs_time(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the duration of large jobs under Step Functions, in milliseconds."""
        return self.state_machine.metric_time(**options)
