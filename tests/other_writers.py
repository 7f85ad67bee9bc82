"""Revisions of other writers, as a person publishes them who edits the newest one."""

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from tests.s3_stub import Bucket

Line = dict[str, Any]
Lines = dict[str, Line]

README: Line = {
    "logical_key": "README.md",
    "physical_keys": ["s3://elsewhere/README.md?versionId=v1"],
    "size": 7,
    "hash": {"type": "SHA256", "value": "ab" * 32},
    "meta": {"user_meta": {"by": "a person"}, "target": "bytes"},
}


def add(*lines: Line) -> Callable[[Lines, Line], None]:
    """Add entries."""
    return lambda entries, _header: entries.update({each["logical_key"]: each for each in lines})


def edit(manifest: bytes, change: Callable[[Lines, Line], None]) -> tuple[str, bytes]:
    """Change entries and the header of a manifest, and return its new name and bytes."""
    header, *lines = map(json.loads, manifest.splitlines())
    entries = {line["logical_key"]: line for line in lines}
    change(entries, header)
    ordered = sorted(entries.values(), key=lambda line: str(line["logical_key"]).split("/"))
    data = "".join(json.dumps(each) + "\n" for each in [header, *ordered]).encode()
    return sha256(data).hexdigest(), data


def publish_edit(registry: Bucket, name: str, change: Callable[[Lines, Line], None]) -> str:
    """Publish an edit of the newest revision without the marks of the engine."""
    pointers = f".quilt/named_packages/{name}/"
    top_hash, data = edit(read_manifest(registry, name), change)
    registry.put(f".quilt/packages/{top_hash}", data)
    newest = max(registry.keys(pointers + "1")).removeprefix(pointers)
    for pointer in (str(int(newest) + 1), "latest"):
        registry.put(pointers + pointer, top_hash)
    return top_hash


def read_manifest(registry: Bucket, name: str) -> bytes:
    """Return the manifest of the newest revision."""
    latest = registry.get(f".quilt/named_packages/{name}/latest")
    assert latest
    manifest = registry.get(f".quilt/packages/{latest.data.decode()}")
    assert manifest
    return manifest.data


def read_package(registry: Bucket, name: str) -> tuple[Line, Lines]:
    """Return the header and the entries of the newest revision."""
    header, *lines = map(json.loads, read_manifest(registry, name).splitlines())
    return header, {line["logical_key"]: line for line in lines}
