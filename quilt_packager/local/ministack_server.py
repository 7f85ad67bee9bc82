"""MiniStack and one thing more: it sends HealthOmics's events, which it does not emulate.

PutEvents refuses every source of AWS's own, as AWS does, and has no HealthOmics to send such
events. Run as a module in MiniStack's stead.
"""

from collections.abc import Mapping
from typing import Any

from ministack import app
from ministack.services import eventbridge

OMICS_SOURCE = "aws.omics"

_put_events = eventbridge._put_events  # noqa: SLF001 - there is no other way in


def put_events(data: Mapping[str, Any]) -> Any:  # noqa: ANN401 - MiniStack's own answer
    """Put events on their buses, those of HealthOmics included.

    Args:
        data: The request of PutEvents.
    """
    sources = {entry.get("Source") for entry in data.get("Entries", [])}
    return _put_events(data, allow_aws_source=sources == {OMICS_SOURCE})


if __name__ == "__main__":
    eventbridge._put_events = put_events  # noqa: SLF001
    app.main()
