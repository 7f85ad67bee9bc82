"""An AWS of this process's own: MiniStack on 127.0.0.1 and a free port, gone when we are.

What MiniStack needs to be told, so that it touches nothing but its own directory, stands here.
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
        directory: Where its log, and everything it writes, goes. Not removed.

    Attributes:
        endpoint_url: Where every AWS service answers.
        log_path: What it logs, the output of Lambda functions included.
    """

    def __init__(self, directory: Path) -> None:
        """Nothing runs before `start`."""
        super().__init__(directory, directory / "ministack.log")
        self.endpoint_url = ""

    def start(self) -> None:
        """Start it on a free port, and return when it answers.

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
            # Someone else may have taken the port between our look and its bind.
            self.stop()
            if attempt == PORT_ATTEMPTS or "already in use" not in self.log():
                break
        raise LocalError(
            "MiniStack, the embedded AWS, did not start.",
            why=f"It ended, or did not answer on {self.endpoint_url} in {READY_SECONDS:.0f} s.",
            remedy="Its last lines, above, tell more.",
            log=self.log(),
        )

    def client_settings(self) -> dict[str, str]:
        """The environment variables that send an AWS client here."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            # MiniStack takes a key of twelve digits for the account.
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }

    def client_environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """A whole environment whose AWS clients talk to this AWS, and to no other.

        Args:
            environment: The environment to start from. Its AWS settings are left out, and
                with them every profile, endpoint and credential of the user's.
        """
        return {
            **{name: value for name, value in environment.items() if not _is_of_aws(name)},
            **self.client_settings(),
            "AWS_CONFIG_FILE": str(self.directory / "no-aws-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.directory / "no-aws-credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
            **_without_proxy(environment),
        }

    @contextlib.contextmanager
    def as_only_aws(self) -> Iterator[None]:
        """Let the AWS clients of this process, made meanwhile, know no other AWS."""
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
                # What answered may be another's server, that was faster to take the port.
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
            # Lambda's code and every other file of its own, so that nothing outlives us.
            "TMPDIR": str(scratch),
            "STATE_DIR": str(self.directory / "state"),
            "S3_DATA_DIR": str(self.directory / "s3"),
            # It listens on every interface unless told.
            "BIND_HOST": HOST,
            "MINISTACK_HOST": HOST,
            "GATEWAY_PORT": str(port),
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_REGION": REGION,
            # Listeners on fixed ports that nobody here uses.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            # At its start it removes containers that it takes for its own: no daemon, no harm.
            "DOCKER_HOST": f"unix://{self.directory / 'no-docker'}",
        }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _open(url: str) -> None:
    # No proxy: the address is this machine's.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=1):
        pass


def _replace_environment(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


def _is_of_aws(name: str) -> bool:
    return name.startswith(("AWS_", "BOTO_"))


def _without_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """Add this machine to the hosts that no proxy stands before."""
    return {
        name: ",".join(filter(None, [environment.get(name), HOST, "localhost"]))
        for name in ("NO_PROXY", "no_proxy")
    }
