"""An embedded AWS for this process: MiniStack on 127.0.0.1 and a free port.

Its settings confine it to its own directory.
"""

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from quilt_packager.local.errors import LocalError, MissingExtra
from quilt_packager.local.server import Server

HOST = "127.0.0.1"
ACCOUNT = "123456789012"
REGION = "us-east-1"

READY_SECONDS = 30.0
POLL_SECONDS = 0.05
PORT_ATTEMPTS = 3


class MiniStack(Server):
    """A running embedded AWS.

    Args:
        directory: Folder for its log and all of its files. The caller removes it.

    Attributes:
        endpoint_url: Endpoint of every AWS service.
        log_path: Its log, including the output of Lambda functions.
    """

    def __init__(self, directory: Path) -> None:
        """Prepare the server. `start` starts it."""
        super().__init__(directory, directory / "ministack.log")
        self.endpoint_url = ""

    def start(self) -> None:
        """Start it on a free port, and return when it responds.

        Raises:
            MissingExtra: MiniStack is not installed.
            LocalError: It did not start.
        """
        if importlib.util.find_spec("ministack") is None:
            raise MissingExtra("local", "ministack")
        for attempt in range(1, PORT_ATTEMPTS + 1):
            port = _free_port()
            self.endpoint_url = f"http://{HOST}:{port}"
            process = self._run(
                [sys.executable, "-m", "quilt_packager.local.ministack_server"],
                self._own_environment(port),
            )
            try:
                if self._wait_until_ready(process):
                    return
            except BaseException:
                self.stop()
                raise
            # Another process may have taken the port between the probe and the bind.
            self.stop()
            if attempt == PORT_ATTEMPTS or "already in use" not in self.log():
                break
        raise LocalError(
            "MiniStack, the embedded AWS, did not start.",
            why=f"It ended, or did not respond on {self.endpoint_url} in {READY_SECONDS:.0f} s.",
            remedy="See its last lines above.",
            log=self.log(),
        )

    def client_settings(self) -> dict[str, str]:
        """Return the variables that direct an AWS client here."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            # MiniStack uses a key of twelve digits as the account.
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }

    def client_environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return an environment whose AWS clients use this AWS only.

        Args:
            environment: The environment to start from. Its AWS settings are left out, including
                every profile, endpoint and credential of the user.
        """
        return {
            **{name: value for name, value in environment.items() if not _is_aws_setting(name)},
            **self.client_settings(),
            "AWS_CONFIG_FILE": str(self.directory / "no-aws-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.directory / "no-aws-credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
            **_without_proxy(environment),
        }

    @contextlib.contextmanager
    def as_only_aws(self) -> Iterator[None]:
        """Direct the AWS clients that this process creates in the block to this AWS only."""
        saved = dict(os.environ)
        _replace_environment(self.client_environment(saved))
        try:
            yield
        finally:
            _replace_environment(saved)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + READY_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            try:
                _open(f"{self.endpoint_url}/_ministack/ready")
            except OSError:
                time.sleep(POLL_SECONDS)
            else:
                # Another server may have taken the port and responded.
                return process.poll() is None
        return False

    def _own_environment(self, port: int) -> dict[str, str]:
        home, scratch = self.directory / "home", self.directory / "tmp"
        home.mkdir(exist_ok=True)
        scratch.mkdir(exist_ok=True)
        return {
            **self.client_settings(),
            "PATH": os.defpath,
            "HOME": str(home),
            "LANG": "C.UTF-8",
            # Holds Lambda's code and all other files, so that nothing is left behind.
            "TMPDIR": str(scratch),
            "STATE_DIR": str(self.directory / "state"),
            "S3_DATA_DIR": str(self.directory / "s3"),
            # By default it listens on every interface.
            "BIND_HOST": HOST,
            "MINISTACK_HOST": HOST,
            "GATEWAY_PORT": str(port),
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_REGION": REGION,
            # Unused listeners on fixed ports.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            # On start it removes containers that look like its own. Without a daemon it cannot.
            "DOCKER_HOST": f"unix://{self.directory / 'no-docker'}",
        }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _open(url: str) -> None:
    # The address is local: no proxy.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=1):
        pass


def _replace_environment(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


def _is_aws_setting(name: str) -> bool:
    return name.startswith(("AWS_", "BOTO_"))


def _without_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """Add this machine to the hosts that bypass a proxy."""
    return {
        name: ",".join(filter(None, [environment.get(name), HOST, "localhost"]))
        for name in ("NO_PROXY", "no_proxy")
    }
