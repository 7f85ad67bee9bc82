"""Inputs of other people: bodies, events, crates, globs, keys and rules of registries.

Each input becomes a package, a rejection with a documented code, or an ignored event, within a
limit of requests and of CPU time.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from quilt_packager_runtime.cpu_limits import cpu_limit
from quilt_packager_runtime.settings.source_options import SourceOptions

from tests.packager_function import crate, crate_event
from tests.torture.world import SETTINGS, World, message, pointers_of

SETTINGS_OF_SOURCES = msgspec.structs.replace(
    SETTINGS,
    sources=(
        SourceOptions(kind="workflow_run_crate", package_name="runs/{run_id}"),
        SourceOptions(kind="health_omics"),
    ),
)
MAX_REQUESTS = 60
MAX_CPU_SECONDS = 30
EVENTS = Path(__file__).parents[1] / "data" / "events"
FOLDER = "runs/42/"
PLACES = {
    "bucket-name": "raw",
    "prefix-path-1/prefix-path-2": "runs/42",
    "quilt-example/omics-quilt/3395667": "raw/runs/42",
    "amzn-s3-demo-bucket/run-output/2101313": "raw/runs/42",
    "amzn-s3-demo-bucket1": "raw",
    "my/s3/folder": "runs/42",
    '\\"name\\":\\"b\\"': '\\"name\\":\\"raw\\"',
    "my+folder": "runs/42",
}
"""Texts in the events, and those that replace them."""

Example = Callable[[World], str]
"""Fills the buckets, and returns the body of the message."""

ODD_TEXTS = (
    "",
    "/",
    "..",
    "s3://",
    "s3://raw/",
    "s3://raw/runs/42/",
    "s3://RAW/../x/",
    "s3://raw/%ff/%00/",
    "arn:aws:s3:::raw",
    "//169.254.169.254/",
    "a" * 2000,
    "\ud800",
    "\x01\x7f\u2028",
    "{{name}}",
    "{run_id}",
    "(a+)+$",
)
TEXTS = st.sampled_from(ODD_TEXTS) | st.text(max_size=12)
NUMBERS = st.sampled_from((0, -1, 2**63, 10**400, float("nan"), float("inf"), 1e-320, 1.5))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each container of a document with each of its keys or indexes."""
    if isinstance(document, (dict, list)):
        for key in list(document) if isinstance(document, dict) else range(len(document)):
            yield document, key
            yield from _places(document[key])


@st.composite
def _mutated(draw: st.DrawFn, document: Any) -> Any:
    """Replace, delete or wrap up to three parts of a document."""
    document = deepcopy(document)
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(document))
        if not places:
            break
        container, key = draw(st.sampled_from(places))
        match draw(st.sampled_from(("replace", "delete", "wrap", "add"))):
            case "replace":
                container[key] = draw(VALUES)
            case "delete":
                del container[key]
            case "wrap":
                container[key] = [container[key]]
            case "add" if isinstance(container, dict):
                container[draw(TEXTS)] = draw(VALUES)
    return document


def _json(documents: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    """Encode documents; now and then as a string, in an envelope, cut, or nested deeply."""
    texts = documents.map(json.dumps)
    return st.one_of(
        *[texts] * 5,
        texts.map(json.dumps),
        texts.map(lambda text: json.dumps({"Type": "Notification", "Message": text})),
        st.tuples(texts, st.integers(0, 80)).map(lambda each: each[0][: -each[1] or None]),
        st.tuples(texts, st.sampled_from((100, 5000))).map(
            lambda each: '{"a":' * each[1] + each[0] + "}" * each[1]
        ),
    )


def _event(path: Path) -> Any:
    """Read an event, with the folder of `_one_file` in it."""
    text = path.read_text()
    for place, here in PLACES.items():
        text = text.replace(place, here)
    return json.loads(text)


def _one_file(world: World) -> None:
    world.raw.put(FOLDER + "a.txt", b"a")


def _body(body: str) -> Example:
    def example(world: World) -> str:
        _one_file(world)
        return body

    return example


def _crate(document: str, *, is_optional: bool) -> Example:
    def example(world: World) -> str:
        _one_file(world)
        world.raw.put(FOLDER + "ro-crate-metadata.json", document.encode(errors="replace"))
        if is_optional:
            return crate_event("42")
        return message(metadata_uri="ro-crate-metadata.json", metadata_format="ro-crate")

    return example


def _globs(globs: list[str]) -> Example:
    def example(world: World) -> str:
        for name in ("a", "a" * 200 + "b", "ab/" * 60 + "c", "[a]", "b.txt"):
            world.raw.put(FOLDER + name, b"a")
        return message(exclude=globs)

    return example


def _keys(keys: set[str]) -> Example:
    def example(world: World) -> str:
        for key in keys:
            world.raw.put(FOLDER + key, b"a")
        return message()

    return example


def _rules(documents: tuple[str, str]) -> Example:
    config, schema = documents

    def example(world: World) -> str:
        _one_file(world)
        world.registry.put(".quilt/workflows/config.yml", config.encode(errors="replace"))
        world.registry.put("schema.json", schema.encode(errors="replace"))
        return message(registry="registry", metadata={"text": "a" * 28})

    return example


FIELDS: Mapping[str, Any] = {
    "source_prefix": "s3://raw/runs/42/",
    "registry": "registry",
    "package_name": "a/b",
    "metadata": {"a": [1, {"b": None}]},
    "commit_message": "one",
    "exclude": ["*.tmp"],
}
CONFIG = {
    "version": "1",
    "is_workflow_required": True,
    "default_workflow": "w",
    "workflows": {"w": {"name": "w", "handle_pattern": "^.*$", "metadata_schema": "s"}},
    "schemas": {"s": {"url": "s3://registry/schema.json"}},
}
SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {"text": {"type": "string", "pattern": "a"}},
    "required": ["text"],
}
BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"
GLOB_PIECES = st.sampled_from(
    ("*", "**", "/", "?", "[", "]", "[!a]", "{a,b}", "\\", "a", "**/**/", "é")
)

INPUTS: Mapping[str, st.SearchStrategy[Example]] = {
    "bodies": (_json(_mutated(dict(FIELDS))) | st.text(max_size=20)).map(_body),
    "events": st.sampled_from(sorted(EVENTS.glob("*.json")))
    .flatmap(lambda path: _json(_mutated(_event(path))))
    .map(_body),
    "crates": st.builds(
        _crate, _json(_mutated(json.loads(crate("42")))), is_optional=st.booleans()
    ),
    "globs": st.lists(st.lists(GLOB_PIECES, max_size=12).map("".join), max_size=4).map(_globs),
    "keys": st.sets(
        st.text(min_size=1, max_size=12)
        | st.sampled_from(("a//b", "../a", "a/./b", "a/", " ", "%2F", "&<>'\"", "\x01", "é" * 500))
    ).map(_keys),
    "rules": st.tuples(
        _mutated(CONFIG).map(json.dumps) | st.sampled_from((BOMB, "[" * 5000, "? ? ?")),
        _mutated(SCHEMA).map(json.dumps),
    ).map(_rules),
}


def fuzz(name: str, *, examples: int, number: int) -> Counter[str]:
    """Deliver random inputs of one kind, and return how often each outcome occurred.

    Args:
        name: Kind of input.
        examples: Number of inputs.
        number: Seed.
    """
    outcomes: Counter[str] = Counter()

    @seed(number)
    @settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(INPUTS[name])
    def run(example: Example) -> None:
        outcomes[deliver(example)] += 1

    run()
    return outcomes


def deliver(example: Example) -> str:
    """Deliver an input, check its outcome, and return it: `package`, `ignored` or a code."""
    with World(SETTINGS_OF_SOURCES) as world:
        body = example(world)
        with cpu_limit(MAX_CPU_SECONDS):
            assert world.deliver(body), world.log.getvalue()
        assert len(world.service.requests) <= MAX_REQUESTS
        world.check_whole()
        world.check_codes()
        if world.letters:
            assert not any(pointers_of(bucket) for bucket in (world.raw, world.registry))
            (letter,) = world.letters
            assert letter[0] == body
            return letter[1]
        return "package" if world.events else "ignored"
