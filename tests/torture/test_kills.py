"""A job whose process dies anywhere ends as if it had not, after the redelivery."""

import pytest

from tests.torture.kills import SHAPES, check_all


@pytest.mark.parametrize("name", SHAPES)
def test_a_death_at_any_point_leaves_the_state_of_a_clean_run(name: str) -> None:
    assert check_all(name)["runs"] > 10
