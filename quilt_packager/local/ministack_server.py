"""MiniStack with the behaviour of AWS that it lacks. Run as a module instead of MiniStack.

* HealthOmics: PutEvents accepts its events, which AWS accepts from no caller. Its API is refused at
  once; to look for it, MiniStack would read all of botocore's models and block for half a minute.
* Range requests: MiniStack returns a whole version for any range of it. Here it returns the range.
* Errors of functions: MiniStack gives all the same name. Here they have that of their class, which
  state machines match.
* Logs of functions: MiniStack waits a few milliseconds for the last lines, and otherwise logs them
  with the next invocation or never. Here all lines are read.
* Code of functions: MiniStack unpacks thousands of files for each process, so ten processes keep a
  machine busy for half a minute. Here the processes share one unpacked copy.
"""

import hashlib
import os
import re
import select
import tempfile
import threading
import zipfile
from collections import deque
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

from ministack import app
from ministack.core import lambda_runtime, router
from ministack.services import eventbridge, lambda_svc, s3

# ruff: noqa: SLF001 - there is no other way into MiniStack

OMICS = "omics"
OMICS_SOURCE = f"aws.{OMICS}"
CLASS = re.compile(r"[A-Za-z_][\w.]*")
LOG_BYTES = 65_536
ENDED_SECONDS = 5
"""Time for a killed process to end."""

Response = tuple[int, dict[str, str], bytes]

_put_events = eventbridge._put_events
_get_object = s3._get_object
_execute_function = lambda_svc._execute_function_warm


def put_events(data: Mapping[str, Any], *, allow_aws_source: bool = False) -> Response:
    """Put events on their buses, including those of HealthOmics.

    Args:
        data: The request of PutEvents.
        allow_aws_source: Accept events of any AWS service; set by MiniStack's own services.
    """
    sources = {entry.get("Source") for entry in data.get("Entries", [])}
    response: Response = _put_events(
        data, allow_aws_source=allow_aws_source or sources == {OMICS_SOURCE}
    )
    return response


def get_object(
    bucket: str,
    key: str,
    headers: Mapping[str, str],
    query: Mapping[str, Any] | None = None,
) -> Response:
    """Return an object, a version of it, or a range of either."""
    response: Response = _get_object(bucket, key, headers, query)
    status, response_headers, body = response
    # For a range of the newest version MiniStack returns 206 itself.
    if status != HTTPStatus.OK or "range" not in headers:
        return response
    found = s3._parse_range(headers["range"], len(body))
    if found is None:
        error = s3._xml_body(s3._range_error_xml(bucket, key))
        return HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {}, error
    first_byte, last_byte = found
    part = body[first_byte : last_byte + 1]
    return (
        HTTPStatus.PARTIAL_CONTENT,
        {
            **{
                name: text
                for name, text in response_headers.items()
                if not _describes_whole_object(name)
            },
            "Content-Length": str(len(part)),
            "Content-Range": f"bytes {first_byte}-{last_byte}/{len(body)}",
        },
        part,
    )


def execute_function(func: Mapping[str, Any], event: object, request_id: str) -> dict[str, Any]:
    """Run a function, and name its error by the class."""
    result: dict[str, Any] = _execute_function(func, event, request_id)
    error = result.get("body")
    if result.get("error") and isinstance(error, dict):
        # The last matching line of a traceback is `module.Class: message`.
        message = str(error.get("errorMessage")).partition("\n")[0]
        for line in reversed(str(result.get("log")).splitlines()):
            name, separator, text = line.partition(": ")
            if separator and text == message and CLASS.fullmatch(name):
                error["errorType"] = name.rpartition(".")[2]
                break
    return result


class CodeArchive(zipfile.ZipFile):
    """The code of a function, unpacked once for all of its processes."""

    _unpacking = threading.Lock()

    def extractall(self, path: str, *_: object) -> None:  # type: ignore[override]
        """Replace an existing empty directory by a link to the unpacked code."""
        digest = hashlib.sha256(Path(str(self.filename)).read_bytes()).hexdigest()
        code = Path(tempfile.gettempdir(), f"ministack-code-{digest}")
        with self._unpacking:
            if not code.exists():
                unfinished = code.with_suffix(".part")
                super().extractall(unfinished)
                unfinished.rename(code)
        Path(path).rmdir()
        Path(path).symlink_to(code)


def read_log(worker: lambda_runtime.Worker) -> None:
    """Read a function's log until its process ends, so that the pipe never fills up."""
    pipe, log = worker._proc.stderr, worker._stderr_queue
    is_open = True
    while is_open:
        _is_readable(pipe)
        with log.mutex:
            is_open = _take(pipe, log.queue)


def drain_log(worker: lambda_runtime.Worker) -> str:
    """Return everything that a function has logged before its response."""
    process, log = worker._proc, worker._stderr_queue
    if process is None:  # it was killed
        worker._stderr_thread.join(ENDED_SECONDS)
    with log.mutex:
        if process is not None:
            # Lines written before the response are in the pipe, unless already read.
            _take(process.stderr, log.queue)
        data = b"".join(log.queue)
        log.queue.clear()
    return data.decode(errors="replace").removesuffix("\n")


def _take(pipe: IO[str], chunks: deque[bytes]) -> bool:
    """Read the available bytes of a pipe. Return False at its end."""
    while _is_readable(pipe, wait_seconds=0):
        data = os.read(pipe.fileno(), LOG_BYTES)
        if not data:
            return False
        chunks.append(data)
    return True


def _is_readable(pipe: IO[str], wait_seconds: float | None = None) -> bool:
    """Wait until a pipe is readable or has ended, without a time limit by default."""
    poll = select.poll()  # select() takes no descriptor above 1023
    poll.register(pipe, select.POLLIN)
    return bool(poll.poll(None if wait_seconds is None else 1000 * wait_seconds))


def _describes_whole_object(header: str) -> bool:
    return header.lower().startswith(("x-amz-checksum-", "content-length"))


if __name__ == "__main__":
    router._KNOWN_AWS_SERVICE_NAMES = frozenset({OMICS})
    eventbridge._put_events = put_events
    s3._get_object = get_object
    lambda_svc._execute_function_warm = execute_function
    lambda_runtime.zipfile = SimpleNamespace(**{**vars(zipfile), "ZipFile": CodeArchive})
    lambda_runtime.Worker._read_stderr = read_log
    lambda_runtime.Worker._drain_stderr = drain_log
    lambda_runtime.Worker._drain_stderr_bounded = drain_log
    app.main()
