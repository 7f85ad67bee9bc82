"""The scheduled audit: a cursor in, and the cursor of the next invocation out."""

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec

from quilt_packager_runtime.auditing.scheduled_audit import Cursor, ScheduledAudit
from quilt_packager_runtime.handlers import invocations

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

SHARE_OF_TIME = 0.5
"""Share of an invocation after which nothing is begun: a manifest or a block may take minutes."""


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Audit packages from a cursor on.

    Returns:
        `done`, and the `cursor` of the next invocation.
    """
    cursor = msgspec.convert(event.get("cursor", {}), Cursor)
    started = time.monotonic()
    until = started + SHARE_OF_TIME * (invocations.deadline_of(context) - started)
    audit = ScheduledAudit(invocations.connect(), invocations.load_settings(), until=until)
    following = asyncio.run(audit.run(cursor))
    return {"done": following is None, "cursor": msgspec.to_builtins(following or Cursor())}
