"""The stub without its sockets: store, script, log and counts, and one request's way past them."""

from collections import Counter
from typing import Protocol

from tests.s3_stub.batch import PATH, BatchJobs, apply_batch, name_batch_operation
from tests.s3_stub.faults import Faults
from tests.s3_stub.operations import apply, name_operation
from tests.s3_stub.protocol import Refusal, Request, Response
from tests.s3_stub.store import Store


class Abortable(Protocol):
    """A connection, as far as this module knows it."""

    def abort(self) -> None:
        """Close at once."""


class Service:
    """Everything that a request meets behind the socket.

    Attributes:
        store: The buckets.
        batch: The jobs of S3 Batch Operations.
        faults: The script.
        requests: What arrived, in order; stays empty unless `keeps_requests`.
        counts: How many requests arrived, by operation.
        latency_seconds: Added to each answer without holding up the others.
        keeps_requests: Whether to log; benchmarks do not.
        connections: The open ones.
    """

    def __init__(self) -> None:
        self.store = Store()
        self.batch = BatchJobs()
        self.faults = Faults()
        self.requests: list[Request] = []
        self.counts: Counter[str] = Counter()
        self.latency_seconds = 0.0
        self.keeps_requests = True
        self.connections: set[Abortable] = set()

    def reset(self) -> None:
        """Forget buckets, script, log and counts."""
        self.faults.clear()
        self.store = Store()
        self.batch = BatchJobs()
        self.latency_seconds = 0.0
        self.forget_requests()

    def forget_requests(self) -> None:
        """Forget log and counts alone: after a test's set-up, for example."""
        self.requests = []
        self.counts = Counter()

    def receive(self, request: Request, data: bytes) -> None:
        """Name, count and log a request."""
        is_batch = request.bucket == PATH
        request.operation = (name_batch_operation if is_batch else name_operation)(request)
        request.body_bytes = len(data)
        self.counts[request.operation] += 1
        if self.keeps_requests:
            self.requests.append(request)

    def apply(self, request: Request, data: bytes) -> Response:
        """Do what a request asks, or answer why not."""
        try:
            if request.bucket == PATH:
                response = apply_batch(self.batch, request, data)
            else:
                response = apply(self.store, request, data)
        except Refusal as refusal:
            response = refusal.to_response()
        request.status = response.status
        return response
