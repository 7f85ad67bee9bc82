"""The parts of an engine that alarms and dashboards look at; some are added after these are."""

from dataclasses import dataclass
from typing import Protocol

from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs


@dataclass(frozen=True)
class WatchedFunction:
    """A function of the runtime.

    Attributes:
        name: What people call it.
        function: The function.
        memory_mebibytes: MiB of its memory, which are paid for.
        log_name: The name of the log that it writes, which others may write, too.
    """

    name: str
    function: lambda_.Function
    memory_mebibytes: int
    log_name: str


@dataclass(frozen=True)
class WatchedQueues:
    """A queue and its dead letters.

    Attributes:
        name: What the messages are, as `jobs`.
        queue: The queue.
        dead_letter_queue: Where messages end up that led to nothing.
        log_name: The name of the log that tells about them.
        advice: What to do about dead letters, in sentences.
    """

    name: str
    queue: sqs.Queue
    dead_letter_queue: sqs.Queue
    log_name: str
    advice: str


Watched = WatchedFunction | WatchedQueues


class Monitor(Protocol):
    """Something that looks at parts of an engine."""

    def watch(self, part: Watched) -> None:
        """Look at one more part."""


class WatchedParts:
    """The parts of an engine, and who looks at them: at those that come later, too."""

    def __init__(self) -> None:
        self._parts: list[Watched] = []
        self._monitors: list[Monitor] = []

    def add(self, *parts: Watched) -> None:
        """Show parts to those who look.

        Args:
            parts: Functions and queues.
        """
        self._parts += parts
        for monitor in self._monitors:
            for part in parts:
                monitor.watch(part)

    def show(self, monitor: Monitor) -> None:
        """Let one more look.

        Args:
            monitor: Alarms, or a dashboard.
        """
        self._monitors.append(monitor)
        for part in self._parts:
            monitor.watch(part)
