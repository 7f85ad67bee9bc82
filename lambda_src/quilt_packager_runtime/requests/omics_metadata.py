"""Metadata of a HealthOmics run: catalog fields from the event and `GetRun`."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from quilt_packager_runtime.formats.catalog_fields import (
    MAX_ITEMS,
    Facet,
    format_time,
    make_facets,
)
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.requests.events import OmicsRun

RUN_FIELDS = (
    "name",
    "workflow_name",
    "workflow_version",
    "workflow_id",
    "run_id",
    "run_status",
    "failure_reason",
    "start_time",
    "end_time",
    "duration",
    "output_uri",
    "tags",
    "parameters",
)
"""Fields that a run may provide."""

REDACTED = "[redacted]"

_SECRET = re.compile(
    r"secret|passw|pwd|token|credential|private|signature|auth|(api|access|license|ssh).?key",
    re.IGNORECASE,
)


def describe_run(run: OmicsRun, answer: Mapping[str, Any]) -> dict[str, Facet]:
    """Return the catalog fields of a run.

    Args:
        run: The run of the event.
        answer: The response of `omics:GetRun`; empty if access is denied.

    Returns:
        The fields. The status is that of the event, even if it has changed since.

    Example:
        >>> from quilt_packager_runtime.requests.events import translate
        >>> arn = "arn:aws:omics:us-east-1:123456789012:run/42"
        >>> detail = {"arn": arn, "status": "FAILED", "runName": "NA12878"}
        >>> event = {"source": "aws.omics", "detail-type": "Run Status Change", "detail": detail}
        >>> describe_run(translate(event), {"tags": {"project": "x"}})
        {'name': 'NA12878', 'run_id': '42', 'run_status': 'FAILED', 'tags': ['project=x']}
    """
    start, stop = answer.get("startTime"), answer.get("stopTime")
    facets: dict[str, str | Iterator[str] | None] = {
        "name": run.name or answer.get("name"),
        "workflow_name": run.workflow_name,
        "workflow_version": answer.get("workflowVersionName"),
        "workflow_id": run.workflow_id or answer.get("workflowId"),
        "run_id": run.run_id,
        "run_status": run.status,
        "failure_reason": answer.get("failureReason"),
        "start_time": _time(start),
        "end_time": _time(stop),
        "duration": _duration(start, stop),
        "output_uri": _output_uri(run, answer),
        "tags": _pairs(answer.get("tags")),
    }
    if run.options.parameters:
        facets["parameters"] = _pairs(redact(answer.get("parameters")))
    return make_facets(facets)


def list_input_uris(parameters: object) -> tuple[str, ...]:
    """List the objects and folders of S3 that parameters of a run name, except in secrets.

    Example:
        >>> list_input_uris({"reads": ["s3://b/a 1.fq", "s3://b/a 1.fq"], "n": 2, "token": "s3://c"})
        ('s3://b/a%201.fq',)
    """
    found: dict[str, None] = {}
    left = [redact(parameters)]
    for value in left:
        if isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list):
            left += value
        elif isinstance(value, str) and value.startswith("s3://"):
            bucket, _, key = value.removeprefix("s3://").partition("/")
            found[str(S3Uri(bucket, key))] = None
    return tuple(islice(found, MAX_ITEMS))


def redact(value: Any, name: str = "") -> Any:  # noqa: ANN401 parameters are any JSON
    """Replace the values of names that suggest a secret, at any depth.

    Args:
        value: The parameters.
        name: The name of the value.

    Example:
        >>> redact({"input": "s3://b/a.fq", "db": {"apiKey": "x"}, "token": ["a", "b"]})
        {'input': 's3://b/a.fq', 'db': {'apiKey': '[redacted]'}, 'token': '[redacted]'}
    """
    if _SECRET.search(name):
        return REDACTED
    if isinstance(value, dict):
        return {key: redact(each, str(key)) for key, each in value.items()}
    if isinstance(value, list):
        return [redact(each) for each in value]
    return value


def _pairs(values: object) -> Iterator[str]:
    """`name=value`, sorted: a facet has no objects."""
    for name, value in sorted(values.items()) if isinstance(values, dict) else ():
        yield f"{name}={value if isinstance(value, str) else json.dumps(value, sort_keys=True)}"


def _time(time: object) -> str | None:
    return format_time(time) if isinstance(time, datetime) else None


def _duration(start: object, stop: object) -> str | None:
    """Return a duration in ISO 8601, in whole seconds."""
    if isinstance(start, datetime) and isinstance(stop, datetime) and stop >= start:
        return f"PT{round((stop - start).total_seconds())}S"
    return None


def _output_uri(run: OmicsRun, answer: Mapping[str, Any]) -> str | None:
    output_uri = answer.get("runOutputUri")
    return output_uri or (str(run.source) if run.source else None)
