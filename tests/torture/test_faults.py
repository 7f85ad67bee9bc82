"""A job with a fault ends as a clean run after its redeliveries, or with a documented code."""

from tests.torture.faults import FAULTS, SERVICES, check_each, check_services

EVERY = 31
"""A prime, so that the cells are of every job, request and fault; `make torture` runs all."""


def test_each_fault_ends_as_a_clean_run_or_with_a_documented_code() -> None:
    outcomes = check_each(every=EVERY)
    assert outcomes["clean run"] > len(FAULTS)
    assert len(outcomes) > 5


def test_each_failure_of_another_service_ends_as_a_clean_run() -> None:
    assert check_services().keys() == SERVICES
