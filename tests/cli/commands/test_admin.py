"""`quilt-packager admin`: the page is served until Ctrl-C, to browsers with its address."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from quilt_packager.admin.server import LOOPBACK
from quilt_packager.cli.commands.admin import has_desktop
from quilt_packager.operations.deployment.deployments import Deployment
from tests.cli.conftest import Cli

COMMAND = [sys.executable, "-m", "quilt_packager.cli", "admin", "--json"]


@pytest.fixture
def page(deployment: Deployment) -> Iterator[subprocess.Popen[str]]:
    """The command, running for an engine in the embedded AWS."""
    options = ["--stack", deployment.stack_name, "--no-browser", "--read-only"]
    process = subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        yield process
        process.kill()


def test_page_is_open_to_its_address_until_ctrl_c(page: subprocess.Popen[str]) -> None:
    assert page.stdout is not None
    assert page.stderr is not None
    printed = json.loads(page.stdout.readline())
    assert printed["stack"] == "lab"
    root, _, token = printed["url"].partition("/?token=")
    assert root.startswith(f"http://{LOOPBACK}:")
    assert len(token) > 40
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    shown = browser.open(printed["url"], timeout=20)
    assert re.fullmatch(rf"{root}/[\w-]{{20,}}/jobs", shown.url)
    text = shown.read().decode()
    assert "Read only" in text
    assert token not in text
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.build_opener().open(shown.url, timeout=20)
    page.send_signal(signal.SIGINT)
    assert page.wait(20) == 0
    assert page.stderr.read() == "Serving the page of lab. Press Ctrl-C to stop.\nStopped.\n"


def test_occupied_port_is_an_error(cli: Cli, deployment: Deployment) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        ran = cli("admin", "--no-browser", "--stack", deployment.stack_name, "--port", str(port))
    assert ran.code == 3
    assert ran.err.startswith(f"error: The page cannot listen on port {port}.\n")


def test_invalid_port_is_wrong_usage(cli: Cli) -> None:
    assert cli("admin", "--port", "65536").code == 3


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have a desktop")
def test_browser_is_opened_only_on_a_desktop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not has_desktop()
    monkeypatch.setenv("DISPLAY", ":0")
    assert has_desktop()
