"""`logs.md` and `metrics.md` document exactly the existing lines, fields and metrics."""

import ast
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import quilt_packager_runtime
from quilt_packager_runtime.reporting.log_events import AnyLogEvent, LogEvent, MessageRejected
from quilt_packager_runtime.reporting.telemetry import log
from quilt_packager_runtime.settings import METRICS_NAMESPACE, Metric

from quilt_packager.operations.jobs.log_lines import lines_table
from tests.job_log import JobLog

RUNTIME = Path(quilt_packager_runtime.__file__).parent
REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
LOGS = (REFERENCE / "logs.md").read_text("utf-8")
METRICS = (REFERENCE / "metrics.md").read_text("utf-8")
NAME = re.compile(r"`([^`]+)`")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)

LINES: dict[str, type[LogEvent]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(AnyLogEvent)
}
WRITING = {"debug", "info", "warning", "error", "exception", "critical", "log"}

Row = tuple[str, ...]


def rows(section: str) -> list[Row]:
    """The cells of a section's table, without its head."""
    found = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in found]


def section(name: str) -> str:
    return LOGS.split(f"\n## {name}\n")[1].split("\n## ")[0]


def names(text: str) -> set[str]:
    return set(NAME.findall(text))


def first_names(table: str) -> list[str]:
    """The first name in each row of a table."""
    return [names(row[0]).pop() for row in rows(table)]


def calls() -> Iterator[tuple[str, ast.Call, str]]:
    """Each place that writes a line of the log: its module, the call, and its method."""
    for path in sorted(RUNTIME.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in WRITING
                and ast.unparse(node.func.value) in {"logger", "logging", "_logger"}
            ):
                yield str(path.relative_to(RUNTIME)), node, node.func.attr


EXAMPLES: list[dict[str, Any]] = [
    json.loads(line)
    for language, block in BLOCK.findall(section("Examples"))
    if language == "json"
    for line in block.splitlines()
]


class TestLines:
    def test_table_is_current(self) -> None:
        # python -m quilt_packager.operations.jobs.log_lines prints the table.
        assert f"\n\n{lines_table()}\n" in LOGS

    def test_are_all_in_the_decoded_union(self) -> None:
        assert set(_leaves(LogEvent)) == set(LINES.values())

    def test_of_handlers_are_typed(self) -> None:
        by_hand = [
            module
            for module, _, _ in calls()
            if module.startswith(("handlers", "reporting/telemetry"))
        ]
        assert by_hand == []


class TestFields:
    def test_are_exactly_those_explained(self) -> None:
        used = {field for kind in LINES.values() for field in kind.__struct_fields__}
        assert sorted(first_names(section("Fields"))) == sorted(used)

    def test_of_every_line_are_those_written(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines = JobLog(capsys, monkeypatch)
        log(MessageRejected(reason="So."), crash=LookupError("nowhere"))
        written = lines.read_line().keys() - {"reason"}
        explained = {name for row in rows(section("Every line")) for name in names(row[0])}
        assert explained == written


class TestWarnings:
    def test_of_single_steps_are_exactly_those_documented(self) -> None:
        written: dict[str, tuple[str, set[str]]] = {}
        for _, call, method in calls():
            message, fields = _read_warning(call)
            written[message] = (method.upper(), fields)
        documented = {
            names(message).pop(): (level, names(fields))
            for message, level, _, fields in rows(section("Warnings"))
        }
        assert documented == written


class TestExamples:
    def test_include_every_line(self) -> None:
        assert {example["message"] for example in EXAMPLES} == LINES.keys()

    @pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["message"])
    def test_decode(self, example: dict[str, Any]) -> None:
        line = msgspec.convert(example, type=AnyLogEvent)
        assert example["level"] == logging.getLevelName(line.level)
        of_every_line = {name for row in rows(section("Every line")) for name in names(row[0])}
        assert example.keys() - of_every_line <= set(line.__struct_fields__)
        if "reason" in example and "happened" in example:
            sentences = [example[name] for name in ("happened", "why", "remedy")]
            assert example["reason"] == " ".join(sentences)

    def test_of_queries_name_existing_fields(self) -> None:
        known = {field for kind in LINES.values() for field in kind.__struct_fields__}
        known |= {"message", "jobs", "example", "what_to_do", "shards", "bytes_a_second"}
        words = {"filter", "sort", "display", "stats", "limit", "by", "desc", "as", "and", "in"}
        functions = {"count", "avg", "max", "sum", "latest"}
        for language, query in BLOCK.findall(section("Queries")):
            assert not language
            plain = re.sub(r'"[^"]*"|@\w+', "", query)
            assert set(re.findall(r"[a-z_]+", plain)) <= known | words | functions


class TestMetrics:
    def test_are_exactly_those_documented(self) -> None:
        assert sorted(first_names(METRICS)) == sorted(Metric)
        assert f"`{METRICS_NAMESPACE}`" in METRICS

    def test_have_the_documented_unit(self) -> None:
        units = {names(row[0]).pop(): row[1] for row in rows(METRICS)}
        source = (RUNTIME / "reporting" / "telemetry.py").read_text("utf-8")
        sent = re.findall(r"add_metric\(Metric\.(\w+), MetricUnit\.(\w+)", source)
        assert sent
        assert [name for name, unit in sent if units[Metric[name]] != unit] == []
        others = set(Metric) - {Metric[name] for name, _ in sent}
        assert {units[metric] for metric in others} == {"Count"}

    def test_queries_name_existing_metrics(self) -> None:
        queried = re.findall(r"SELECT SUM\((\w+)\)", METRICS)
        assert queried
        assert set(queried) <= set(Metric)


def _leaves(kind: type[LogEvent]) -> Iterator[type[LogEvent]]:
    for each in kind.__subclasses__():
        if each.__subclasses__():
            yield from _leaves(each)
        else:
            yield each


def _read_warning(call: ast.Call) -> tuple[str, set[str]]:
    """Message and fields of a warning; both have to stand where it is written."""
    (message,) = call.args
    assert isinstance(message, ast.Constant), f"name the line in words: {ast.unparse(call)}"
    (extra,) = [each.value for each in call.keywords if each.arg == "extra"]
    assert isinstance(extra, ast.Dict), f"name the fields there: {ast.unparse(call)}"
    return str(message.value), {ast.literal_eval(key) for key in extra.keys if key}
