"""The parts of an engine that alarms and the dashboard watch, including those added later."""

from dataclasses import dataclass
from typing import Protocol

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn


@dataclass(frozen=True)
class WatchedFunction:
    """A function of the runtime.

    Attributes:
        name: Name of the function in alarms and on the dashboard.
        function: The function.
        memory_mebibytes: Memory in MiB.
        log_name: Name of its log, which it may share with other functions.
    """

    name: str
    function: lambda_.Function
    memory_mebibytes: int
    log_name: str


@dataclass(frozen=True)
class WatchedQueues:
    """A queue and its dead letters.

    Attributes:
        name: The kind of the messages, such as `jobs`.
        queue: The queue.
        dead_letter_queue: The queue of messages that could not be processed.
        log_name: Name of the log of their function.
        advice: The remedy for dead letters, in sentences.
    """

    name: str
    queue: sqs.Queue
    dead_letter_queue: sqs.Queue
    log_name: str
    advice: str


@dataclass(frozen=True)
class WatchedAudit:
    """The scheduled audit.

    Attributes:
        damaged: Number of damaged packages.
        state_machine: The state machine that runs it.
    """

    damaged: cloudwatch.Metric
    state_machine: sfn.StateMachine


@dataclass(frozen=True)
class WatchedDeadLetters:
    """Dead letters of what has no queue of its own.

    Attributes:
        name: The kind of the events, such as `promotions`.
        dead_letter_queue: The queue of events that could not be processed.
        advice: The remedy for dead letters, in sentences.
    """

    name: str
    dead_letter_queue: sqs.Queue
    advice: str


Watched = WatchedFunction | WatchedQueues | WatchedDeadLetters | WatchedAudit


class Monitor(Protocol):
    """A watcher of an engine's parts: its alarms or its dashboard."""

    def watch(self, part: Watched) -> None:
        """Watch one more part."""


class WatchedParts:
    """The parts of an engine and their monitors. A monitor also sees parts that come later."""

    def __init__(self) -> None:
        self._parts: list[Watched] = []
        self._monitors: list[Monitor] = []

    def add(self, *parts: Watched) -> None:
        """Add parts, and show them to all monitors."""
        self._parts += parts
        for monitor in self._monitors:
            for part in parts:
                monitor.watch(part)

    def show(self, monitor: Monitor) -> None:
        """Add a monitor, and show it all parts."""
        self._monitors.append(monitor)
        for part in self._parts:
            monitor.watch(part)
