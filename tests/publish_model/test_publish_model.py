"""The publish protocol holds in the model, and needs each of its rules."""

from dataclasses import replace

import pytest

from tests.publish_model import ABLATIONS, HOLDS, SCENARIOS, Protocol, check


@pytest.mark.parametrize("name", SCENARIOS)
def test_protocol_holds_in_every_interleaving(name: str) -> None:
    # Without crashes and clock ticks: `python -m tests.publish_model` explores these too.
    scenario = replace(SCENARIOS[name], crashes=0, ticks=0)
    result = check(HOLDS, scenario)
    assert result.faults == {}
    assert not result.endless
    assert result.states > 100


@pytest.mark.parametrize(("protocol", "name", "fault"), ABLATIONS.values(), ids=ABLATIONS)
def test_each_rule_prevents_a_fault(protocol: Protocol, name: str, fault: str) -> None:
    scenario = replace(SCENARIOS[name], ticks=0)
    assert fault in check(protocol, scenario, most=20_000).faults
