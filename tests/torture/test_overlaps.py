"""Overlapping jobs with the latencies of S3 leave the source as the newest revision."""

import pytest

from tests.torture.overlaps import SCENARIOS, run, run_all

TRIALS = 12
"""`make torture` runs a thousand."""

EQUAL = "equal messages"


def count_created(name: str) -> int:
    """Run a scenario whose trials leave the source as the newest revision."""
    figures = run_all(name, trials=TRIALS)
    assert figures["newest pointer is not latest"] == 0
    assert figures["latest is stale"] == 0
    return figures["created"]


@pytest.mark.parametrize("name", [each for each in SCENARIOS if each != EQUAL])
def test_overlapping_jobs_leave_the_source_as_the_newest_revision(name: str) -> None:
    assert count_created(name) >= TRIALS


def test_equal_messages_create_one_revision() -> None:
    assert count_created(EQUAL) == TRIALS


def test_a_trial_can_be_repeated() -> None:
    assert run("changed back", 7) == run("changed back", 7)
