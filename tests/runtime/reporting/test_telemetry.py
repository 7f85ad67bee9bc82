"""One log line and one set of metrics a job."""

from typing import Any

import msgspec
import pytest
from quilt_packager_runtime.errors import EmptySource, InternalError, PackagerError, printable
from quilt_packager_runtime.formats.outcome import Outcome, Result
from quilt_packager_runtime.reporting.telemetry import progress_logger, record_outcome
from quilt_packager_runtime.settings import Metric

from tests.job_log import JobLog

CREATED = Outcome(
    outcome=Result.CREATED,
    package_name="runs/42",
    registry="packages",
    top_hash="f" * 64,
    objects=3,
    bytes=42,
    reused=0,
    stored=2,
    computed=1,
)
ERROR = EmptySource("No objects.", why="Nothing was uploaded.", remedy="Upload.")
REJECTED = Outcome.from_error(ERROR)


def failure(outcome: Outcome = REJECTED, error: PackagerError = ERROR, **fields: Any) -> None:
    """Record the end of a job that failed."""
    record_outcome(outcome, message_id="m", seconds=0.1, error=error, **fields)


def end(result: Result) -> None:
    """Record any end."""
    match result:
        case Result.CREATED | Result.UNCHANGED:
            outcome = msgspec.structs.replace(CREATED, outcome=result)
            record_outcome(outcome, message_id="m", seconds=0.5)
        case _:
            outcome = msgspec.structs.replace(REJECTED, outcome=result)
            record_outcome(outcome, message_id="m", seconds=0.5, error=ERROR)


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> JobLog:
    return JobLog(capsys, monkeypatch)


class TestLogLine:
    def test_has_the_outcome(self, log: JobLog) -> None:
        record_outcome(CREATED, message_id="m", seconds=1.23456)
        line = log.read_line()
        assert (
            line.items()
            >= {
                "level": "INFO",
                "message": "package created",
                "outcome": "created",
                "package_name": "runs/42",
                "registry": "packages",
                "top_hash": "f" * 64,
                "objects": 3,
                "bytes": 42,
                "stored": 2,
                "computed": 1,
                "seconds": 1.235,
            }.items()
        )

    def test_has_code_and_reason(self, log: JobLog) -> None:
        failure()
        line = log.read_line()
        assert (line["code"], line["reason"]) == ("EmptySource", ERROR.reason)

    def test_has_the_origin_of_the_job(self, log: JobLog) -> None:
        record_outcome(CREATED, message_id="m", seconds=0.1, source="s3://raw/runs/42/")
        line = log.read_line()
        assert (line["message_id"], line["source"]) == ("m", "s3://raw/runs/42/")

    def test_leaves_out_unknown_fields(self, log: JobLog) -> None:
        failure(event_id=None)
        assert not {"event_id", "package_name", "objects"} & log.read_line().keys()

    @pytest.mark.parametrize(
        ("result", "level"),
        [
            (Result.CREATED, "INFO"),
            (Result.UNCHANGED, "INFO"),
            (Result.REJECTED, "WARNING"),
            (Result.FAILED, "ERROR"),
        ],
    )
    def test_has_the_level_of_the_outcome(self, log: JobLog, result: Result, level: str) -> None:
        end(result)
        assert log.read_line()["level"] == level

    @pytest.mark.parametrize(
        "text", ["a\nb", "a\r\nb", "a\u2028b", '"}\n{"', "\x1b[31m", "ä\x01", "\ud800"]
    )
    def test_is_one_printable_line_for_any_text(self, log: JobLog, text: str) -> None:
        failure(msgspec.structs.replace(REJECTED, reason=text), source=text, ignored_fields=(text,))
        line = log.read_line()
        shown = printable(text)
        assert (line["reason"], line["source"], line["ignored_fields"]) == (shown, shown, [shown])
        assert all(each.isprintable() for each in (shown, line["message"]))

    def test_has_the_sentences_of_an_error(self, log: JobLog) -> None:
        failure(final=True)
        line = log.read_line()
        assert (line["happened"], line["why"], line["remedy"]) == (
            "No objects.",
            "Nothing was uploaded.",
            "Upload.",
        )
        assert line["reason"] == "No objects. Nothing was uploaded. Upload."
        assert line["final"] is True

    def test_of_a_success_has_no_final(self, log: JobLog) -> None:
        record_outcome(CREATED, message_id="m", seconds=0.1)
        assert "final" not in log.read_line()

    def test_of_a_crash_has_its_traceback(self, log: JobLog) -> None:
        crash = InternalError("It crashed.", why="A defect.", remedy="Report it.")
        crash.__cause__ = LookupError("nowhere")
        failure(Outcome.from_error(crash), crash, final=False)
        line = log.read_line()
        assert line["exception_name"] == "LookupError"
        assert "nowhere" in line["exception"]


class TestProgress:
    def test_names_the_job_and_its_progress(self, log: JobLog) -> None:
        progress_logger("m")("checksums", 3, 10)
        line = log.read_line()
        assert (line["message"], line["message_id"]) == ("package progress", "m")
        assert (line["phase"], line["done"], line["total"]) == ("checksums", 3, 10)

    def test_is_logged_once_in_ten_seconds(self, log: JobLog) -> None:
        on_progress = progress_logger("m")
        for done in range(100):
            on_progress("checksums", done, 100)
        assert len(log.read_lines()) == 1


class TestMetrics:
    @pytest.mark.parametrize(
        ("result", "metric"),
        [
            (Result.CREATED, Metric.PACKAGES_CREATED),
            (Result.UNCHANGED, Metric.PACKAGES_UNCHANGED),
            (Result.REJECTED, Metric.PACKAGES_REJECTED),
            (Result.FAILED, Metric.PACKAGES_FAILED),
        ],
    )
    def test_count_the_outcome(self, log: JobLog, result: Result, metric: Metric) -> None:
        end(result)
        (metrics,) = log.read_metrics()
        assert (metrics[metric], metrics[Metric.SECONDS]) == ([1.0], [0.5])
        assert len({each for each in metrics if each.startswith("Packages")}) == 1

    def test_measure_the_package(self, log: JobLog) -> None:
        record_outcome(CREATED, message_id="m", seconds=0.5)
        (metrics,) = log.read_metrics()
        assert metrics.items() >= {Metric.OBJECTS: [3.0], Metric.BYTES: [42.0]}.items()

    def test_count_the_origins_of_checksums(self, log: JobLog) -> None:
        counts = {"reused": 5, "stored": 0, "computed": 2}
        unchanged = msgspec.structs.replace(CREATED, outcome=Result.UNCHANGED, **counts)
        record_outcome(unchanged, message_id="m", seconds=0.5)
        (metrics,) = log.read_metrics()
        expected = {Metric.REUSED: [5.0], Metric.STORED: [0.0], Metric.COMPUTED: [2.0]}
        assert metrics.items() >= expected.items()

    def test_are_sent_once_per_job(self, log: JobLog) -> None:
        record_outcome(CREATED, message_id="m", seconds=0.5)
        failure()
        assert len(log.read_metrics()) == 2
