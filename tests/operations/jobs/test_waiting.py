"""A job that waits for files: the engine looks at once, or ends the wait."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from quilt_packager_runtime.requests.sources import MessageSource
from quilt_packager_runtime.settings import Settings
from quilt_packager_runtime.settings.source_options import SourceOptions

from quilt_packager.operations.errors import NotWaiting
from quilt_packager.operations.jobs.job import Job, Progress, State
from quilt_packager.operations.jobs.waiting import announcement_for, stop_waiting

NOW = datetime.now(UTC)
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:LargeJobs"


def make_waiting(**facts: Any) -> Job:
    known: dict[str, Any] = {
        "outcome": State.RUNNING,
        "progress": Progress("waiting", 0),
        "execution": "a1",
        "source": "s3://raw/runs/4%202/",
        "registry": "raw",
        "package_name": "runs/4-2",
        **facts,
    }
    return Job(id="a1", started=NOW, updated=NOW, **known)


def test_announcement_names_the_folder() -> None:
    body = announcement_for(
        make_waiting(source="s3://raw/runs/42/", package_name="runs/42"), Settings()
    )
    assert body is not None
    assert json.loads(body) == {
        "source": "quilt.packager.uploads",
        "detail-type": "package-objects-ready",
        "detail": {"bucket": "raw", "prefix": "runs/42/"},
    }


@pytest.mark.parametrize(
    ("facts", "settings"),
    [
        ({"package_name": "other/name"}, Settings()),
        ({"package_name": None}, Settings()),
        ({"registry": "packages"}, Settings()),
        ({"sources": (MessageSource("s3://raw/runs/42/"),)}, Settings()),
        ({"source": None}, Settings()),
        ({}, Settings(sources=(SourceOptions(kind="objects_ready", require=("crate",)),))),
        ({}, Settings(default_registry="packages")),
    ],
)
def test_no_announcement_is_made_that_would_make_another_package(
    facts: dict[str, Any], settings: Settings
) -> None:
    known = {"source": "s3://raw/runs/42/", "package_name": "runs/42", **facts}
    assert announcement_for(make_waiting(**known), settings) is None


class States:
    """Stand in for an engine and its client of Step Functions."""

    state_machine_arn: str | None = MACHINE

    def __init__(self) -> None:
        self.stopped: list[str] = []

    @property
    def states(self) -> "States":
        return self

    def stop_execution(self, *, executionArn: str, cause: str) -> None:  # noqa: N803 - as boto3
        assert cause
        self.stopped.append(executionArn)


def test_wait_ends_with_its_execution() -> None:
    states: Any = States()
    stop_waiting(states, make_waiting())
    assert states.stopped == ["arn:aws:states:us-east-1:123456789012:execution:LargeJobs:a1"]


@pytest.mark.parametrize(
    "facts",
    [
        {"outcome": State.CREATED},
        {"progress": Progress("checksums", 1, 2)},
        {"progress": None},
        {"execution": None},
    ],
)
def test_job_that_does_not_wait_is_not_stopped(facts: dict[str, Any]) -> None:
    states: Any = States()
    with pytest.raises(NotWaiting):
        stop_waiting(states, make_waiting(**facts))
    assert not states.stopped
