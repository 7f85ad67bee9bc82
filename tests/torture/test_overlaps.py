"""Overlapping jobs with the latencies of S3 leave the source as the newest revision."""

import pytest

from tests.torture.overlaps import SCENARIOS, run, run_all

TRIALS = 25


@pytest.mark.parametrize("name", SCENARIOS)
def test_overlapping_jobs_leave_the_source_as_the_newest_revision(name: str) -> None:
    figures = run_all(name, trials=TRIALS)
    assert figures["created"] >= TRIALS
    assert figures["newest pointer is not latest"] == 0
    assert figures["latest is stale"] == 0


def test_equal_messages_create_one_revision() -> None:
    assert run_all("equal messages", trials=TRIALS)["created"] == TRIALS


def test_a_trial_can_be_repeated() -> None:
    assert run("changed back", 7) == run("changed back", 7)
