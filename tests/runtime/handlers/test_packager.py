"""Messages of a queue: packaged, moved to the dead-letter queue, or redelivered."""

import json
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec
import pytest
from botocore.parsers import ResponseParserError
from quilt_packager_runtime import packaging
from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.formats.objects import MAX_MESSAGE_BYTES
from quilt_packager_runtime.handlers import invocations, packager
from quilt_packager_runtime.registry import publish
from quilt_packager_runtime.requests.events import MAX_ID_CHARACTERS
from quilt_packager_runtime.settings import Metric, Settings
from quilt_packager_runtime.settings.source_options import SourceOptions
from quilt_packager_runtime.workflows import gate

from tests.packager_function import (
    DEAD_LETTERS,
    LATEST,
    SETTLING,
    Packager,
    crate,
    crate_event,
    message,
)
from tests.s3_stub import S3Stub

RUN_ARN = "arn:aws:omics:us-east-1:123456789012:run/123"
LOOKED_UP = {"tags": {"project": "x"}}
RETRYING = Settings(dead_letter_queue_url=DEAD_LETTERS, event_bus="bus", max_attempts=2)
TOKEN = "hunter2-7a1c"

SECRET_FIELDS: dict[str, dict[str, object]] = {
    "good": {"metadata": {"password": TOKEN}},
    "text": {"metadata": TOKEN},
    "list": {"metadata": [TOKEN]},
    "too large": {"metadata": {"password": TOKEN + "x" * 1_000_000}},
    "two": {"metadata": {"password": TOKEN}, "metadata_uri": "entry.json"},
    "of nothing": {"metadata": {"password": TOKEN}, "source_prefix": "s3://raw/runs/none/"},
    "of no source": {"metadata": {"password": TOKEN}, "source_prefix": 1},
    "good file": {"metadata_uri": "good.json"},
    "list in a file": {"metadata_uri": "list.json"},
    "broken file": {"metadata_uri": "broken.json"},
    "half a surrogate pair in a file": {"metadata_uri": "surrogate.json"},
}


def omics_event(**detail: str) -> str:
    event = {
        "id": "e1",
        "source": "aws.omics",
        "detail-type": "Run Status Change",
        "detail": {"arn": RUN_ARN, "status": "COMPLETED", **detail},
    }
    return json.dumps(event)


@pytest.fixture
def engine(packager: Packager) -> Packager:
    return packager


class TestBatch:
    def test_of_good_messages_is_packaged_and_acknowledged(self, engine: Packager) -> None:
        assert engine.deliver(*engine.upload("1", "2")) == []
        assert engine.packages() == ["1", "2"]

    def test_of_ten_with_one_invalid_message_packages_the_others(self, engine: Packager) -> None:
        engine.expect_dead_letters()
        runs = [str(number) for number in range(1, 10)]
        good = engine.upload(*runs)
        assert engine.deliver(*good[:4], "poison", *good[4:]) == []
        assert engine.packages() == runs
        assert [body for body, _, _ in engine.dead_letters()] == ["poison"]

    def test_with_one_failure_redelivers_that_message(
        self, engine: Packager, s3_stub: S3Stub
    ) -> None:
        s3_stub.on("PutObject", key=LATEST.format("2"), times=None).answer(500)
        assert engine.deliver(*engine.upload("1", "2", "3")) == [1]
        assert engine.packages() == ["1", "3"]
        assert engine.dead_letters() == []

    def test_of_failures_redelivers_each_message(self, engine: Packager, s3_stub: S3Stub) -> None:
        s3_stub.on(times=None).answer(500)
        assert engine.deliver(*engine.upload("1", "2")) == [0, 1]

    def test_that_is_redelivered_creates_no_other_revision(self, engine: Packager) -> None:
        bodies = engine.upload("1")
        engine.deliver(*bodies)
        first = engine.log.read_end()
        written = engine.raw.keys(".quilt/")
        assert engine.deliver(*bodies, delivery=2) == []
        again = engine.log.read_end()
        assert (again["outcome"], again["top_hash"]) == ("created", first["top_hash"])
        assert engine.raw.keys(".quilt/") == written


class TestRejected:
    def test_moves_to_the_dead_letter_queue_with_code_and_reason(self, engine: Packager) -> None:
        engine.expect_dead_letters()
        assert engine.deliver(message("none")) == []
        ((body, code, reason),) = engine.dead_letters()
        assert body == message("none")
        assert code == "EmptySource"
        assert reason.startswith("s3://raw/runs/none/ has no objects.")

    def test_stays_in_its_queue_if_it_cannot_be_moved(self, engine: Packager) -> None:
        engine.sqs.fail("send_message", "AccessDenied")
        assert engine.deliver(message("none")) == [0]
        line = engine.log.read_end()
        assert (line["outcome"], line["code"]) == ("failed", "AwsError")
        assert "EmptySource" in line["reason"]
        assert "s3://raw/runs/none/ has no objects." in line["reason"]

    def test_of_the_largest_size_is_moved_whole(self, engine: Packager) -> None:
        engine.sqs.script.add_response("send_message", {"MessageId": "m"})
        body = "x" * MAX_MESSAGE_BYTES
        assert engine.deliver(body) == []
        assert engine.sqs.asked[0]["MessageBody"] == body

    def test_for_a_key_with_a_control_character_escapes_it(self, engine: Packager) -> None:
        engine.expect_dead_letters()
        engine.raw.put("runs/1/a\x01//b", "x")
        assert engine.deliver(message("1")) == []
        ((_, code, reason),) = engine.dead_letters()
        assert code == "InvalidKeys"
        assert 'a\\x01//b"' in reason

    def test_for_a_key_with_a_newline_gives_one_log_line(self, engine: Packager) -> None:
        engine.expect_dead_letters()
        engine.raw.put('runs/1/a\n{"level": "INFO"}\n//b', "x")
        engine.deliver(message("1"))
        assert engine.log.read_end()["code"] == "InvalidKeys"

    @pytest.mark.parametrize("date", ["", "yesterday"])
    def test_for_an_endpoint_without_a_valid_date_is_found_before_anything_is_written(
        self, engine: Packager, s3_stub: S3Stub, date: str
    ) -> None:
        engine.expect_dead_letters()
        s3_stub.on(times=None).rewrite_headers({"Date": date})
        assert engine.deliver(*engine.upload("1")) == []
        ((_, code, reason),) = engine.dead_letters()
        assert code == "UnsupportedEndpoint"
        assert urlsplit(s3_stub.url).netloc in reason
        assert "Date" in reason
        assert {each.method for each in s3_stub.requests} <= {"GET", "HEAD"}

    @pytest.mark.parametrize(
        "packager_settings",
        [Settings(dead_letter_queue_url=DEAD_LETTERS, registry_buckets=("other",))],
    )
    def test_for_its_bucket_sends_no_request(self, engine: Packager, s3_stub: S3Stub) -> None:
        engine.expect_dead_letters()
        assert engine.deliver(message("1")) == []
        assert engine.dead_letters()[0][1] == "BucketNotAllowed"
        assert not s3_stub.requests

    @pytest.mark.parametrize("packager_settings", [Settings()])
    def test_without_a_dead_letter_queue_url_is_left_to_sqs(self, engine: Packager) -> None:
        assert engine.deliver(message("none")) == [0]
        assert engine.log.read_end()["outcome"] == "rejected"


ANNOUNCING = Settings(
    dead_letter_queue_url=DEAD_LETTERS, event_bus="bus", engine="lab", max_attempts=3
)


@pytest.mark.parametrize("packager_settings", [ANNOUNCING])
class TestOutcome:
    def test_is_prepared_before_the_job(
        self, engine: Packager, s3_stub: S3Stub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        prepared: list[tuple[str, int]] = []
        monkeypatch.setattr(
            clients, "prepare", lambda service: prepared.append((service, len(s3_stub.requests)))
        )
        engine.expect_events()
        engine.deliver(*engine.upload("1"))
        assert prepared == [("events", 0)]

    def test_of_each_job_is_one_event(self, engine: Packager) -> None:
        engine.expect_events(3)
        engine.expect_dead_letters()
        bodies = engine.upload("1")
        assert engine.deliver(*bodies, *bodies, message("none")) == []
        created, unchanged, rejected = engine.announced()
        assert created[0] == "Package Created"
        assert unchanged[0] == "Package Unchanged"
        assert rejected[0] == "Package Rejected"
        assert rejected[1]["code"] == "EmptySource"

    def test_names_the_previous_revision(self, engine: Packager) -> None:
        engine.expect_events(2)
        engine.deliver(*engine.upload("1"))
        engine.raw.put("runs/1/b.txt", "x", stored=["SHA256"])
        engine.deliver(message("1"))
        (_, first), (_, second) = engine.announced()
        assert "previous_top_hash" not in first
        assert second["previous_top_hash"] == first["top_hash"] != second["top_hash"]

    def test_that_could_not_be_published_is_published_by_the_next_delivery(
        self, engine: Packager
    ) -> None:
        engine.events.fail("put_events", "InternalException")
        engine.sqs.script.add_response("change_message_visibility", {})
        engine.expect_events()
        bodies = engine.upload("1")
        assert engine.deliver(*bodies) == [0]
        published = engine.raw.keys(".quilt/")
        assert engine.deliver(*bodies, delivery=2) == []
        assert engine.announced()[-1][0] == "Package Created"
        assert engine.raw.keys(".quilt/") == published

    def test_of_a_failure_is_published_only_after_the_last_attempt(
        self, engine: Packager, s3_stub: S3Stub
    ) -> None:
        s3_stub.on(times=None).answer(500)
        assert engine.deliver(message("1"), delivery=2) == [0]
        assert engine.announced() == []
        engine.expect_events()
        engine.expect_dead_letters()
        assert engine.deliver(message("1"), delivery=3) == []
        ((detail_type, detail),) = engine.announced()
        assert (detail_type, detail["code"]) == ("Package Failed", "ServiceUnavailable")
        assert engine.dead_letters()[0][1] == "ServiceUnavailable"
        assert [end["final"] for end in engine.log.read_ends()] == [False, True]

    def test_of_attempts_that_died_is_published_by_an_extra_delivery(
        self, engine: Packager, s3_stub: S3Stub
    ) -> None:
        engine.expect_events()
        engine.expect_dead_letters()
        assert engine.deliver(*engine.upload("1"), delivery=4) == []
        ((detail_type, detail),) = engine.announced()
        assert (detail_type, detail["code"]) == ("Package Failed", "AttemptsExhausted")
        assert detail["package_name"] == "runs/1"
        assert engine.dead_letters()[0][:2] == (message("1"), "AttemptsExhausted")
        assert engine.packages() == []
        end = engine.log.read_end()
        assert (end["message"], end["code"], end["final"]) == (
            "package failed",
            "AttemptsExhausted",
            True,
        )

    @pytest.mark.parametrize(("delivery", "final"), [(4, False), (5, True)])
    def test_of_a_message_that_cannot_be_moved_is_final_at_the_last_delivery(
        self, engine: Packager, delivery: int, final: bool
    ) -> None:
        engine.expect_events()
        engine.sqs.fail("send_message", "AccessDenied")
        assert engine.deliver(*engine.upload("1"), delivery=delivery) == [0]
        assert engine.log.read_end()["final"] is final

    def test_of_an_event_with_a_long_id_is_published_once(self, engine: Packager) -> None:
        engine.expect_events()
        engine.raw.put("runs/1/ro-crate-metadata.json", crate("1"))
        event = {**json.loads(crate_event("1")), "id": "x" * 300_000}
        assert engine.deliver(json.dumps(event)) == []
        ((kind, detail),) = engine.announced()
        assert kind == "Package Created"
        assert detail["trigger"]["event_id"] == "x" * MAX_ID_CHARACTERS
        assert engine.log.read_end()["event_id"] == "x" * MAX_ID_CHARACTERS
        assert engine.dead_letters() == []

    def test_of_an_ignored_message_is_not_published(self, engine: Packager) -> None:
        assert engine.deliver('{"Event": "s3:TestEvent"}', delivery=4) == []
        assert engine.announced() == []

    def test_that_comes_back_as_a_message_is_ignored(self, engine: Packager) -> None:
        outcome = {"source": "quilt.packager", "detail-type": "Package Rejected", "detail": {}}
        assert engine.deliver(json.dumps(outcome)) == []
        assert engine.announced() == []

    @pytest.mark.parametrize("fields", SECRET_FIELDS.values(), ids=SECRET_FIELDS)
    def test_never_contains_values_of_metadata(
        self, engine: Packager, fields: dict[str, object]
    ) -> None:
        engine.expect_events()
        engine.expect_dead_letters()
        engine.upload("1")
        engine.raw.put("runs/1/broken.json", f'{{"password": {TOKEN}')
        engine.deliver(json.dumps({"source_prefix": "s3://raw/runs/1/", **fields}))
        assert engine.announced()
        assert TOKEN not in json.dumps(engine.announced())


class TestDeadline:
    def test_in_the_past_redelivers_the_message(self, engine: Packager) -> None:
        bodies = engine.upload("1")
        assert engine.deliver(*bodies, remaining_seconds=9) == [0]
        line = engine.log.read_end()
        assert (line["outcome"], line["code"]) == ("failed", "DeadlineExceeded")
        assert engine.packages() == []

    def test_during_a_job_stops_it(self, engine: Packager, s3_stub: S3Stub) -> None:
        s3_stub.on("ListObjectVersions").pause_before()
        margin = invocations.DEADLINE_MARGIN_SECONDS
        assert engine.deliver(*engine.upload("1"), remaining_seconds=margin + 0.1) == [0]
        assert engine.log.read_end()["code"] == "DeadlineExceeded"

    @pytest.mark.parametrize(
        ("room", "step"),
        [
            (packager, "read_request"),
            (packager, "resolve"),
            (packaging, "list_source"),
            (gate, "check"),
            (packaging, "_spool"),
            (publish.Publisher, "publish"),
        ],
    )
    def test_interrupts_a_step_that_does_not_wait(
        self, engine: Packager, monkeypatch: pytest.MonkeyPatch, room: object, step: str
    ) -> None:
        def block(*_: object, **__: object) -> None:
            re.search("^(a+)+$", "a" * 50 + "!")

        monkeypatch.setattr(room, step, block)
        margin = invocations.DEADLINE_MARGIN_SECONDS
        assert engine.deliver(*engine.upload("1"), remaining_seconds=margin + 0.1) == [0]
        assert engine.log.read_end()["code"] == "DeadlineExceeded"
        assert engine.packages() == []

    def test_of_one_invocation_does_not_affect_the_next(self, engine: Packager) -> None:
        bodies = engine.upload("1")
        engine.deliver(*bodies, remaining_seconds=9)
        assert engine.deliver(*bodies) == []
        assert engine.packages() == ["1"]


class TestCrash:
    @pytest.fixture(autouse=True)
    def defect(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def crash(*_: object, **__: object) -> None:
            raise LookupError("a\x01b")

        monkeypatch.setattr(packager, "package", crash)

    def test_redelivers_the_message(self, engine: Packager) -> None:
        assert engine.deliver(*engine.upload("1")) == [0]
        assert engine.dead_letters() == []

    def test_is_recorded_as_a_failure_with_its_stack(self, engine: Packager) -> None:
        engine.deliver(*engine.upload("1"))
        line = engine.log.read_end()
        assert (line["outcome"], line["code"]) == ("failed", "InternalError")
        assert line["reason"].startswith("The packager crashed: LookupError: a\\x01b.")
        assert line["exception_name"] == "LookupError"
        assert line["package_name"] == "runs/1"

    def test_counts_as_a_failure(self, engine: Packager) -> None:
        engine.deliver(*engine.upload("1"))
        (metrics,) = engine.log.read_metrics()
        assert metrics[Metric.PACKAGES_FAILED] == [1.0]


class TestIgnored:
    def test_is_acknowledged_without_request_or_outcome(
        self, engine: Packager, s3_stub: S3Stub
    ) -> None:
        assert engine.deliver('{"Event": "s3:TestEvent"}') == []
        line = engine.log.read_line()
        assert (line["level"], line["message"]) == ("INFO", "message ignored")
        assert "outcome" not in line
        assert not s3_stub.requests

    def test_has_no_metrics(self, engine: Packager) -> None:
        engine.deliver('{"Event": "s3:TestEvent"}')
        assert engine.log.read_metrics() == []


class TestOmicsRun:
    OUTPUT = "s3://raw/runs/123"

    def test_is_described_by_the_event_and_by_healthomics(self, engine: Packager) -> None:
        engine.upload("123")
        engine.omics.script.add_response("get_run", {"id": "123", **LOOKED_UP}, {"id": "123"})
        assert engine.deliver(omics_event(runOutputUri=self.OUTPUT, runName="NA12878")) == []
        assert engine.metadata("123") == {
            "name": "NA12878",
            "run_id": "123",
            "run_status": "COMPLETED",
            "output_uri": "s3://raw/runs/123/",
            "tags": ["project=x"],
        }

    @pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException", "400"])
    def test_is_described_by_its_event_if_the_lookup_fails(
        self, engine: Packager, code: str
    ) -> None:
        engine.upload("123")
        engine.omics.fail("get_run", code)
        assert engine.deliver(omics_event(runOutputUri=self.OUTPUT)) == []
        assert engine.metadata("123") == {
            "run_id": "123",
            "run_status": "COMPLETED",
            "output_uri": "s3://raw/runs/123/",
        }

    def test_without_its_output_is_looked_up(self, engine: Packager) -> None:
        engine.upload("123")
        answer = {"id": "123", "outputUri": "s3://raw/runs/"}
        engine.omics.script.add_response("get_run", answer, {"id": "123"})
        assert engine.deliver(omics_event()) == []
        assert engine.packages() == ["123"]

    def test_without_any_output_is_rejected(self, engine: Packager) -> None:
        engine.expect_dead_letters()
        engine.omics.script.add_response("get_run", {"id": "123"}, {"id": "123"})
        assert engine.deliver(omics_event()) == []
        ((_, code, reason),) = engine.dead_letters()
        assert code == "NoRunOutput"
        assert "no outputUri" in reason

    def test_whose_lookup_is_denied_is_rejected(self, engine: Packager) -> None:
        engine.expect_dead_letters()
        engine.omics.fail("get_run", "AccessDeniedException")
        assert engine.deliver(omics_event()) == []
        ((_, code, reason),) = engine.dead_letters()
        assert code == "AccessDenied"
        assert "omics:GetRun" in reason

    @pytest.mark.parametrize("packager_settings", [RETRYING])
    @pytest.mark.parametrize("detail", [{}, {"runOutputUri": OUTPUT}])
    def test_is_redelivered_while_healthomics_is_throttled(
        self, engine: Packager, detail: dict[str, str]
    ) -> None:
        engine.omics.fail("get_run", "ThrottlingException")
        assert engine.deliver(omics_event(**detail)) == [0]
        assert engine.log.read_end()["code"] == "AwsError"

    @pytest.mark.parametrize("packager_settings", [RETRYING])
    @pytest.mark.parametrize("code", ["ThrottlingException", "InternalServerException", "503"])
    def test_is_described_by_its_event_in_the_last_attempt(
        self, engine: Packager, code: str
    ) -> None:
        engine.upload("123")
        engine.omics.fail("get_run", code)
        engine.expect_events()
        assert engine.deliver(omics_event(runOutputUri=self.OUTPUT), delivery=2) == []
        assert engine.metadata("123")["run_id"] == "123"
        ((name, detail),) = engine.announced()
        assert name == "Package Created"
        assert engine.log.read_end()["remark"] == detail["remark"]
        assert detail["remark"].startswith(
            "The metadata lacks name, workflow_name, workflow_version, workflow_id, start_time, "
            "end_time, duration, tags of the run. HealthOmics did not describe run 123: "
            f"GetRun failed with {code}."
        )

    def test_that_is_looked_up_leaves_no_remark(self, engine: Packager) -> None:
        engine.upload("123")
        engine.omics.script.add_response("get_run", {"id": "123"}, {"id": "123"})
        engine.deliver(omics_event(runOutputUri=self.OUTPUT))
        assert "remark" not in engine.log.read_end()

    @pytest.mark.parametrize(
        ("response", "remark"),
        [
            ({}, "the response describes no such run"),
            ({"id": "124", "name": "another"}, "the response describes no such run"),
            ({"id": "123", "name": 5, "tags": []}, "malformed fields of the run: name, tags."),
        ],
    )
    def test_whose_lookup_answers_nonsense_is_described_by_its_event(
        self, engine: Packager, monkeypatch: pytest.MonkeyPatch, response: object, remark: str
    ) -> None:
        engine.upload("123")
        # The stub would check the types of the response, which botocore does not.
        monkeypatch.setattr(engine.omics.client, "get_run", lambda **_: response)
        assert engine.deliver(omics_event(runOutputUri=self.OUTPUT)) == []
        assert engine.metadata("123") == {
            "run_id": "123",
            "run_status": "COMPLETED",
            "output_uri": "s3://raw/runs/123/",
        }
        assert remark in engine.log.read_end()["remark"]

    def test_whose_lookup_breaks_botocore_is_described_by_its_event(
        self, engine: Packager, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def break_parser(**_: object) -> None:
            raise ResponseParserError("Unable to parse response")

        engine.upload("123")
        monkeypatch.setattr(engine.omics.client, "get_run", break_parser)
        assert engine.deliver(omics_event(runOutputUri=self.OUTPUT)) == []
        assert "Unable to parse response" in engine.log.read_end()["remark"]

    def test_keeps_the_fields_of_its_newest_revision_if_the_lookup_fails(
        self, engine: Packager
    ) -> None:
        engine.upload("123")
        engine.omics.script.add_response("get_run", {"id": "123", **LOOKED_UP}, {"id": "123"})
        engine.deliver(omics_event(runOutputUri=self.OUTPUT))
        engine.log.read()
        engine.omics.fail("get_run", "AccessDeniedException")
        engine.deliver(omics_event(runOutputUri=self.OUTPUT))
        ended = engine.log.read_end()
        assert ended["outcome"] == "unchanged"
        assert ended["remark"].endswith("Kept from the newest revision: tags.")

    def test_keeps_no_fields_of_another_run(self, engine: Packager) -> None:
        engine.upload("123")
        engine.deliver(message("123", metadata={"run_id": "122", "tags": ["project=y"]}))
        engine.omics.fail("get_run", "AccessDeniedException")
        engine.deliver(omics_event(runOutputUri=self.OUTPUT))
        assert "tags" not in engine.metadata("123")

    @pytest.mark.parametrize("fault", [403, b"{", b"[1]\n"])
    def test_keeps_nothing_of_a_revision_that_cannot_be_read(
        self, engine: Packager, s3_stub: S3Stub, fault: int | bytes
    ) -> None:
        engine.upload("123")
        engine.deliver(message("123", metadata={"run_id": "123", "tags": ["project=y"]}))
        latest = engine.raw.get(LATEST.format("123"))
        assert latest
        key = f".quilt/packages/{latest.data.decode()}"
        if isinstance(fault, bytes):
            engine.raw.put(key, fault)
        else:
            s3_stub.on("GetObject", key=key, times=None).answer(fault, "AccessDenied")
        engine.omics.fail("get_run", "AccessDeniedException")
        assert engine.deliver(omics_event(runOutputUri=self.OUTPUT)) == []
        assert "tags" not in engine.metadata("123")

    @pytest.mark.parametrize(
        "packager_settings",
        [
            Settings(
                sources=(SourceOptions(kind="health_omics", package_name="x/{workflow_version}"),)
            )
        ],
    )
    def test_whose_template_lacks_a_field_says_so(self, engine: Packager) -> None:
        engine.upload("123")
        engine.omics.fail("get_run", "AccessDeniedException")
        engine.deliver(omics_event(runOutputUri=self.OUTPUT))
        ended = engine.log.read_end()
        assert ended["package_name"] == "runs/123"
        assert 'not by "x/{workflow_version}": the run has no workflow_version.' in ended["remark"]


CRATE = json.dumps({"@graph": [{"@id": "./", "name": "Run 42"}]})


class TestCrate:
    CRATES = SourceOptions(kind="workflow_run_crate")

    def upload(self, engine: Packager, crate: str = CRATE) -> None:
        engine.upload("42")
        engine.raw.put("runs/42/ro-crate-metadata.json", crate, stored=["SHA256"])

    def test_describes_its_folder(self, engine: Packager) -> None:
        self.upload(engine)
        assert engine.deliver(crate_event("42")) == []
        assert engine.metadata("42") == {"name": "Run 42"}

    def test_that_is_broken_leaves_a_remark_and_no_metadata(self, engine: Packager) -> None:
        self.upload(engine, "{")
        assert engine.deliver(crate_event("42")) == []
        assert engine.metadata("42") is None
        assert "ro-crate-metadata.json" in engine.log.read_end()["remark"]

    def test_delivered_twice_is_one_revision(self, engine: Packager) -> None:
        self.upload(engine)
        engine.deliver(crate_event("42"), crate_event("42"))
        pointers = engine.raw.keys(".quilt/named_packages/runs/42/")
        assert len(pointers) == 2  # latest, and one revision

    @pytest.mark.parametrize(
        "packager_settings",
        [
            Settings(
                dead_letter_queue_url=DEAD_LETTERS,
                sources=(SourceOptions(kind="workflow_run_crate", package_name="runs/{run_id}"),),
            )
        ],
    )
    def test_gives_name_and_metadata_of_one_version_if_it_is_overwritten(
        self, engine: Packager, s3_stub: S3Stub
    ) -> None:
        key = "runs/x/ro-crate-metadata.json"
        engine.upload("x")
        engine.raw.put(key, crate("1"), stored=["SHA256"])

        def overwrite(body: bytes) -> bytes:
            engine.raw.put(key, crate("2"), stored=["SHA256"])
            return body

        s3_stub.on("GetObject", key=key).rewrite_body(overwrite)
        assert engine.deliver(crate_event("x")) == []
        assert engine.packages() == ["1"]
        metadata = engine.metadata("1")
        assert (metadata["name"], metadata["run_id"]) == ("Run 1", "1")
        assert [each.key for each in s3_stub.requests_of("GetObject")].count(key) == 1


SETTLING_WITH_MORE_ATTEMPTS = msgspec.structs.replace(SETTLING, max_attempts=4)


class TestSettling:
    """An event whose folder is still being written to."""

    @pytest.fixture
    def packager_settings(self) -> Settings:
        waiting = SourceOptions(kind="workflow_run_crate", settle_seconds=60)
        return Settings(dead_letter_queue_url=DEAD_LETTERS, sources=(waiting,))

    def test_is_deferred_for_the_rest_of_its_time(self, engine: Packager) -> None:
        engine.upload("42")
        engine.sqs.script.add_response("change_message_visibility", {})
        assert engine.deliver(crate_event("42"), age_seconds=20.5) == [0]
        (asked,) = engine.sqs.asked
        assert asked["QueueUrl"].endswith("/123456789012/jobs")
        assert asked["ReceiptHandle"] == "receipt-0"
        assert 38 <= asked["VisibilityTimeout"] <= 41
        assert engine.packages() == []
        line = engine.log.read_line()
        assert (line["message"], line["message_id"]) == ("message deferred", "0")
        assert line["seconds"] == asked["VisibilityTimeout"]
        assert (line["source"], line["trigger"]) == ("s3://raw/runs/42/", "workflow_run_crate")
        assert line["event_id"] == "e2"

    def test_is_packaged_after_its_time(self, engine: Packager) -> None:
        engine.upload("42")
        assert engine.deliver(crate_event("42"), age_seconds=61) == []
        assert engine.packages() == ["42"]

    def test_that_cannot_be_deferred_is_redelivered(self, engine: Packager) -> None:
        engine.upload("42")
        engine.sqs.fail("change_message_visibility", "AccessDenied")
        assert engine.deliver(crate_event("42")) == [0]
        assert engine.packages() == []

    def test_does_not_apply_to_plain_messages(self, engine: Packager) -> None:
        assert engine.deliver(*engine.upload("42")) == []
        assert engine.packages() == ["42"]

    @pytest.mark.parametrize("packager_settings", [SETTLING])
    def test_does_not_count_as_an_attempt(self, engine: Packager, s3_stub: S3Stub) -> None:
        s3_stub.on(times=None).answer(500)
        assert engine.deliver(crate_event("42"), delivery=2, age_seconds=61) == [0]
        engine.expect_dead_letters()
        assert engine.deliver(crate_event("42"), delivery=3, age_seconds=99) == []
        assert engine.dead_letters()[0][1] == "ServiceUnavailable"
        assert [end["final"] for end in engine.log.read_ends()] == [False, True]

    @pytest.mark.parametrize("packager_settings", [SETTLING_WITH_MORE_ATTEMPTS])
    def test_does_not_lengthen_the_delays_of_attempts(
        self, engine: Packager, s3_stub: S3Stub
    ) -> None:
        s3_stub.on(times=None).answer(500)
        for delivery, least, most in [(2, 15, 30), (3, 30, 60)]:
            engine.sqs.script.add_response("change_message_visibility", {})
            assert engine.deliver(crate_event("42"), delivery=delivery, age_seconds=61) == [0]
            assert least <= engine.sqs.asked[-1]["VisibilityTimeout"] <= most
        asked = len(engine.sqs.asked)
        assert engine.deliver(crate_event("42"), delivery=4, age_seconds=99) == [0]
        assert len(engine.sqs.asked) == asked

    @pytest.mark.parametrize("packager_settings", [SETTLING_WITH_MORE_ATTEMPTS])
    def test_that_has_passed_at_the_first_delivery_makes_that_the_first_attempt(
        self, engine: Packager, s3_stub: S3Stub
    ) -> None:
        s3_stub.on(times=None).answer(500)
        engine.sqs.script.add_response("change_message_visibility", {})
        assert engine.deliver(crate_event("42"), delivery=1, age_seconds=61) == [0]
        assert 15 <= engine.sqs.asked[-1]["VisibilityTimeout"] <= 30

    @pytest.mark.parametrize("packager_settings", [SETTLING])
    def test_fails_after_as_many_attempts_as_other_jobs(self, engine: Packager) -> None:
        engine.upload("42")
        engine.expect_dead_letters()
        assert engine.deliver(crate_event("42"), delivery=4, age_seconds=99) == []
        assert engine.dead_letters()[0][1] == "AttemptsExhausted"


class TestStory:
    """The lines of a job before its end."""

    def test_begins_when_the_message_is_read(self, engine: Packager) -> None:
        engine.deliver(*engine.upload("1"), delivery=2)
        first, *_ = engine.log.read_lines()
        assert (
            first.items()
            >= {
                "message": "package started",
                "message_id": "0",
                "delivery": 2,
                "source": "s3://raw/runs/1/",
                "trigger": "message",
                "registry": "raw",
                "package_name": "runs/1",
            }.items()
        )

    def test_has_the_age_of_the_message(self, engine: Packager) -> None:
        engine.deliver(*engine.upload("1"), age_seconds=61)
        first, *_ = engine.log.read_lines()
        assert first["queued_seconds"] >= 61

    def test_names_the_event(self, engine: Packager) -> None:
        engine.upload("42")
        engine.raw.put("runs/42/ro-crate-metadata.json", "{}", stored=["SHA256"])
        engine.deliver(crate_event("42"))
        first, *_ = engine.log.read_lines()
        assert (first["trigger"], first["event_id"]) == ("workflow_run_crate", "e2")

    @pytest.mark.parametrize(
        "packager_settings",
        [
            Settings(
                dead_letter_queue_url=DEAD_LETTERS,
                event_bus="bus",
                max_attempts=1,
                sources=(SourceOptions(kind="workflow_run_crate", package_name="x/{run_id}"),),
            )
        ],
    )
    def test_names_no_package_before_its_crate_does(self, engine: Packager) -> None:
        engine.expect_dead_letters()
        engine.expect_events()
        assert engine.deliver(crate_event("42"), delivery=2) == []
        started, ended = engine.log.read_lines()
        [(_, announced)] = engine.announced()
        [letter] = engine.sqs.asked
        for reported in (started, ended, announced, letter["MessageAttributes"]):
            assert "package_name" not in reported
        assert (ended["code"], ended["registry"]) == ("AttemptsExhausted", "raw")

    def test_goes_through_its_phases_to_its_end(self, engine: Packager) -> None:
        engine.deliver(*engine.upload("1"))
        lines = engine.log.read_lines()
        assert [line["message"] for line in lines] == [
            "package started",
            *["package progress"] * 3,
            "package created",
        ]
        assert [line["phase"] for line in lines[1:4]] == ["listing", "checksums", "publishing"]
        assert {line["message_id"] for line in lines} == {"0"}

    def test_of_an_invalid_message_is_its_outcome(self, engine: Packager) -> None:
        engine.expect_dead_letters()
        engine.deliver("poison")
        line = engine.log.read_line()
        assert (line["message"], line["code"], line["final"]) == (
            "package rejected",
            "InvalidMessage",
            True,
        )


@pytest.mark.parametrize(
    "packager_settings", [Settings(dead_letter_queue_url=DEAD_LETTERS, max_attempts=5)]
)
class TestRetry:
    def test_of_a_transient_failure_comes_soon_and_later_each_time(
        self, engine: Packager, s3_stub: S3Stub
    ) -> None:
        s3_stub.on("PutObject", key=LATEST.format("1"), times=None).answer(500)
        (body,) = engine.upload("1")
        for delivery, least, most in [(1, 15, 30), (2, 30, 60), (3, 60, 120)]:
            engine.sqs.script.add_response("change_message_visibility", {})
            assert engine.deliver(body, delivery=delivery) == [0]
            assert least <= engine.sqs.asked[-1]["VisibilityTimeout"] <= most

    def test_for_the_last_time_comes_late(self, engine: Packager, s3_stub: S3Stub) -> None:
        s3_stub.on("PutObject", key=LATEST.format("1"), times=None).answer(500)
        assert engine.deliver(*engine.upload("1"), delivery=4) == [0]
        assert engine.sqs.asked == []

    def test_after_a_timeout_comes_late(self, engine: Packager) -> None:
        assert engine.deliver(*engine.upload("1"), remaining_seconds=9) == [0]
        assert engine.sqs.asked == []

    def test_is_logged_after_the_reason(self, engine: Packager, s3_stub: S3Stub) -> None:
        s3_stub.on("PutObject", key=LATEST.format("1"), times=None).answer(500)
        engine.sqs.script.add_response("change_message_visibility", {})
        engine.deliver(*engine.upload("1"))
        *_, failed, defer = engine.log.read_lines()
        assert (failed["message"], failed["final"]) == ("package failed", False)
        assert defer["message"] == "message deferred"
        assert defer["seconds"] == engine.sqs.asked[-1]["VisibilityTimeout"]
        assert (defer["source"], defer["trigger"]) == ("s3://raw/runs/1/", "message")

    def test_comes_late_if_the_visibility_cannot_be_changed(
        self, engine: Packager, s3_stub: S3Stub
    ) -> None:
        s3_stub.on("PutObject", key=LATEST.format("1"), times=None).answer(500)
        engine.sqs.fail("change_message_visibility", "AccessDenied")
        assert engine.deliver(*engine.upload("1")) == [0]
        assert engine.log.read_lines()[-1]["message"] == "message not deferred"


class TestLogLine:
    def test_is_one_a_job_with_all_fields(self, engine: Packager) -> None:
        engine.deliver(*engine.upload("1"))
        line = engine.log.read_end()
        latest = engine.raw.get(LATEST.format("1"))
        assert latest
        assert line.pop("seconds") >= 0
        assert (
            line.items()
            >= {
                "message_id": "0",
                "outcome": "created",
                "package_name": "runs/1",
                "registry": "raw",
                "top_hash": latest.data.decode(),
                "objects": 1,
                "bytes": 1,
                "stored": 1,
                "computed": 0,
                "source": "s3://raw/runs/1/",
                "trigger": "message",
            }.items()
        )

    def test_of_an_event_has_its_id(self, engine: Packager) -> None:
        engine.upload("123")
        engine.omics.script.add_response("get_run", {}, {"id": "123"})
        engine.deliver(omics_event(runOutputUri="s3://raw/runs/123"))
        line = engine.log.read_end()
        assert (line["trigger"], line["event_id"]) == ("health_omics", "e1")

    def test_of_a_rejection_names_the_package(self, engine: Packager) -> None:
        engine.expect_dead_letters()
        engine.deliver(message("none"))
        line = engine.log.read_end()
        assert (line["package_name"], line["registry"]) == ("runs/none", "raw")

    def test_names_the_fields_that_were_ignored(self, engine: Packager) -> None:
        engine.upload("1")
        engine.deliver(message("1", colour="red"))
        assert engine.log.read_end()["ignored_fields"] == ["colour"]

    @pytest.mark.parametrize("fields", SECRET_FIELDS.values(), ids=SECRET_FIELDS)
    def test_never_contains_values_of_metadata(
        self,
        engine: Packager,
        fields: dict[str, object],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        engine.expect_dead_letters()
        engine.upload("1")
        for name, text in (
            ("good", f'{{"password": "{TOKEN}"}}'),
            ("list", f'["{TOKEN}"]'),
            ("broken", f'{{"password": {TOKEN}'),
            ("surrogate", f'{{"password": "{TOKEN}\\ud800"}}'),
        ):
            engine.raw.put(f"runs/1/{name}.json", text)
        body = json.dumps({"source_prefix": "s3://raw/runs/1/", **fields})
        assert engine.deliver(body) == []
        assert TOKEN not in engine.log.read()
        assert TOKEN not in caplog.text
        assert not [reason for _, _, reason in engine.dead_letters() if TOKEN in reason]


class TestMetrics:
    def test_are_one_set_a_job(self, engine: Packager) -> None:
        engine.expect_dead_letters()
        engine.deliver(*engine.upload("1"), message("none"))
        created, rejected = engine.log.read_metrics()
        assert created[Metric.PACKAGES_CREATED] == [1.0]
        assert created[Metric.OBJECTS] == [1.0]
        assert rejected[Metric.PACKAGES_REJECTED] == [1.0]


class TestEnvironment:
    @pytest.fixture(autouse=True)
    def forget(self) -> Iterator[None]:
        yield
        invocations.load_settings.cache_clear()
        invocations.connect.cache_clear()

    def test_has_the_settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("QUILT_PACKAGER_DEAD_LETTER_QUEUE_URL", DEAD_LETTERS)
        assert invocations.load_settings() == Settings(dead_letter_queue_url=DEAD_LETTERS)

    def test_has_the_endpoint_of_s3(
        self, s3_stub: S3Stub, monkeypatch: pytest.MonkeyPatch, engine: Packager
    ) -> None:
        monkeypatch.undo()
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3_stub.url)
        assert engine.deliver(*engine.upload("1")) == []
        assert engine.packages() == ["1"]
