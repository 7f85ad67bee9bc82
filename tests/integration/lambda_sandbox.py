"""Lambda on the loopback: its Runtime API, and what a function's environment has not.

The asset runs under AWS's own runtime interface client, with the Python of the tests but none of
its packages. Where the kernel lets a user make namespaces, the file system is read-only except for
an empty `/tmp`, and `/dev` has no shared memory; elsewhere the code is read-only for all but root,
and `TMPDIR` stands for `/tmp`. Lambda's limits of CPU, memory and network are not simulated.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from types import TracebackType
from typing import Any, Self

FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:lab"
MAX_OPEN_FILES = 1024
TIMEOUT_SECONDS = 60
POLL_SECONDS = 0.02
CLIENT_MODULES = ("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py")
SANDBOX = """\
set -eu
mount -t tmpfs none /mnt
mkdir /mnt/task /mnt/client /mnt/dev
mount --bind "$1" /mnt/task
mount --bind "$2" /mnt/client
for each in null zero random urandom; do
    : > /mnt/dev/$each
    mount --bind /dev/$each /mnt/dev/$each
done
mount --bind "$3" /tmp
mount --rbind /mnt/dev /dev
for each in /mnt/task /mnt/client /mnt /; do mount -o remount,bind,ro $each; done
"""
LIMITS = f"ulimit -n {MAX_OPEN_FILES}\n"
NAMESPACES = ("unshare", "--user", "--map-root-user", "--mount")


class LambdaFunction:
    """A function in an execution environment of its own, as a context manager.

    Args:
        task: The unpacked asset.
        handler: Name of the handler.
        environment: The variables of the function.
        folder: A folder for the environment's `/tmp`, the client, and the log.

    Attributes:
        tmp: The environment's `/tmp`.
        log: The function's log.
    """

    def __init__(
        self, task: Path, handler: str, environment: Mapping[str, str], folder: Path
    ) -> None:
        self.tmp = folder / "tmp"
        self.log = folder / "log"
        self._api = _RuntimeApi()
        self._task = task
        self._handler = handler
        self._variables = dict(environment)
        self._client = folder / "client"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start the function; it imports its handler meanwhile."""
        self.tmp.mkdir(parents=True)
        self._client.mkdir()
        for name in CLIENT_MODULES:
            found = importlib.util.find_spec(name)
            assert found
            assert found.origin
            origin = Path(found.origin)
            if found.submodule_search_locations:
                shutil.copytree(origin.parent, self._client / name)
            else:
                shutil.copy(origin, self._client)
        self._api.start()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self._task,
                env=self._environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Kill the function, as Lambda does."""
        assert self._process
        self._process.kill()
        self._process.wait()
        self._api.stop()

    def invoke(self, event: object, *, remaining_seconds: float = 900) -> Any:
        """Invoke the function, and return its response.

        Raises:
            AssertionError: It failed.
        """
        self._api.events.put((event, time.time() + remaining_seconds))
        kind, answer = self._api.answers.get(timeout=TIMEOUT_SECONDS)
        assert kind == "response", f"{answer}\n{self.log.read_text()}"
        return answer

    def _command(self) -> list[str]:
        python = [sys.executable, "-S", "-m", "awslambdaric", self._handler]
        if not has_namespaces():
            return ["/bin/sh", "-c", f'{LIMITS}exec "$@"', "sh", *python]
        script = f'{SANDBOX}{LIMITS}cd /mnt/task\nshift 3\nexec "$@"'
        folders = [str(self._task), str(self._client), str(self.tmp)]
        return [*NAMESPACES, "/bin/sh", "-c", script, "sh", *folders, *python]

    def _environment(self) -> dict[str, str]:
        task, client, tmp = (
            ("/mnt/task", "/mnt/client", "/tmp")  # noqa: S108 - Lambda's
            if has_namespaces()
            else (str(self._task), str(self._client), str(self.tmp))
        )
        return {
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "2048",
            "AWS_LAMBDA_FUNCTION_NAME": "lab",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
            "LAMBDA_TASK_ROOT": task,
            "LANG": "en_US.UTF-8",
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{task}:{client}",
            "TZ": ":UTC",
            **({} if has_namespaces() else {"TMPDIR": tmp}),
            **self._variables,
        }


@cache
def has_namespaces() -> bool:
    """Return whether a user can make a read-only file system for a process."""
    if shutil.which("unshare") is None or not Path("/mnt").is_dir():
        return False
    # The tests' Python must not be below what is hidden.
    if any(Path(each).is_relative_to("/tmp") for each in (sys.prefix, sys.base_prefix)):  # noqa: S108
        return False
    try_out = f'{SANDBOX}exec "$4" -c ""'
    command = [*NAMESPACES, "/bin/sh", "-c", try_out, "sh", "/usr", "/usr", "/usr", sys.executable]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class _RuntimeApi:
    """Lambda's Runtime API: hands events to one function, and takes its answers."""

    def __init__(self) -> None:
        self.events: Queue[tuple[object, float] | None] = Queue()
        self.answers: Queue[tuple[str, Any]] = Queue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._make_handler())
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        threading.Thread(
            target=self._server.serve_forever, args=(POLL_SECONDS,), daemon=True
        ).start()

    def stop(self) -> None:
        self.events.put(None)
        self._server.shutdown()
        self._server.server_close()

    def _make_handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:  # …/invocation/next
                following = api.events.get()
                if following is None:
                    self.close_connection = True
                    return
                event, deadline_seconds = following
                headers = {
                    "Lambda-Runtime-Aws-Request-Id": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
                    "Lambda-Runtime-Deadline-Ms": str(round(deadline_seconds * 1000)),
                    "Lambda-Runtime-Invoked-Function-Arn": FUNCTION_ARN,
                    "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700",
                }
                self._answer(200, json.dumps(event).encode(), headers)

            def do_POST(self) -> None:  # …/invocation/<id>/response or …/error, …/init/error
                body = self.rfile.read(int(self.headers["Content-Length"]))
                api.answers.put((self.path.rpartition("/")[2], json.loads(body)))
                self._answer(202, b"{}", {})

            def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        return Handler


class ServiceStub:
    """SQS, EventBridge, Step Functions and DynamoDB in one, as a context manager.

    Args:
        answers: The answers, by operation; an empty object otherwise.

    Attributes:
        asked: The operations and the parameters of the calls, in order.
    """

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._answers = answers
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._make_handler())

    def __enter__(self) -> Self:
        """Start to serve."""
        threading.Thread(
            target=self._server.serve_forever, args=(POLL_SECONDS,), daemon=True
        ).start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def asked_for(self, operation: str) -> list[dict[str, Any]]:
        """Return the parameters of the calls of an operation."""
        return [parameters for name, parameters in self.asked if name == operation]

    def _make_handler(self) -> type[BaseHTTPRequestHandler]:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                operation = self.headers["X-Amz-Target"].rpartition(".")[2]
                parameters = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                stub.asked.append((operation, parameters))
                body = json.dumps(stub._answers.get(operation, {})).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-amz-json-1.0")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        return Handler
