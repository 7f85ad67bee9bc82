"""The stub as a process of its own, so that a benchmark does not share its CPU."""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self
from urllib.request import urlopen

import msgspec
import uvloop

from tests.s3_stub.protocol import Refusal, Request, Response
from tests.s3_stub.server import listen, url_of
from tests.s3_stub.service import Service
from tests.s3_stub.store import Versioning
from tests.s3_stub.synthetic import create_synthetic_bucket

CONTROL = "-"
"""No bucket can have this name: requests to it steer the stub."""


class Usage(msgspec.Struct, frozen=True):
    """What a stub did since it was reset.

    Attributes:
        counts: Requests by operation.
        cpu_seconds: What they cost the stub itself.
    """

    counts: dict[str, int]
    cpu_seconds: float


class ControlledService(Service):
    """A service that takes orders by HTTP: `/-/usage` and `/-/reset`, which forgets no object."""

    def __init__(self) -> None:
        super().__init__()
        self.keeps_requests = False
        self._started_seconds = time.process_time()

    def receive(self, request: Request, data: bytes) -> None:
        """Count all but orders."""
        if request.bucket != CONTROL:
            super().receive(request, data)

    def apply(self, request: Request, data: bytes) -> Response:
        """Take an order, or do what S3 would."""
        if request.bucket != CONTROL:
            return super().apply(request, data)
        if request.key not in ("usage", "reset"):
            return Refusal(404, "NoSuchOrder").to_response()
        usage = Usage(dict(self.counts), time.process_time() - self._started_seconds)
        if request.key == "reset":
            self.counts.clear()
            self._started_seconds = time.process_time()
        return Response(200, {"Content-Type": "application/json"}, msgspec.json.encode(usage))


class StubProcess:
    """Starts the stub as a process, and stops it. Use it as a context manager.

    Args:
        arguments: Of the command: see `python -m tests.s3_stub --help`.

    Attributes:
        url: Its endpoint.
    """

    def __init__(self, *arguments: str) -> None:
        self.url = ""
        self._arguments = arguments

    def __enter__(self) -> Self:
        """Start, and wait until it listens."""
        command = [sys.executable, "-m", "tests.s3_stub", *self._arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            with self._process:
                raise RuntimeError(f"the stub ended with {self._process.wait()}")
        self.url = line.strip()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop it."""
        self._process.terminate()
        with self._process:
            pass

    def usage(self) -> Usage:
        """What it did since it was reset."""
        return self._order("usage")

    def reset(self) -> Usage:
        """Begin to count anew, and tell what was done before. The buckets stay."""
        return self._order("reset")

    def _order(self, order: str) -> Usage:
        with urlopen(f"{self.url}/{CONTROL}/{order}") as response:  # noqa: S310 - the loopback
            return msgspec.convert(json.load(response), Usage)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(prog="python -m tests.s3_stub", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="added to each answer")
    parser.add_argument(
        "--bucket",
        action="append",
        default=[],
        metavar="NAME[,unversioned]",
        help="an empty bucket; can be repeated",
    )
    parser.add_argument(
        "--synthetic",
        action="append",
        default=[],
        metavar="NAME=N[,OPTION…]",
        help="a bucket of N generated objects data/d00000/f000.csv and on; options: sha256, "
        "crc64nvme (stored checksums), unversioned, v3 (versions of each key), size=BYTES and "
        "then part=BYTES; can be repeated",
    )
    options = parser.parse_args(arguments)
    service = ControlledService()
    service.latency_seconds = options.latency_ms / 1000
    for text in options.bucket:
        name, _, option = text.partition(",")
        versioning = Versioning.OFF if option == "unversioned" else Versioning.ENABLED
        service.store.create_bucket(name, versioning=versioning)
    for text in options.synthetic:
        try:
            create_synthetic_bucket(service.store, text)
        except ValueError as error:
            parser.error(str(error))
    uvloop.run(_serve(service, options.port))


async def _serve(service: Service, port: int) -> None:
    server = await listen(service, port)
    sys.stdout.write(url_of(server) + "\n")
    sys.stdout.flush()
    async with server:
        await asyncio.Event().wait()
