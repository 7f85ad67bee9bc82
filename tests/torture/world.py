"""An engine in one process: the real handlers, S3's stub, and recorders for the other services.

With `MemoryTransport` S3 has no sockets, so that a job takes a few milliseconds. Each request to
any service passes `World.hook` before and after it is applied, where schedules kill or fail it.
"""

import io
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import redirect_stdout
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import msgspec
import pytest
from awscrt.auth import AwsCredentialsProvider
from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.aws.s3_transport import Request, Response, S3Transport, error_of
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.handlers import (
    checksum,
    invocations,
    large_job,
    packager,
    promotion,
)
from quilt_packager_runtime.reporting.telemetry import logger, metrics
from quilt_packager_runtime.requests.delivery import Delivery
from quilt_packager_runtime.settings import Settings
from quilt_packager_runtime.settings.promotion_settings import PromotionSettings

from quilt_packager.operations.dead_letters.error_codes import describe_code
from tests.lambda_context import invocation
from tests.runtime_s3 import endpoints_at
from tests.s3_stub import Bucket, protocol
from tests.s3_stub.operations import name_operation
from tests.s3_stub.service import Service

START_SECONDS = 1_700_000_000
MAX_ATTEMPTS = 3
SETTINGS = Settings(
    dead_letter_queue_url="https://sqs.us-east-1.amazonaws.com/123456789012/dead-letters",
    event_bus="bus",
    max_attempts=MAX_ATTEMPTS,
)
COPIES = "data/"
PROMOTION = PromotionSettings(
    registry="registry",
    copy_to=f"s3://registry/{COPIES}",
    event_bus="bus",
    dead_letter_queue_url="https://sqs.us-east-1.amazonaws.com/123456789012/promotions",
)
NAMED_PACKAGES, PACKAGES = ".quilt/named_packages/", ".quilt/packages/"

Hook = Callable[[str], None]


class Killed(BaseException):
    """The end of a process, which no code survives."""


class MemoryTransport(S3Transport):
    """Sends requests to the stub without a socket, and without retries."""

    def __init__(self, world: "World") -> None:
        credentials = AwsCredentialsProvider.new_static("id", "secret")
        super().__init__(endpoints_at("http://stub"), credentials=credentials)
        self._world = world

    async def send(self, request: Request) -> Response:
        uri = request.uri
        headers = {name.lower(): value for name, value in request.headers}
        query = {**request.query, **({"versionId": uri.version_id} if uri.version_id else {})}
        asked = protocol.Request(request.method, uri.bucket, uri.key, query, headers)
        asked.operation = name_operation(asked)
        self._world.hook(f"before {asked.operation} {uri.key}")
        await self._world.travel(asked)
        body = request.file.read_bytes() if request.file else request.body or b""
        service = self._world.service
        service.receive(asked, body)
        answer = service.apply(asked, body)
        response = _to_response(asked, answer, service.store.clock())
        await self._world.travel(asked)
        self._world.hook(f"after {asked.operation} {uri.key}")
        self.last_date, self.last_uri = response.headers["date"], uri
        if response.status >= 300:
            raise error_of(request, response)
        return response


def _to_response(asked: protocol.Request, answer: protocol.Response, now: float) -> Response:
    body = answer.body
    if asked.method == "HEAD":
        body = b""
    elif not isinstance(body, bytes):
        body = body.read(*(answer.body_range or (0, body.size_bytes)))
    headers = {name.lower(): value for name, value in answer.headers.items()}
    headers |= {"date": protocol.http_date(int(now)), "content-length": str(answer.size_bytes)}
    return Response(answer.status, headers, body)


class World:
    """An account with an engine. Use it as a context manager: it replaces the runtime's clients.

    Attributes:
        now: The clock of S3, in seconds since 1970.
        events: Detail-type and detail of each event.
        letters: Body and code of each dead letter.
        executions: Input of each execution of the state machine, by name.
        hook: Called before and after each request.
        log: Log of the functions.
    """

    def __init__(
        self, settings: Settings = SETTINGS, *, service: Service | None = None, s3: S3 | None = None
    ) -> None:
        self.settings = settings
        self.service = service or Service()
        self.s3 = s3 or S3(MemoryTransport(self))
        self.now: float = START_SECONDS
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.letters: list[tuple[str, str]] = []
        self.executions: dict[str, str] = {}
        self.hook: Hook = lambda _point: None
        self.travel: Callable[[protocol.Request], Awaitable[None]] = _arrive
        self.meta = SimpleNamespace(endpoint_url="https://sqs.us-east-1.amazonaws.com")
        self.service.store.clock = lambda: self.now
        self.raw, self.registry, self.scratch, self.quarantine = (
            self.service.store.create_bucket(name)
            for name in ("raw", "registry", "scratch", "quarantine")
        )
        self.log = io.StringIO()
        self._patch = pytest.MonkeyPatch()
        self._output = redirect_stdout(self.log)

    def __enter__(self) -> Self:
        self._patch.setattr(clients, "connect", lambda _name, _region=None: self)
        self._patch.setattr(clients, "prepare", lambda _name: None)
        self._patch.setattr(invocations, "load_settings", lambda: self.settings)
        self._patch.setattr(invocations, "connect", lambda: self.s3)
        self._patch.setattr(promotion, "load_settings", lambda: PROMOTION)
        self._patch.setattr(S3, "from_environment", lambda *_, **__: self.s3)
        self._patch.setattr(logger.registered_handler, "stream", self.log)
        self._patch.setattr(metrics.provider, "service", "engine")
        self._output.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._output.__exit__(exc_type, exc, traceback)
        self._patch.undo()

    # The clients of the other services.

    def send_message(self, *, MessageBody: str, MessageAttributes: Any, **_: Any) -> Any:  # noqa: N803
        self.hook("before SendMessage")
        self.letters.append((MessageBody, MessageAttributes["code"]["StringValue"]))
        self.hook("after SendMessage")
        return {}

    def put_events(self, *, Entries: list[dict[str, Any]]) -> Any:  # noqa: N803
        self.hook("before PutEvents")
        self.events += [(each["DetailType"], json.loads(each["Detail"])) for each in Entries]
        self.hook("after PutEvents")
        return {"FailedEntryCount": 0}

    def start_execution(self, *, name: str, input: str, **_: Any) -> Any:  # noqa: A002 - boto3's
        self.hook("before StartExecution")
        # One of the same name and input is the same execution.
        self.executions.setdefault(name, input)
        self.hook("after StartExecution")
        return {}

    def change_message_visibility(self, **_: Any) -> Any:
        return {}

    def get_run(self, *, id: str) -> Any:  # noqa: A002 - boto3's
        self.hook("before GetRun")
        return {"id": id, "outputUri": "s3://raw/runs/", "name": "demo", "parameters": {"a": 1}}

    # What SQS and Step Functions do.

    def deliver(
        self,
        body: str,
        *,
        message_id: str = "m",
        number: int = 1,
        remaining_seconds: float = 900,
    ) -> bool:
        """Deliver a message, and return whether it is acknowledged."""
        record = {
            "messageId": message_id,
            "body": body,
            "receiptHandle": "r",
            "attributes": {
                "SentTimestamp": str(START_SECONDS * 1000),
                "ApproximateReceiveCount": str(number),
            },
            "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:jobs",
        }
        answer = packager.handler({"Records": [record]}, invocation(remaining_seconds))
        return not answer["batchItemFailures"]

    async def handle(self, message_id: str, body: str, *, sent: float, number: int) -> None:
        """Handle one message among others, in the loop of the caller."""
        delivery = Delivery(
            body=body,
            message_id=message_id,
            number=number,
            sent_seconds=sent,
            started_seconds=time.time(),
        )
        await packager.handle_message(delivery, 1e9)

    def run_execution(self, name: str, retry: Callable[[Callable[[], Any]], Any]) -> None:
        """Run the state machine: a map of shards and a step that publishes, until nothing is left.

        Args:
            name: The execution.
            retry: Calls a step until it succeeds.
        """
        state = json.loads(self.executions[name])
        goes_on = True
        while goes_on:
            items = self.scratch.get(state["items_key"])
            assert items
            for line in items.data.splitlines():
                item = json.loads(line)
                retry(lambda item=item: checksum.handler(item, invocation()))  # type: ignore[misc]
            step = {each: state[each] for each in ("job_id", "round")}
            state = retry(lambda step=step: large_job.handler(step, invocation()))  # type: ignore[misc]
            goes_on = bool(state.get("goes_on"))

    def run_promotion(
        self,
        created: dict[str, Any],
        retry: Callable[[Callable[[], Any]], Any],
        *,
        remaining_seconds: float = 900,
    ) -> None:
        """Run the state machine of promotions for an event of a created package.

        Args:
            created: Detail of the event.
            retry: Calls a step until it succeeds.
            remaining_seconds: Time of each invocation.
        """
        step = {"event": {"id": "event", "detail": created}}
        while retry(lambda: promotion.handler(step, invocation(remaining_seconds)))["goes_on"]:
            pass

    def report_promotion_failure(self, created: dict[str, Any], error: Exception) -> None:
        """Run the step of the state machine that follows the last attempt."""
        state_error = {"Error": type(error).__name__, "Cause": str(error)}
        step = {"event": {"id": "event", "detail": created}, "error": state_error}
        promotion.handler(step, invocation())

    # What is there afterwards.

    def state(self) -> dict[str, Any]:
        """Return the packages of all registries, apart from the seconds of publication."""
        return {
            bucket.name: (pointers_of(bucket), sorted(bucket.keys(PACKAGES)))
            for bucket in self.service.store.buckets.values()
        }

    def copies(self) -> dict[str, int]:
        """Return the number of versions of each copy of a promotion."""
        return {key: len(self.registry.versions(key)) for key in self.registry.keys(COPIES)}

    def announced(self) -> set[tuple[str, str | None]]:
        """Return the kind of each outcome, with the top hash of its revision or its code."""
        return {(kind, detail.get("top_hash") or detail["code"]) for kind, detail in self.events}

    def check_whole(self) -> None:
        """Check what holds at any time: each pointer resolves, and `latest` has a pointer."""
        for bucket in self.service.store.buckets.values():
            for name, values in pointers_of(bucket).items():
                for value in values:
                    assert bucket.get(PACKAGES + value), f"a pointer of {name} dangles"
                latest = bucket.get(f"{NAMED_PACKAGES}{name}/latest")
                is_announced = latest is None or latest.data.decode() in values[:-1]
                assert is_announced, f"latest of {name} has no pointer"

    def check_copies(self) -> None:
        """Check that promoted manifests name versions that exist."""
        for key in self.registry.keys(PACKAGES):
            manifest = self.registry.get(key)
            assert manifest
            for line in manifest.data.splitlines()[1:]:
                uri = S3Uri.parse(json.loads(line)["physical_keys"][0])
                assert self.service.store.buckets[uri.bucket].get(uri.key, uri.version_id), uri

    def check_codes(self) -> None:
        """Check that each dead letter and each reported failure has a documented code."""
        codes = {code for _, code in self.letters}
        codes |= {detail["code"] for _, detail in self.events if detail.get("code")}
        for code in codes:
            assert describe_code(code).title != describe_code("Unheard").title, code
            assert code != "InternalError", "a defect"


def pointers_of(bucket: Bucket) -> Mapping[str, list[str]]:
    """Return the content of each package's pointers, in order; `latest` is the last."""
    found: dict[str, list[str]] = {}
    for key in bucket.keys(NAMED_PACKAGES):
        version = bucket.get(key)
        assert version
        found.setdefault(key.removeprefix(NAMED_PACKAGES).rpartition("/")[0], []).append(
            version.data.decode()
        )
    return found


async def _arrive(_request: protocol.Request) -> None:
    """Travel without latency."""


def message(**fields: Any) -> str:
    """Return the body of a message for the folder of most jobs."""
    return msgspec.json.encode({"source_prefix": "s3://raw/runs/42/", **fields}).decode()
