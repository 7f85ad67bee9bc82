"""Memory to read a crate of the maximum size: at most ten times as much, whatever it contains."""

import tracemalloc
from collections.abc import Callable

import pytest
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.requests import crate_parts, ro_crates
from quilt_packager_runtime.requests.quilt_profile import read_crate

MAX_RATIO = 10
SCALE = 64
"""The limits are divided by it: tracing takes a minute for a crate of the maximum size."""

RUN = (
    '{"@graph":[{"@id":"./","mainEntity":{"@id":"w"}},'
    '{"@id":"w","@type":"ComputationalWorkflow"},'
    '{"@id":"#1","@type":"CreateAction","instrument":{"@id":"w"},"object":['
)
AUTHORS = '{"@graph":[{"@id":"./","author":['

PARTS = '{"@graph":[{"@id":"./","hasPart":['
DEEP = "ab/" * 333

SHAPES: dict[str, tuple[str, Callable[[int], str], str]] = {
    "files": (
        '{"@graph":[',
        lambda n: f'{{"@id":"results/{n}/file.bam","@type":"File","name":"{n}.bam"}},',
        '{"@id":"./"}]}',
    ),
    "entities": ('{"@graph":[', lambda n: f'{{"@id":"{n:x}"}},', '{"@id":"./"}]}'),
    "actions": (
        '{"@graph":[',
        lambda n: f'{{"@id":"{n:x}","@type":"CreateAction"}},',
        '{"@id":"./"}]}',
    ),
    "wide characters": ('{"@graph":[', lambda n: f'{{"@id":"🧬{n:x}"}},', '{"@id":"./"}]}'),
    "references": (RUN, lambda n: f'{{"@id":"s3://b/{n:x}"}},', '"z"]}]}'),
    "authors": (AUTHORS, lambda n: f'{{"@id":"{n:x}"}},', '"z"]}]}'),
    "texts": (AUTHORS, lambda n: f'"{n:x}",', '"z"]}]}'),
    "lists": ('{"@graph":[', lambda _: "[],", '{"@id":"./"}]}'),
    "deep lists": ('{"@graph":[', lambda _: "[" * 200 + "]" * 200 + ",", '{"@id":"./"}]}'),
    "numbers": ('{"@graph":[', lambda _: "12,", '{"@id":"./"}]}'),
    "properties": ('{"@graph":[{', lambda n: f'"{n:x}":1,', '"@id":"./"}]}'),
    "parts, files": (PARTS, lambda n: f'"%41{n:x}",', '"z"]}]}'),
    "parts, folders": (PARTS, lambda n: f'"{n:x}/",', '"z"]}]}'),
    "parts, deep": (f'{PARTS}"s3://b/z",', lambda n: f'"{n:x}/{DEEP}x",', '"z"]}]}'),
    "parts elsewhere, deep": (PARTS, lambda n: f'"s3://b/{n:x}/{DEEP}x",', '"z"]}]}'),
    "parts that break a rule": (PARTS, lambda n: f'"{n:x}?",', '"z"]}]}'),
    "one text": ('{"@graph":[{"@id":"./","name":"🧬', lambda _: "a" * 1000, '"}]}'),
}

CRATE = S3Uri("raw", "run/ro-crate-metadata.json")


@pytest.mark.parametrize("shape", SHAPES)
def test_reading_takes_at_most_ten_times_the_maximum_size(
    monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    max_bytes, max_marks = ro_crates.MAX_CRATE_BYTES // SCALE, ro_crates.MAX_MARKS // SCALE
    monkeypatch.setattr(ro_crates, "MAX_CRATE_BYTES", max_bytes)
    monkeypatch.setattr(ro_crates, "MAX_MARKS", max_marks)
    monkeypatch.setattr(ro_crates, "MAX_VALUES", ro_crates.MAX_VALUES // SCALE)
    for name in ("MAX_PARTS_ELSEWHERE", "MAX_VIOLATIONS"):
        monkeypatch.setattr(crate_parts, name, getattr(crate_parts, name) // SCALE)
    document = fill(*SHAPES[shape], max_bytes=max_bytes, max_marks=max_marks)
    read_crate(b'{"@graph":[]}', CRATE, "crate")  # what is imported on demand stays
    tracemalloc.start()
    read_crate(document, CRATE, "crate")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes + len(document) < MAX_RATIO * max_bytes


def fill(
    start: str, repeated: Callable[[int], str], end: str, *, max_bytes: int, max_marks: int
) -> bytes:
    """Repeat a part as often as the limits allow, and fill the rest with a text."""
    parts = [start]
    size_bytes = len((start + end).encode())
    marks = sum(map((start + end).count, ",:[{"))
    number = 0
    while True:
        part = repeated(number)
        size_bytes += len(part.encode())
        marks += sum(map(part.count, ",:[{"))
        if size_bytes > max_bytes or marks > max_marks:
            break
        parts.append(part)
        number += 1
    document = "".join([*parts, end])
    return document.encode() + b" " * (max_bytes - len(document.encode()))


@pytest.mark.parametrize("mark", [",", ":", "[", "{"])
def test_crate_with_too_many_values_is_refused(monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    monkeypatch.setattr(ro_crates, "MAX_MARKS", 20)
    text = '{"@graph":[{"@id":"./","name":"{}"}]}'.replace("{}", mark * 13)
    assert read_crate(text.encode(), CRATE).fields
    with pytest.raises(ValueError, match="more than 20 commas, colons and brackets"):
        read_crate(text.replace(mark * 13, mark * 14).encode(), CRATE)
