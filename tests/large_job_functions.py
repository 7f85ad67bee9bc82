"""The functions of large jobs; the test stands in for the state machine."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.handlers import checksum, invocations, large_job, packager
from quilt_packager_runtime.settings import Settings

from tests.boto_stub import Service
from tests.lambda_context import invocation
from tests.s3_stub import Bucket, S3Stub

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:LargeJobs"
DEAD_LETTERS = "https://sqs.us-east-1.amazonaws.com/123456789012/dead-letters"
LATEST = ".quilt/named_packages/runs/42/latest"
BODY = json.dumps({"source_prefix": "s3://raw/runs/42/"})
OBJECTS = 25

State = dict[str, Any]


class LargeJobs:
    """The functions of an engine, and what it asks of Step Functions and SQS."""

    def __init__(self, raw: Bucket, scratch: Bucket, states: Service, sqs: Service) -> None:
        self.raw = raw
        self.scratch = scratch
        self.states = states
        self.sqs = sqs

    def deliver(
        self,
        body: str = BODY,
        *,
        message_id: str = "id",
        delivery: int = 1,
        sent_ms: int | None = None,
        remaining_seconds: float = 900,
    ) -> list[str]:
        """Deliver the message, and return the ids of those that are wanted again."""
        attributes = {"ApproximateReceiveCount": str(delivery)}
        if sent_ms is not None:
            attributes["SentTimestamp"] = str(sent_ms)
        record = {"messageId": message_id, "body": body, "attributes": attributes}
        answer = packager.handler({"Records": [record]}, invocation(remaining_seconds))
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def expect_start(self, count: int = 1) -> None:
        for _ in range(count):
            answer = {"executionArn": f"{MACHINE}:id", "startDate": 0}
            self.states.script.add_response("start_execution", answer)

    def hand_off(self, **options: Any) -> State:
        """Deliver the message, and return the input of the execution."""
        self.expect_start()
        assert self.deliver(**options) == []
        state: State = json.loads(self.states.asked[-1]["input"])
        return state

    def items(self, state: State) -> list[State]:
        return self.lines(state["items_key"])

    def lines(self, key: str) -> list[State]:
        found = self.scratch.get(key)
        assert found
        return [json.loads(line) for line in found.data.splitlines()]

    def keys(self, key: str) -> list[str]:
        """The keys of the objects that a shard or a result is about."""
        return [line["found"]["key"] for line in self.lines(key)]

    def inline_keys(self) -> list[str]:
        """The keys, in order, of the objects that publishing hashed for the next round."""
        files = [key for key in self.results() if key.startswith("jobs/id/results/01-inline-")]
        lines = [line for key in files for line in self.lines(key)]
        return sorted(line["found"]["key"] for line in lines if "found" in line)

    def hash_shards(self, state: State, *, remaining_seconds: float = 900) -> None:
        for item in self.items(state):
            checksum.handler(item, invocation(remaining_seconds))

    def publish(self, state: State, **options: Any) -> State:
        answer = large_job.handler(_step(state), invocation(**options))
        return dict(answer)

    def fail_job(self, state: State, code: str, cause: str = "") -> State:
        self.sqs.script.add_response("send_message", {"MessageId": "m"})
        error = {"Error": code, "Cause": cause}
        return dict(large_job.handler({**_step(state), "error": error}, invocation()))

    def top_hash(self) -> str:
        latest = self.raw.get(LATEST)
        assert latest
        return latest.data.decode()

    def raw_bytes(self) -> int:
        """The size of the folder."""
        found = (self.raw.get(key) for key in self.raw.keys("runs/42/"))
        return sum(len(each.data) for each in found if each)

    def results(self) -> list[str]:
        return self.scratch.keys("jobs/id/results/")


def _step(state: State) -> State:
    return {name: state[name] for name in ("job_id", "round")}


@pytest.fixture
def configure_large_jobs(monkeypatch: pytest.MonkeyPatch, s3: S3) -> Callable[..., None]:
    """Gives the functions settings."""

    def set_settings(**settings: Any) -> None:
        default = Settings(
            scratch_bucket="scratch",
            state_machine_arn=MACHINE,
            dead_letter_queue_url=DEAD_LETTERS,
            max_inline_objects=10,
            max_shard_objects=4,
        )
        chosen = msgspec.structs.replace(default, **settings)
        monkeypatch.setattr(invocations, "load_settings", lambda: chosen)
        monkeypatch.setattr(invocations, "connect", lambda: s3)

    set_settings()
    return set_settings


@pytest.fixture
def large_jobs(
    s3_stub: S3Stub, configure_large_jobs: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[LargeJobs]:
    services = {name: Service(name) for name in ("stepfunctions", "sqs")}
    monkeypatch.setattr(clients, "connect", lambda name, _region=None: services[name].client)
    raw = s3_stub.create_bucket("raw")
    for number in range(OBJECTS):
        stored = ["SHA256"] if number % 3 else []
        raw.put(f"runs/42/{number:02}.txt", f"number {number}", stored=stored)
    yield LargeJobs(
        raw, s3_stub.create_bucket("scratch"), services["stepfunctions"], services["sqs"]
    )
    for service in services.values():
        service.script.assert_no_pending_responses()
