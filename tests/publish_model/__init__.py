"""A model checker of publishing: all interleavings of jobs, changes, expiries and crashes.

`python -m tests.publish_model` explores every scenario at its full size and prints the states.
"""

from tests.publish_model.model import ABLATIONS, HOLDS, SCENARIOS, Protocol, Result, Scenario, check

__all__ = ["ABLATIONS", "HOLDS", "SCENARIOS", "Protocol", "Result", "Scenario", "check"]
