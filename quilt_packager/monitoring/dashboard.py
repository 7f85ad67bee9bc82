"""One page of CloudWatch about an engine: what it did, what waits, what failed, what it costs."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from quilt_packager.monitoring.metrics import EngineMetrics
from quilt_packager.monitoring.watched import (
    Watched,
    WatchedAudit,
    WatchedDeadLetters,
    WatchedFunction,
    WatchedQueues,
)

FULL_WIDTH = 24
HALF_WIDTH = 12
HEIGHT = 6
LOG_HEIGHT = 8

GREEN = cloudwatch.Color.GREEN
GREY = cloudwatch.Color.GREY
ORANGE = cloudwatch.Color.ORANGE
RED = cloudwatch.Color.RED
BLUE = cloudwatch.Color.BLUE

MEBIBYTES_OF_A_GIBIBYTE = 1024
MILLISECONDS = 1000


class EngineDashboard(Construct):
    """The dashboard of an engine, including parts that are added later.

    Args:
        scope: The engine.
        construct_id: Its id.
        service: The engine's name.
        metrics: The engine's metrics.
        log_group: The log of its jobs.
        dashboard_name: The dashboard's name.
        default_interval: The time that it shows when it is opened.

    Attributes:
        dashboard: The dashboard.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        service: str,
        metrics: EngineMetrics,
        log_group: logs.ILogGroup,
        dashboard_name: str,
        default_interval: Duration,
    ) -> None:
        super().__init__(scope, construct_id)
        self._functions = 0
        self._queue_depth = _graph("Waiting and dead letters")
        self._oldest = _graph("Age of the oldest message, in seconds")
        self._compute = _graph("Lambda: GiB-seconds, which are paid for", stacked=True)
        self._trouble = _graph("Lambda: errors and throttles")
        self.dashboard = cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=dashboard_name,
            default_interval=default_interval,
            widgets=[
                [_heading(service)],
                [_jobs(metrics), _durations(metrics)],
                [_sizes(metrics), _checksums(metrics)],
                [self._queue_depth, self._oldest],
                [_large_jobs(metrics.state_machine), self._trouble],
                [self._compute, _transitions(metrics)],
                [_failures(log_group)],
            ],
        )

    def watch(self, part: Watched) -> None:
        """Show one part of the engine."""
        match part:
            case WatchedQueues():
                self._show_queues(part)
            case WatchedDeadLetters():
                self._show_dead_letters(part)
            case WatchedFunction():
                self._show_function(part)
            case WatchedAudit():
                pass  # its function is shown; damage has an alarm

    def _show_queues(self, queues: WatchedQueues) -> None:
        maximum = cloudwatch.Stats.MAXIMUM
        self._queue_depth.add_left_metric(
            queues.queue.metric_approximate_number_of_messages_visible(
                statistic=maximum, label=f"{queues.name} waiting"
            )
        )
        self._queue_depth.add_left_metric(
            queues.queue.metric_approximate_number_of_messages_not_visible(
                statistic=maximum, label=f"{queues.name} in flight"
            )
        )
        self._show_dead_letters(queues)
        self._oldest.add_left_metric(
            queues.queue.metric_approximate_age_of_oldest_message(
                statistic=maximum, label=queues.name
            )
        )

    def _show_dead_letters(self, queues: WatchedDeadLetters | WatchedQueues) -> None:
        self._queue_depth.add_left_metric(
            queues.dead_letter_queue.metric_approximate_number_of_messages_visible(
                statistic=cloudwatch.Stats.MAXIMUM, label=f"dead letters of {queues.name}"
            )
        )

    def _show_function(self, part: WatchedFunction) -> None:
        gibibytes = part.memory_mebibytes / MEBIBYTES_OF_A_GIBIBYTE
        self._functions += 1
        duration = f"milliseconds_{self._functions}"
        self._compute.add_left_metric(
            cloudwatch.MathExpression(
                expression=f"{duration} / {MILLISECONDS} * {gibibytes:g}",
                using_metrics={
                    duration: part.function.metric_duration(statistic=cloudwatch.Stats.SUM)
                },
                label=part.name,
            )
        )
        self._trouble.add_left_metric(part.function.metric_errors(label=f"{part.name} failed"))
        self._trouble.add_left_metric(
            part.function.metric_throttles(label=f"{part.name} was throttled")
        )


def _graph(title: str, *, stacked: bool = False) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, stacked=stacked, width=HALF_WIDTH, height=HEIGHT)


def _heading(service: str) -> cloudwatch.TextWidget:
    return cloudwatch.TextWidget(
        markdown=f"# {service}\n`quilt-packager status`, `jobs` and `failures` show "
        "single jobs; `quilt-packager admin` opens the page.",
        width=FULL_WIDTH,
        height=2,
    )


def _jobs(metrics: EngineMetrics) -> cloudwatch.GraphWidget:
    graph = _graph("Jobs by outcome", stacked=True)
    for metric in (
        metrics.metric_packages_created(label="created", color=GREEN),
        metrics.metric_packages_unchanged(label="unchanged", color=GREY),
        metrics.metric_packages_rejected(label="rejected", color=ORANGE),
        metrics.metric_packages_failed(label="failed attempts", color=RED),
    ):
        graph.add_left_metric(metric)
    return graph


def _durations(metrics: EngineMetrics) -> cloudwatch.GraphWidget:
    graph = _graph("Seconds that jobs took")
    for statistic, label in (("p50", "half took less"), ("p90", "nine of ten"), ("max", "longest")):
        graph.add_left_metric(metrics.metric_seconds(statistic=statistic, label=label))
    return graph


def _sizes(metrics: EngineMetrics) -> cloudwatch.GraphWidget:
    graph = _graph("Bytes (left) and objects (right) of packages")
    graph.add_left_metric(metrics.metric_bytes(label="bytes"))
    graph.add_right_metric(metrics.metric_objects(label="objects"))
    return graph


def _checksums(metrics: EngineMetrics) -> cloudwatch.GraphWidget:
    graph = _graph("Where checksums came from: computing costs requests and time", stacked=True)
    for metric in (
        metrics.metric_checksums_reused(label="reused", color=GREEN),
        metrics.metric_checksums_stored(label="stored by S3", color=BLUE),
        metrics.metric_checksums_computed(label="computed", color=ORANGE),
    ):
        graph.add_left_metric(metric)
    return graph


def _large_jobs(machine: sfn.StateMachine) -> cloudwatch.GraphWidget:
    graph = _graph("Large jobs")
    for metric in (
        machine.metric_started(label="started", color=BLUE),
        machine.metric_succeeded(label="succeeded", color=GREEN),
        machine.metric_failed(label="failed", color=RED),
        machine.metric_aborted(label="stopped", color=ORANGE),
    ):
        graph.add_left_metric(metric)
    return graph


def _transitions(metrics: EngineMetrics) -> cloudwatch.GraphWidget:
    """Show transitions, which Step Functions counts by account only, beside the large jobs."""
    graph = _graph("Step Functions: transitions of the account (left), large jobs (right)")
    graph.add_left_metric(
        sfn.StateTransitionMetric.metric_consumed_capacity(
            statistic=cloudwatch.Stats.SUM, label="transitions of the account"
        )
    )
    graph.add_right_metric(metrics.metric_large_jobs(label="started"))
    return graph


def _failures(log_group: logs.ILogGroup) -> cloudwatch.LogQueryWidget:
    return cloudwatch.LogQueryWidget(
        title="Jobs that were rejected or failed",
        log_group_names=[log_group.log_group_name],
        query_lines=[
            "fields @timestamp, package_name, code, reason, message_id",
            'filter message in ["package rejected", "package failed"]',
            "sort @timestamp desc",
            "limit 20",
        ],
        width=FULL_WIDTH,
        height=LOG_HEIGHT,
    )
