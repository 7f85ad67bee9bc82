"""MiniStack, and what this project needs of AWS beyond it. Run as a module in MiniStack's stead.

It has no HealthOmics: its PutEvents takes that one's events, which AWS takes from nobody, and who
asks for a run is refused at once: to find out that there is such a service, MiniStack would read
every model that botocore has, and answer nobody for half a minute. It gives the whole of an
object's version for any range of it: here it gives the range. It names every error of a function
alike: here by its class, as state machines expect it to decide by.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from ministack import app
from ministack.core import router
from ministack.services import eventbridge, lambda_svc, s3

# ruff: noqa: SLF001 - there is no other way into MiniStack

OMICS = "omics"
OMICS_SOURCE = f"aws.{OMICS}"
CLASS = re.compile(r"[A-Za-z_][\w.]*")

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


def _is_of_whole(header: str) -> bool:
    return header.lower().startswith(("x-amz-checksum-", "content-length"))


if __name__ == "__main__":
    router._KNOWN_AWS_SERVICE_NAMES = frozenset({OMICS})
    eventbridge._put_events = put_events
    s3._get_object = get_object
    lambda_svc._execute_function_warm = execute_function
    app.main()
