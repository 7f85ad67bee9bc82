"""Serves the page on this machine, only to browsers that open its address."""

import socket
import threading
from collections.abc import Callable
from typing import NamedTuple

import uvicorn

from quilt_packager.admin.app import ALLOWED_WHEN_READ_ONLY, make_app
from quilt_packager.admin.model.views import Views
from quilt_packager.admin.web.rendering import EngineIdentity
from quilt_packager.admin.web.security import Access
from quilt_packager.operations.deployment.deployments import Deployment
from quilt_packager.operations.errors import LookupFailed
from quilt_packager.operations.plans.planning_process import end_plans

LOOPBACK = "127.0.0.1"
"""The only address: a client of the page acts with its user's credentials."""

GRACE_SECONDS = 1
"""Time that running requests are given when the command ends."""


class PortTaken(LookupFailed):
    """Another program listens on the port."""


class Address(NamedTuple):
    """The addresses of the page.

    Attributes:
        url: Address for the user; it works in any number of browsers.
        url_once: Address that the command starts a browser with; it works once.
    """

    url: str
    url_once: str


def serve(
    deployment: Deployment,
    *,
    on_ready: Callable[[Address], object],
    port: int = 0,
    read_only: bool = False,
) -> None:
    """Serve the page until Ctrl-C.

    Args:
        deployment: The engine.
        on_ready: Called with the page's addresses as soon as it answers.
        port: Port to listen on; 0 for any free port.
        read_only: Refuse all forms that change something in AWS.

    Raises:
        PortTaken: Another program listens on the port.
    """
    with listen(port) as listener:
        port = listener.getsockname()[1]
        access = Access(port, read_only=read_only, allowed_when_read_only=ALLOWED_WHEN_READ_ONLY)
        engine = EngineIdentity(deployment.name, deployment.region, deployment.account)
        views = Views(deployment)
        # Only the footer of a page shows it, so no page waits for it.
        threading.Thread(target=views.find_identity, daemon=True).start()
        root = f"http://{LOOPBACK}:{port}/?token="
        address = Address(root + access.start_token, root + access.make_token())
        config = uvicorn.Config(
            make_app(views, engine, access),
            # The access log would contain the token.
            access_log=False,
            log_level="warning",
            lifespan="off",
            ws="none",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        _Server(config, lambda: on_ready(address)).run(sockets=[listener])


def listen(port: int) -> socket.socket:
    """Listen on a port of this machine; 0 for any free port."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Connections of a page that has just ended may linger.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"The page cannot listen on port {port}.",
            why=f"{error.strerror or error}.",
            remedy="Omit --port to use any free port, or choose another port.",
        ) from error
    return listener


class _Server(uvicorn.Server):
    """Calls back as soon as it answers, and ends running plans when it ends."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        end_plans()
        await super().shutdown(sockets)
