"""MiniStack, and what this project needs of AWS beyond it. Run as a module in MiniStack's stead.

It has no HealthOmics: its PutEvents takes that one's events, which AWS takes from nobody, and who
asks for a run is refused at once: to find out that there is such a service, MiniStack would read
every model that botocore has, and answer nobody for half a minute. It gives the whole of an
object's version for any range of it: here it gives the range. It names every error of a function
alike: here by its class, as state machines expect it to decide by. It gives a function's last lines
some milliseconds to be read, and else logs them with the next invocation, or never: here they are
read to the last. It unpacks a function's code for each of its processes, thousands of files, of
which ten keep a machine busy for half a minute: here the processes share what is unpacked once.
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
"""How long a process may take to end that is killed already."""

Answer = tuple[int, dict[str, str], bytes]

_put_events = eventbridge._put_events
_get_object = s3._get_object
_execute_function = lambda_svc._execute_function_warm


def put_events(data: Mapping[str, Any], *, allow_aws_source: bool = False) -> Answer:
    """Put events on their buses, those of HealthOmics included.

    Args:
        data: The request of PutEvents.
        allow_aws_source: Take the events of any service: it is one of MiniStack's that puts them.
    """
    sources = {entry.get("Source") for entry in data.get("Entries", [])}
    answer: Answer = _put_events(
        data, allow_aws_source=allow_aws_source or sources == {OMICS_SOURCE}
    )
    return answer


def get_object(
    bucket: str,
    key: str,
    headers: Mapping[str, str],
    query: Mapping[str, Any] | None = None,
) -> Answer:
    """Get an object, a version of it, or a range of either.

    Args:
        bucket: The bucket.
        key: The key.
        headers: The headers of the request, by lower-case name.
        query: Its query parameters.
    """
    answer: Answer = _get_object(bucket, key, headers, query)
    status, answered_headers, body = answer
    # To a range of the newest version it answers 206 by itself.
    if status != HTTPStatus.OK or "range" not in headers:
        return answer
    found = s3._parse_range(headers["range"], len(body))
    if found is None:
        error = s3._xml_body(s3._range_error_xml(bucket, key))
        return HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {}, error
    first_byte, last_byte = found
    part = body[first_byte : last_byte + 1]
    return (
        HTTPStatus.PARTIAL_CONTENT,
        {
            **{name: text for name, text in answered_headers.items() if not _is_of_whole(name)},
            "Content-Length": str(len(part)),
            "Content-Range": f"bytes {first_byte}-{last_byte}/{len(body)}",
        },
        part,
    )


def execute_function(func: Mapping[str, Any], event: object, request_id: str) -> dict[str, Any]:
    """Run a function, and name its error by the class.

    Args:
        func: The function.
        event: What it is given.
        request_id: The invocation's id.
    """
    result: dict[str, Any] = _execute_function(func, event, request_id)
    error = result.get("body")
    if result.get("error") and isinstance(error, dict):
        # Of a traceback the last such line is `module.Class: message`.
        message = str(error.get("errorMessage")).partition("\n")[0]
        for line in reversed(str(result.get("log")).splitlines()):
            name, separator, text = line.partition(": ")
            if separator and text == message and CLASS.fullmatch(name):
                error["errorType"] = name.rpartition(".")[2]
                break
    return result


class CodeArchive(zipfile.ZipFile):
    """The code of a function, which is unpacked once for all of its processes.

    Args:
        file: The path of the archive.
    """

    _unpacking = threading.Lock()

    def extractall(self, path: str, *_: object) -> None:  # type: ignore[override]
        """Let a directory, which is there and empty, be the one with the code.

        Args:
            path: The directory.
        """
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
    """Read what a function logs, lest the pipe be full; ends with its process.

    Args:
        worker: The process that runs the function. Its queue takes the bytes as they come.
    """
    pipe, log = worker._proc.stderr, worker._stderr_queue
    is_open = True
    while is_open:
        _is_readable(pipe)
        with log.mutex:
            is_open = _take(pipe, log.queue)


def drain_log(worker: lambda_runtime.Worker) -> str:
    """Take all that a function has logged until it answered.

    Args:
        worker: The process that runs the function.
    """
    process, log = worker._proc, worker._stderr_queue
    if process is None:  # it was killed
        worker._stderr_thread.join(ENDED_SECONDS)
    with log.mutex:
        if process is not None:
            # What came before the answer is in the pipe by now, if nobody has read it.
            _take(process.stderr, log.queue)
        data = b"".join(log.queue)
        log.queue.clear()
    return data.decode(errors="replace").removesuffix("\n")


def _take(pipe: IO[str], chunks: deque[bytes]) -> bool:
    """Read what is in a pipe; False where it has ended."""
    while _is_readable(pipe, wait_seconds=0):
        data = os.read(pipe.fileno(), LOG_BYTES)
        if not data:
            return False
        chunks.append(data)
    return True


def _is_readable(pipe: IO[str], wait_seconds: float | None = None) -> bool:
    """Whether a pipe has something to read, or has ended; waits for it, for ever if need be."""
    poll = select.poll()  # select() takes no descriptor above 1023
    poll.register(pipe, select.POLLIN)
    return bool(poll.poll(None if wait_seconds is None else 1000 * wait_seconds))


def _is_of_whole(header: str) -> bool:
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
