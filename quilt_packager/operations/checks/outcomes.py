"""Checks the event bus that receives the outcomes of jobs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from quilt_packager.operations.checks.finding import Finding, ok, wrong

if TYPE_CHECKING:
    from quilt_packager.operations.checks.inspection import Inspection


def check_outcome_bus(engine: "Inspection", bus: str) -> Iterator[Finding]:
    """Check that the bus exists: otherwise every job fails."""
    name, client = bus.rpartition("/")[2], engine.deployment.events
    is_ours = f":{engine.deployment.account}:" in bus
    try:
        client.describe_event_bus(Name=name if is_ours else bus)
    except client.exceptions.ResourceNotFoundException:
        yield wrong(
            name,
            "The event bus of the outcomes does not exist: jobs fail after they have published.",
            f"aws events create-event-bus --name {name}",
        )
    else:
        yield ok(name, "The event bus of the outcomes exists.")
