"""The packager's function, on S3's stub and on the scripts of the other services."""

import json
import time
from typing import Any

import pytest
from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.handlers import invocations
from quilt_packager_runtime.handlers import packager as function
from quilt_packager_runtime.settings import Settings
from quilt_packager_runtime.settings.source_options import SourceOptions

from tests.boto_stub import Service
from tests.job_log import JobLog
from tests.lambda_context import invocation
from tests.s3_stub import Bucket, S3Stub

DEAD_LETTERS = "https://sqs.us-east-1.amazonaws.com/123456789012/dead-letters"
LATEST = ".quilt/named_packages/runs/{}/latest"
SETTLING = Settings(
    dead_letter_queue_url=DEAD_LETTERS,
    max_attempts=2,
    sources=(SourceOptions(kind="workflow_run_crate", settle_seconds=60),),
)


class Packager:
    """A deployed engine, as far as its function knows it.

    Attributes:
        raw: The bucket with the sources, where the packages go too.
        sqs: The dead-letter queue's service.
        omics: HealthOmics.
        events: EventBridge.
        log: The function's log.
    """

    def __init__(
        self, raw: Bucket, sqs: Service, omics: Service, events: Service, log: JobLog
    ) -> None:
        self.raw = raw
        self.events = events
        self.sqs = sqs
        self.omics = omics
        self.log = log
        self._sent: dict[int, int] = {}

    def upload(self, *runs: str) -> list[str]:
        """Fill folders, and return the message for each."""
        for run in runs:
            self.raw.put(f"runs/{run}/a.txt", run, stored=["SHA256"])
        return [message(run) for run in runs]

    def deliver(
        self,
        *bodies: str,
        remaining_seconds: float = 900,
        age_seconds: float = 0,
        delivery: int = 1,
    ) -> list[int]:
        """Invoke the function, and return which messages it wants delivered again."""
        sent = dict.fromkeys(range(len(bodies)), round((time.time() - age_seconds) * 1000))
        # A message that is delivered again was sent once.
        self._sent = self._sent | sent if delivery == 1 else sent | self._sent
        records = [
            {
                "messageId": str(number),
                "body": body,
                "receiptHandle": f"receipt-{number}",
                "attributes": {
                    "SentTimestamp": str(self._sent[number]),
                    "ApproximateReceiveCount": str(delivery),
                },
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:jobs",
            }
            for number, body in enumerate(bodies)
        ]
        answer = function.handler({"Records": records}, invocation(remaining_seconds))
        return [int(failure["itemIdentifier"]) for failure in answer["batchItemFailures"]]

    def expect_dead_letters(self, count: int = 1) -> None:
        for _ in range(count):
            self.sqs.script.add_response("send_message", {"MessageId": "m"})

    def dead_letters(self) -> list[tuple[str, str, str]]:
        """Body, code and reason of each."""
        return [
            (
                asked["MessageBody"],
                asked["MessageAttributes"]["code"]["StringValue"],
                asked["MessageAttributes"]["reason"]["StringValue"],
            )
            for asked in self.sqs.asked
        ]

    def metadata(self, run: str) -> Any:
        """The metadata of the newest revision of a run's package."""
        latest = self.raw.get(LATEST.format(run))
        assert latest
        manifest = self.raw.get(f".quilt/packages/{latest.data.decode()}")
        assert manifest
        return json.loads(manifest.data.splitlines()[0])["user_meta"]

    def expect_events(self, count: int = 1) -> None:
        for _ in range(count):
            answer = {"FailedEntryCount": 0, "Entries": []}
            self.events.script.add_response("put_events", answer)

    def announced(self) -> list[tuple[str, dict[str, Any]]]:
        """Detail-type and detail of each event."""
        return [
            (entry["DetailType"], json.loads(entry["Detail"]))
            for asked in self.events.asked
            for entry in asked["Entries"]
        ]

    def packages(self) -> list[str]:
        """The runs that are packaged."""
        keys = self.raw.keys(".quilt/named_packages/")
        return [key.split("/")[3] for key in keys if key.endswith("/latest")]


def message(run: str, **fields: Any) -> str:
    return json.dumps({"source_prefix": f"s3://raw/runs/{run}/", **fields})


def crate(run_id: str) -> str:
    """A crate of a run, which names a package and describes it."""
    graph = [
        {"@id": "./", "name": f"Run {run_id}", "mainEntity": {"@id": "w"}},
        {"@id": "w", "@type": "ComputationalWorkflow", "name": "demo"},
        {"@id": "#run", "@type": "CreateAction", "identifier": run_id, "instrument": {"@id": "w"}},
    ]
    return json.dumps({"@graph": graph})


def crate_event(run: str) -> str:
    return json.dumps(
        {
            "id": "e2",
            "source": "aws.s3",
            "detail-type": "Object Created",
            "detail": {
                "bucket": {"name": "raw"},
                "object": {"key": f"runs/{run}/ro-crate-metadata.json"},
            },
        }
    )


@pytest.fixture
def packager_settings() -> Settings:
    return Settings(dead_letter_queue_url=DEAD_LETTERS)


@pytest.fixture
def packager(
    packager_settings: Settings,
    s3: S3,
    s3_stub: S3Stub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Packager:
    services = {name: Service(name) for name in ("sqs", "omics", "events")}
    monkeypatch.setattr(clients, "connect", lambda name, _region=None: services[name].client)
    # A client of its own would outlive this test.
    monkeypatch.setattr(clients, "prepare", services.__getitem__)
    monkeypatch.setattr(invocations, "load_settings", lambda: packager_settings)
    monkeypatch.setattr(invocations, "connect", lambda: s3)
    log = JobLog(capsys, monkeypatch)
    return Packager(s3_stub.create_bucket("raw"), **services, log=log)
