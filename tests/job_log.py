"""The log lines and metrics that handlers write to standard output."""

import json
import sys
from typing import Any

import pytest
from quilt_packager_runtime.reporting.telemetry import logger, metrics
from quilt_packager_runtime.settings import METRICS_NAMESPACE


class JobLog:
    """The log of a Lambda function, from the moment that this is made.

    Args:
        capsys: Captures standard output.
        monkeypatch: Undoes the redirection.
    """

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        # The logger keeps the standard output of its import, and pytest changes it for each phase.
        monkeypatch.setattr(logger.registered_handler, "stream", _StandardOutput())
        monkeypatch.setattr(metrics.provider, "service", "engine")

    def read(self) -> str:
        """All of it since it was last read."""
        return self._capsys.readouterr().out

    def read_lines(self) -> list[dict[str, Any]]:
        """The log lines since it was last read, without metrics."""
        return [line for line in _parse(self.read()) if "_aws" not in line]

    def read_line(self) -> dict[str, Any]:
        """The one log line since it was last read."""
        (line,) = self.read_lines()
        return line

    def read_ends(self) -> list[dict[str, Any]]:
        """Of the log lines since it was last read, those with an outcome."""
        return [line for line in self.read_lines() if "outcome" in line]

    def read_end(self) -> dict[str, Any]:
        """The one such line since it was last read."""
        (line,) = self.read_ends()
        return line

    def read_metrics(self) -> list[dict[str, list[float]]]:
        """Of each set of metrics since it was last read, the values by name."""
        found = []
        for line in _parse(self.read()):
            if "_aws" in line:
                (definition,) = line["_aws"]["CloudWatchMetrics"]
                assert definition["Namespace"] == METRICS_NAMESPACE
                assert definition["Dimensions"] == [["service"]]
                found.append({each["Name"]: line[each["Name"]] for each in definition["Metrics"]})
        return found


class _StandardOutput:
    def write(self, text: str) -> None:
        sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


def _parse(text: str) -> list[dict[str, Any]]:
    # CloudWatch, too, ends a line at "\n" alone.
    return [json.loads(line) for line in text.split("\n") if line]
