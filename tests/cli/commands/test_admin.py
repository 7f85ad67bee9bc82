"""`quilt-packager admin`: the page is served until Ctrl-C, to browsers with its address."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import urlencode

import pytest

from quilt_packager.admin.server import LOOPBACK
from quilt_packager.cli.commands.admin import has_desktop
from quilt_packager.operations.deployment.deployments import Deployment
from tests.cli.conftest import Cli
from tests.running import children_of
from tests.s3_stub import S3Stub

COMMAND = [sys.executable, "-m", "quilt_packager.cli", "admin", "--json"]


WORKFLOWS = """
version: "1"
workflows:
  slow:
    name: Slow
    handle_pattern: ^(a+)+$
default_workflow: slow
"""


@pytest.fixture
def page(deployment: Deployment, s3_stub: S3Stub) -> Iterator[subprocess.Popen[str]]:
    """The command, running for an engine in the embedded AWS, with the S3 of a stub."""
    options = ["--stack", deployment.stack_name, "--no-browser", "--read-only"]
    process = subprocess.Popen(
        [*COMMAND, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "AWS_ENDPOINT_URL_S3": s3_stub.url},
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


class Visitor:
    """A browser that is signed in to a page."""

    def __init__(self, page: subprocess.Popen[str]) -> None:
        assert page.stdout is not None
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        url = json.loads(page.stdout.readline())["url"]
        with self._opener.open(url, timeout=20) as shown:
            self._root = shown.url.removesuffix("/jobs")
        self._opener.addheaders = [("Origin", url.partition("/?")[0])]
        form = self.get("/new")
        self._csrf = re.findall(r'name="csrf" value="([^"]+)"', form)[0]

    def get(self, path: str) -> str:
        with self._opener.open(self._root + path, timeout=20) as shown:
            text: str = shown.read().decode()
            return text

    def plan(self, package_name: str) -> str:
        fields = {
            "csrf": self._csrf,
            "source_prefix": "s3://raw/runs/1/",
            "package_name": package_name,
        }
        body = urlencode(fields).encode()
        with self._opener.open(f"{self._root}/new/plan", body, timeout=20) as shown:
            text: str = shown.read().decode()
            return text


@pytest.mark.parametrize("letters", [28, 40])
def test_plan_is_rejected_for_a_pattern_that_takes_years(
    page: subprocess.Popen[str], s3_stub: S3Stub, letters: int
) -> None:
    raw = s3_stub.create_bucket("raw")
    raw.put("runs/1/a.txt", b"a")
    raw.put(".quilt/workflows/config.yml", WORKFLOWS.encode())
    visitor = Visitor(page)
    text = visitor.plan("a" * letters + "/b")
    assert "This would be rejected." in text
    assert "InvalidWorkflowConfig" in text
    assert "patterns such as ^(a+)+$" in text
    assert not children_of(page.pid)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_page_answers_during_a_plan_and_ends_with_it(
    page: subprocess.Popen[str], s3_stub: S3Stub, stop: signal.Signals
) -> None:
    s3_stub.create_bucket("raw").put("runs/1/a.txt", b"a")
    # The page itself lists the folder first, to recognize its kind.
    pause = s3_stub.on("ListObjectVersions", nth=2).pause_before()
    visitor = Visitor(page)
    with ThreadPoolExecutor(1) as threads:
        planned = threads.submit(visitor.plan, "a/b")
        pause.wait()
        assert "<title>" in visitor.get("/new")
        (child,) = children_of(page.pid)
        page.send_signal(stop)
        assert page.wait(20) == (0 if stop is signal.SIGINT else -stop)
        with suppress(OSError):
            planned.result()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert page.stderr is not None
    assert "Traceback" not in page.stderr.read()
