"""Progress is told at each change of phase, and seldom between."""

import pytest
from quilt_packager_runtime.reporting.progress import ProgressThrottle

Told = list[tuple[str, int, int | None]]


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(told: Told, clock: Clock) -> ProgressThrottle:
    return ProgressThrottle(lambda *step: told.append(step), clock=clock, interval_seconds=10)


def test_each_change_of_phase_is_told(pace: ProgressThrottle, told: Told) -> None:
    steps: Told = [("listing", 0, None), ("checksums", 1, 9), ("publishing", 9, 9)]
    for step in [*steps, *steps]:  # a job that lost a race begins again
        pace(*step)
    assert told == [*steps, *steps]


def test_a_million_steps_of_a_moment_are_one(pace: ProgressThrottle, told: Told) -> None:
    for done in range(1_000_000):
        pace("checksums", done, 1_000_000)
    assert told == [("checksums", 0, 1_000_000)]


def test_one_is_told_when_the_silence_is_over(
    pace: ProgressThrottle, told: Told, clock: Clock
) -> None:
    for second in range(25):
        clock.seconds = 100 + second
        pace("checksums", second, None)
    assert [done for _, done, _ in told] == [0, 10, 20]


def test_a_change_of_phase_begins_a_silence(
    pace: ProgressThrottle, told: Told, clock: Clock
) -> None:
    pace("listing", 0, None)
    clock.seconds += 9
    pace("checksums", 1, 9)
    clock.seconds += 9
    pace("checksums", 2, 9)
    assert [done for _, done, _ in told] == [0, 1]
