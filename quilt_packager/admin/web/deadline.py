"""One deadline for all that a page requests from AWS."""

import time

from starlette.types import ASGIApp, Receive, Scope, Send

from quilt_packager.admin.model.caching import DEADLINE_SECONDS, PAGE_DEADLINE


class OneDeadline:
    """Gives each request of a browser a deadline, however many requests to AWS it makes.

    Args:
        app: The page.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        PAGE_DEADLINE.set(time.monotonic() + DEADLINE_SECONDS)
        await self._app(scope, receive, send)
