"""Hostile inputs end as packages, documented rejections or ignored events."""

import pytest

from tests.torture.fuzz import INPUTS, fuzz

EXAMPLES = 40


@pytest.mark.parametrize("name", INPUTS)
def test_each_input_is_packaged_rejected_or_ignored(name: str) -> None:
    outcomes = fuzz(name, examples=EXAMPLES, number=1)
    assert outcomes["package"]
    assert len(outcomes) > 1
