"""Describes event patterns: the events that start a job."""

from collections.abc import Mapping, Sequence
from typing import Any

S3_SOURCE = "aws.s3"


def describe_pattern(kind: str, pattern: Mapping[str, Any], *, bus: str) -> str:
    """Describe the events that the rule of a source matches.

    Args:
        kind: Kind of the source's events.
        pattern: Event pattern of the rule.
        bus: Name of the event bus of the rule.

    Example:
        >>> pattern = {"source": ["com.example.lims"], "detail-type": ["batch.released"]}
        >>> describe_pattern("custom", pattern, bus="default")
        'An event batch.released of com.example.lims is on the default bus.'
    """
    match kind:
        case "health_omics":
            return f"A HealthOmics run reaches {_either(_field(pattern, 'detail', 'status'))}."
        case "workflow_run_crate":
            return f"A file ro-crate-metadata.json is written to {_buckets(pattern)}."
        case "objects_ready" if is_about_objects(pattern):
            markers = _markers(pattern)
            if markers:
                return f"A file {_either(markers)} was written to a folder of {_buckets(pattern)}."
            return f"Uploads to a folder of {_buckets(pattern)} have stopped."
        case _:
            return _describe_events(pattern, bus)


def is_about_objects(pattern: Mapping[str, Any]) -> bool:
    """Return True if a pattern matches events of S3."""
    return S3_SOURCE in _words(pattern.get("source"))


def _describe_events(pattern: Mapping[str, Any], bus: str) -> str:
    kinds, senders = _words(pattern.get("detail-type")), _words(pattern.get("source"))
    words = ["An event", *([_either(kinds)] if kinds else [])]
    words += ["of", _either(senders)] if senders else []
    conditions = pattern.keys() - {"source", "detail-type"}
    words += ["that meets more conditions"] if conditions else []
    return f"{' '.join(words)} is on the {bus} bus."


def _buckets(pattern: Mapping[str, Any]) -> str:
    return _either(_field(pattern, "detail", "bucket", "name"))


def _markers(pattern: Mapping[str, Any]) -> list[str]:
    """List the names of files that complete a folder."""
    keys = pattern.get("detail", {}).get("object", {}).get("key", [])
    texts = (each.get("suffix") or each.get("wildcard") for each in keys)
    return [text.removeprefix("*").removeprefix("/") for text in texts if text]


def _field(pattern: Mapping[str, Any], *path: str) -> list[str]:
    value: object = pattern
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return _words(value)


def _words(value: object) -> list[str]:
    """List the values that a pattern allows for a field, without its other conditions."""
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _either(words: Sequence[str]) -> str:
    *others, last = words or ["any"]
    return f"{', '.join(others)} or {last}" if others else last
