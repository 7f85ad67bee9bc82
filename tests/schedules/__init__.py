"""Every schedule of several jobs on one S3: the real code, stopped before each of its requests.

The explorer chooses which job proceeds, crashes or loses a reply, and when the source changes. It
visits each distinguishable state once. A job is a function of its memory, so its next step is run
once for each memory, and looked up afterwards.
"""

from tests.schedules.explorer import Scenario, explore
from tests.schedules.jobs import Jobs
from tests.schedules.states import REGISTRY, SOURCE, Registry, State, Stored

__all__ = ["REGISTRY", "SOURCE", "Jobs", "Registry", "Scenario", "State", "Stored", "explore"]
