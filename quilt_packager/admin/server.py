"""Serves the page on this machine, to nobody but the browser that is given its address."""

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

LOOPBACK = "127.0.0.1"
"""Never another address: who can reach the page can use its user's credentials."""

GRACE_SECONDS = 1
"""How long requests may last once the command is to end."""


class PortTaken(LookupFailed):
    """Another program listens at the port."""


class Address(NamedTuple):
    """Where the page is.

    Attributes:
        url: For a person, who may open it in as many browsers as they like.
        url_once: For a browser that is started with it: it works once.
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
        on_ready: Told where the page is, as soon as it answers.
        port: The port; 0: any that is free.
        read_only: Whether to refuse all that changes something.

    Raises:
        PortTaken: Something else listens there.
    """
    with listen(port) as listener:
        port = listener.getsockname()[1]
        access = Access(port, read_only=read_only, harmless=ALLOWED_WHEN_READ_ONLY)
        place = EngineIdentity(deployment.name, deployment.region, deployment.account)
        views = Views(deployment)
        # It is told at the foot of a page: none waits for it.
        threading.Thread(target=views.find_identity, daemon=True).start()
        root = f"http://{LOOPBACK}:{port}/?token="
        address = Address(root + access.start_token, root + access.make_token())
        config = uvicorn.Config(
            make_app(views, place, access),
            # Its log would hold the token.
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
    """Take a port of this machine.

    Args:
        port: The port; 0: any that is free.

    Raises:
        PortTaken: Something else has it.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # A page that ended a moment ago still has connections that linger.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"The page cannot listen at port {port}.",
            why=f"{error.strerror or error}.",
            remedy="Leave --port out to take any that is free, or name another.",
        ) from error
    return listener


class _Server(uvicorn.Server):
    """Tells when it answers."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()
