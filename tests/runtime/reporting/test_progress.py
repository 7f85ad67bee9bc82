"""Progress is reported at each change of phase, and once per interval."""

import pytest
from quilt_packager_runtime.reporting.progress import ProgressThrottle

Steps = list[tuple[str, int, int | None]]


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def reported() -> Steps:
    return []


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def on_progress(reported: Steps, clock: Clock) -> ProgressThrottle:
    return ProgressThrottle(lambda *step: reported.append(step), clock=clock, interval_seconds=10)


def test_each_change_of_phase_is_reported(on_progress: ProgressThrottle, reported: Steps) -> None:
    steps: Steps = [("listing", 0, None), ("checksums", 1, 9), ("publishing", 9, 9)]
    for step in [*steps, *steps]:  # a job that lost a race begins again
        on_progress(*step)
    assert reported == [*steps, *steps]


def test_a_million_steps_in_one_moment_are_reported_once(
    on_progress: ProgressThrottle, reported: Steps
) -> None:
    for done in range(1_000_000):
        on_progress("checksums", done, 1_000_000)
    assert reported == [("checksums", 0, 1_000_000)]


def test_a_step_is_reported_once_per_interval(
    on_progress: ProgressThrottle, reported: Steps, clock: Clock
) -> None:
    for second in range(25):
        clock.seconds = 100 + second
        on_progress("checksums", second, None)
    assert [done for _, done, _ in reported] == [0, 10, 20]


def test_a_change_of_phase_starts_an_interval(
    on_progress: ProgressThrottle, reported: Steps, clock: Clock
) -> None:
    on_progress("listing", 0, None)
    clock.seconds += 9
    on_progress("checksums", 1, 9)
    clock.seconds += 9
    on_progress("checksums", 2, 9)
    assert [done for _, done, _ in reported] == [0, 1]
