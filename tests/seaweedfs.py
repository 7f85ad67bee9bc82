"""SeaweedFS, another S3 server, as a process on the loopback: one for all tests of a worker."""

import json
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from quilt_packager.local import processes
from tests.conftest import CREDENTIALS

HOST = "127.0.0.1"
START_SECONDS = 60
PARTS = ("master", "volume", "filer", "s3")


class SeaweedFS:
    """A running server.

    Attributes:
        url: Its S3 endpoint.
    """

    def __init__(self, directory: Path) -> None:
        names = [f"{part}.port{suffix}" for part in PARTS for suffix in ("", ".grpc")]
        ports = dict(zip(names, _free_ports(len(names)), strict=True))
        identity = {
            "accessKey": CREDENTIALS["AWS_ACCESS_KEY_ID"],
            "secretKey": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        }
        config = directory / "s3.json"
        config.write_text(
            json.dumps(
                {"identities": [{"name": "tests", "credentials": [identity], "actions": ["Admin"]}]}
            )
        )
        self.url = f"http://{HOST}:{ports['s3.port']}"
        self._log = directory / "log"
        (directory / "data").mkdir()
        self._process = processes.start(
            [
                Path(sys.executable).with_name("weed"),
                "server",
                f"-dir={directory / 'data'}",
                f"-ip={HOST}",
                f"-ip.bind={HOST}",
                *(f"-{name}={port}" for name, port in ports.items()),
                "-s3",
                f"-s3.config={config}",
                "-s3.iam=false",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                "-master.telemetry=false",
                "-master.volumeSizeLimitMB=64",
                "-volume.max=1000",  # each bucket takes several
            ],
            environment={"HOME": str(directory)},
            directory=directory,
            log_path=self._log,
        )

    def wait(self) -> None:
        """Wait until it serves."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                urllib.request.urlopen(self.url)  # noqa: S310 - the loopback
            except urllib.error.HTTPError:
                return  # it refuses requests without a signature
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"SeaweedFS did not start:\n{processes.last_lines(self._log)}")

    def stop(self) -> None:
        """End it at once: its data are not needed any more."""
        processes.stop(self._process, grace_seconds=0)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    server = SeaweedFS(tmp_path_factory.mktemp("seaweedfs"))
    try:
        server.wait()
        yield server
    finally:
        server.stop()
