"""The flag for custom rules: a JSON file of rules for the stack, without CDK code."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from quilt_packager.guardrails.limits import EventBusName


class CustomRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule of the file.

    Attributes:
        id: Name of the source, and of its rule.
        pattern: The event pattern, in EventBridge's own JSON.
        message: Message for an event, with `<$.detail.…>` for a value of the event. None: the whole
            event.
        event_bus: Name of the events' bus. None: the account's default bus.
        enabled: Send events to the queue.
    """

    id: Annotated[str, Meta(pattern="^[A-Za-z][A-Za-z0-9]{0,63}$")]
    pattern: Annotated[dict[str, object], Meta(min_length=1)]
    message: dict[str, object] | None = None
    event_bus: EventBusName | None = None
    enabled: bool = True


def read_custom_rules(path: str, *, reserved: Collection[str] = ()) -> list[CustomRule]:
    """Read a file of rules.

    Args:
        path: The file, relative to the current directory; empty: no rules.
        reserved: The names of sources that are no custom rules.

    Raises:
        ValueError: It cannot be read, or is not a list of rules with ids of their own.
    """
    if not path:
        return []
    try:
        rules = msgspec.json.decode(Path(path).read_bytes(), type=list[CustomRule])
    except (OSError, msgspec.DecodeError) as error:
        raise ValueError(str(error)) from error
    ids = [rule.id for rule in rules]
    repeated = sorted({name for name in ids if ids.count(name) > 1})
    if repeated:
        raise ValueError(f"several rules have the id {', '.join(repeated)}")
    taken = sorted({*ids} & {*reserved})
    if taken:
        raise ValueError(
            f"rules have ids that are names of sources with flags of their own: {', '.join(taken)}"
        )
    return rules
