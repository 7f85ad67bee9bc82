"""Overlapping jobs with the latencies of S3 leave whole revisions, and each message ends."""

import pytest

from tests.torture.overlaps import SCENARIOS, run, run_all

TRIALS = 25


@pytest.mark.parametrize("name", SCENARIOS)
def test_overlapping_jobs_leave_whole_revisions(name: str) -> None:
    figures = run_all(name, trials=TRIALS)
    assert figures["created"] >= TRIALS
    assert figures["newest pointer is not latest"] == 0


def test_a_trial_can_be_repeated() -> None:
    assert run("changed back", 7) == run("changed back", 7)
