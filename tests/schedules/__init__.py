"""Every schedule of several jobs on one S3: the real code, stopped before each of its requests.

Which job goes on, crashes or loses a reply, and when the source changes, is for the explorer to
choose. It visits each state that can be told apart once. A job is a function of what it remembers,
so what it does next is run once for each memory, and looked up whenever that comes again.
"""

from tests.schedules.explorer import Scenario, explore
from tests.schedules.jobs import Jobs
from tests.schedules.states import REGISTRY, SOURCE, State

__all__ = ["REGISTRY", "SOURCE", "Jobs", "Scenario", "State", "explore"]
