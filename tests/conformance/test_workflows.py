import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
import quilt3
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Struct, UnsetType
from quilt3.packages import PackageEntry
from quilt3.util import PhysicalKey, QuiltException
from quilt3.workflows import ConfigurationError, WorkflowConfig, WorkflowValidationError
from quilt3.workflows import validate as quilt3_validate
from quilt_packager_runtime.aws.s3 import S3, ObjectBody
from quilt_packager_runtime.errors import InvalidWorkflowConfig, Rejected, WorkflowViolations
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.workflows.gate import CONFIG_KEY, check

from tests.s3_stub import S3Stub

pytestmark = pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated")  # quilt3's

CONFIG_URI = f"s3://registry/{CONFIG_KEY}"


class Package(Struct, frozen=True, kw_only=True):
    """A package, and what its message asks for."""

    workflow: str | UnsetType | None = UNSET
    name: str = "omics/42"
    message: str = "Run 42"
    metadata: dict[str, Any] | None = None
    entries: Mapping[str, int] = msgspec.field(
        default_factory=lambda: {"README.md": 10, "data/a.txt": 0}
    )
    entry_metadata: Mapping[str, dict[str, Any]] = {}

    def as_quilt3(self) -> Any:
        package = quilt3.Package()
        package.set_meta(self.metadata)
        for key, size in self.entries.items():
            uri = PhysicalKey("data", key, None)
            meta = self.entry_metadata.get(key)
            package.set(key, PackageEntry(uri, size, None, meta and {"user_meta": meta}))
        return package


class Documents:
    """A registry and its schemas: what both sides read."""

    def __init__(self, config: str | None, schemas: Mapping[str, str]) -> None:
        self._data = {f"s3://rules/{name}": text.encode() for name, text in schemas.items()}
        if config is not None:
            self._data[CONFIG_URI] = config.encode()

    async def read_if_exists(self, uri: S3Uri, *, max_bytes: int) -> ObjectBody | None:
        data = self._data.get(str(uri))
        return None if data is None else ObjectBody(data, len(data), '"etag"', "v1")

    def get_workflow_config(self) -> Any:
        return WorkflowConfig.load(PhysicalKey.from_url(CONFIG_URI))

    def get_bytes_and_effective_pk(self, key: PhysicalKey) -> tuple[bytes, PhysicalKey]:
        if str(key) not in self._data:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return self._data[str(key)], PhysicalKey(key.bucket, key.path, "v1")


def ours(s3: Any, package: Package) -> Any:
    """The record, or the class of the rejection."""
    try:
        return asyncio.run(
            check(
                s3,
                "registry",
                workflow=package.workflow,
                package_name=package.name,
                message=package.message,
                metadata=package.metadata,
                entries=sorted(package.entries.items(), key=lambda item: item[0].split("/")),
                entry_metadata=package.entry_metadata,
            )
        )
    except Rejected as error:
        return type(error)


def quilt3s(registry: Any, package: Package) -> Any:
    """The record, or the class of the rejection that it should be."""
    try:
        return quilt3_validate(
            registry=registry,
            workflow=... if package.workflow is UNSET else package.workflow,
            name=package.name,
            pkg=package.as_quilt3(),
            message=package.message,
        )
    except WorkflowValidationError:
        return WorkflowViolations
    except ConfigurationError:
        return InvalidWorkflowConfig
    except (QuiltException, re.error, ValueError):  # others, and crashes of quilt3
        return Rejected


def assert_same(documents: Documents, package: Package) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "quilt3.workflows.get_bytes_and_effective_pk", documents.get_bytes_and_effective_pk
        )
        expected = quilt3s(documents, package)
    actual = ours(documents, package)

    if isinstance(expected, type):
        assert isinstance(actual, type)
        assert issubclass(actual, expected)
    else:
        assert actual == expected


def config_of(**rule: Any) -> str:
    return json.dumps(
        {
            "version": "1",
            "default_workflow": "w",
            "workflows": {"w": {"name": "W", **rule}},
            "schemas": {
                name: {"url": f"s3://rules/{name}.json"} for name in ("run", "files", "missing")
            },
        }
    )


SCHEMAS = {
    "run.json": '{"type": "object", "required": ["run"], "properties": {"run": {"minimum": 1}}}',
    "files.json": '{"items": {"properties": {"size": {"minimum": 1}}}, "maxItems": 2}',
}


@pytest.mark.parametrize("workflow", [UNSET, None, "w", ""])
def test_a_registry_without_workflows(workflow: str | UnsetType | None) -> None:
    assert_same(Documents(None, {}), Package(workflow=workflow))


@pytest.mark.parametrize("workflow", [UNSET, None, "w", "v", ""])
@pytest.mark.parametrize("is_required", [None, True, False])
@pytest.mark.parametrize("default", [None, "w", "v"])
def test_the_choice_of_a_workflow(
    workflow: str | UnsetType | None, is_required: bool | None, default: str | None
) -> None:
    config: dict[str, Any] = {"version": "1", "workflows": {"w": {"name": "W"}}}
    if is_required is not None:
        config["is_workflow_required"] = is_required
    if default is not None:
        config["default_workflow"] = default

    assert_same(Documents(json.dumps(config), {}), Package(workflow=workflow))


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"is_message_required": True},
        {"is_message_required": False},
        {"handle_pattern": "^omics/"},
        {"handle_pattern": "4"},
        {"handle_pattern": "("},
        {"handle_pattern": ""},
        {"metadata_schema": "run"},
        {"metadata_schema": "missing"},
        {"metadata_schema": "undefined"},
        {"metadata_schema": ""},
        {"entries_schema": "files"},
        {"metadata_schema": "run", "entries_schema": "files"},
        {"metadata_schema": "files", "entries_schema": "files"},
        {"unknown": True},
        {"catalog": {"anything": [1]}},
    ],
    ids=json.dumps,
)
@pytest.mark.parametrize(
    "package",
    [
        Package(),
        Package(message=""),
        Package(name="other/name"),
        Package(metadata={}),
        Package(metadata={"run": 42}),
        Package(metadata={"run": 0}),
        Package(entries={}),
        Package(metadata={"run": 1}, entries={"a/b": 1, "a-b": 1}),
        Package(metadata={"run": 1}, entries={"a": 1, "b": 2, "c": 3}),
    ],
    ids=repr,
)
def test_a_rule_and_a_package(rule: dict[str, Any], package: Package) -> None:
    assert_same(Documents(config_of(**rule), SCHEMAS), package)


@pytest.mark.parametrize(
    "config",
    [
        "",
        "~",
        "[]",
        "version: '1'",
        "{version: '1', workflows: {}}",
        "{version: 1, workflows: {w: {name: W}}}",
        "{version: '1.1', workflows: {w: {name: W}}}",
        "{version: '1.1.0', workflows: {w: {name: W}}}",
        "{version: '1.1.1', workflows: {w: {name: W}}}",
        "{version: '1.2', workflows: {w: {name: W}}}",
        "{version: '2', workflows: {w: {name: W}}}",
        "{version: '01', workflows: {w: {name: W}}}",
        "{version: {base: '1', catalog: '1'}, workflows: {w: {name: W}}}",
        "{version: {catalog: '1'}, workflows: {w: {name: W}}}",
        "{version: '1', workflows: {w: {}}}",
        "{version: '1', workflows: {1w: {name: W}}}",
        "{version: '1', workflows: {w: {name: 1}}}",
        "{version: '1', workflows: {w: {name: W}}, unknown: 1}",
        "{version: '1', workflows: {w: {name: W}}, successors: {'s3://b': {title: B}}}",
        "{version: '1', workflows: {w: {name: W}}, schemas: {}}",
        "version: '1'\nworkflows:\n  w:\n    name: W\t\n",
        "version: '1'\nversion: '2'\nworkflows: {w: {name: W}}\n",
        "\ufeffversion: '1'\nworkflows: {w: {name: W}}\n",
        "%YAML 1.1\n---\nversion: '1'\nworkflows: {w: {name: W}}\n",
        "version: '1'\nworkflows: {w: {name: W}}\n---\n",
        "version: '1'\nworkflows: {w: {name: !!str 1}}\n",
        "version: '1'\nworkflows: {w: {name: !!python/name:os.system W}}\n",
        "version: '1'\nworkflows: {w: {name: &n W}}\n",
        "version: '1'\nworkflows: {v: &v {name: V}, w: *v}\n",
        "version: '1'\nworkflows: {v: &v {name: V, handle_pattern: ^x}, w: {<<: *v, name: W}}\n",
        "version: '1'\nworkflows: {u: &u {name: U}, v: &v {name: V}, w: {<<: [*u, *v]}}\n",
        "version: '1'\nworkflows: {w: *v}\n",
        "version: '1'\nworkflows: {w: {name: on}}\n",
    ],
)
def test_a_configuration(config: str) -> None:
    assert_same(Documents(config, {}), Package(workflow="w"))


@pytest.mark.parametrize(
    "url",
    [
        "s3://rules/run.json",
        "s3://rules/run%2Ejson",
        "s3://rules/missing.json",
        "s3://rules/run.json?versionId=v0",
        "s3://rules/run.json?other=1",
        "s3://rules",
        "s3:///run.json",
        "https://rules/run.json",
        "file:///rules/run.json",
        "run.json",
        "",
    ],
)
def test_a_url_of_a_schema(url: str) -> None:
    config = config_of(metadata_schema="run").replace("s3://rules/run.json", url)

    assert_same(Documents(config, SCHEMAS), Package(metadata={"run": 1}))


SCHEMA_TEXTS = [
    "true",
    "false",
    "{}",
    "[]",
    "1",
    "{",
    '{"type": "object"}',
    '{"type": "strange"}',
    '{"$ref": "#"}',
    '{"definitions": {"a": {"$ref": "#"}}}',
    '{"$schema": "http://json-schema.org/draft-07/schema#", "minProperties": 1}',
    '{"$schema": "http://json-schema.org/draft-04/schema#"}',
    '{"$schema": 7}',
    '{"$id": "https://example.com/a", "required": ["a"]}',
    '{"required": ["a", "b"]}',
    '{"additionalProperties": false, "properties": {"a": {}}}',
    '{"properties": {"a": {"pattern": "^x"}, "b": {"format": "date"}}}',
    '{"properties": {"a": {"pattern": "("}}}',
    '{"propertyNames": {"maxLength": 1}}',
    '{"if": {"required": ["a"]}, "then": {"required": ["b"]}}',
    '{"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}',
    '{"properties": {"a": {"multipleOf": 0.1}}}',
    '{"properties": {"a": {"const": 1}, "b": {"enum": [1.0, "x"]}}}',
    '{"items": {"properties": {"logical_key": {"pattern": "^[a-z/.]+$"}}}}',
    '{"items": {"properties": {"size": {"maximum": 5}}, "required": ["meta"]}}',
    '{"items": {"properties": {"meta": {"required": ["a"]}}}}',
    '{"contains": {"properties": {"meta": {"properties": {"a": {"type": "string"}}}}}}',
    '{"contains": {"properties": {"logical_key": {"const": "a/b"}}}}',
    '{"maxItems": 1, "minItems": 1}',
    '{"uniqueItems": true}',
    '{"allOf": [{"contains": {"properties": {"size": {"const": 1}}}}, {"maxItems": 2}]}',
    '{"oneOf": [{"minItems": 1}, {"items": {"properties": {"size": {"minimum": 2}}}}]}',
    '{"if": {"minItems": 2}, "then": {"contains": {"properties": {"size": {"const": 1}}}}}',
    '{"items": [{"properties": {"size": {"const": 1}}}], "additionalItems": false}',
    '{"not": {"const": []}}',
]
WORKFLOW_NAMES = ["a", "a", "a", "b-c", "z"]
SCHEMA_NAMES = ["s", "t"]
rules = st.fixed_dictionaries(
    {"name": st.sampled_from(["A", "Ä"])},
    optional={
        "description": st.text(min_size=1, max_size=3),
        "is_message_required": st.booleans(),
        "handle_pattern": st.sampled_from(["^a", "/b$", "[^/]/", "^[^/]{1,3}/", ""]),
        "metadata_schema": st.sampled_from(SCHEMA_NAMES),
        "entries_schema": st.sampled_from(SCHEMA_NAMES),
    },
)
urls = st.sampled_from([f"s3://rules/{name}.json" for name in SCHEMA_NAMES])


def schema_at(url: str) -> dict[str, str]:
    return {"url": url}


configs = st.fixed_dictionaries(
    {
        "version": st.sampled_from(["1", "1.1", {"base": "1"}]),
        "workflows": st.fixed_dictionaries({"a": rules}, optional={"b-c": rules}),
        "schemas": st.fixed_dictionaries(dict.fromkeys(SCHEMA_NAMES, urls.map(schema_at))),
    },
    optional={
        "default_workflow": st.sampled_from(WORKFLOW_NAMES),
        "is_workflow_required": st.booleans(),
    },
)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.text(), scalars, max_size=2)
packages = st.builds(
    Package,
    workflow=st.sampled_from([UNSET, None, *WORKFLOW_NAMES]),
    name=st.sampled_from(["a/b", "abcd/b", "omics/42"]),
    message=st.sampled_from(["m", "m", ""]),
    metadata=st.none() | st.dictionaries(st.sampled_from(["a", "b", "cc"]), values),
    entries=st.dictionaries(
        st.sampled_from(["a/b", "a-b", "README.md", "a/c"]), st.integers(0, 10)
    ),
    entry_metadata=st.dictionaries(
        st.sampled_from(["a/b", "README.md"]),
        st.dictionaries(st.sampled_from(["a", "b"]), scalars, min_size=1),
    ),
)
schemas = st.fixed_dictionaries(
    {f"{name}.json": st.sampled_from(SCHEMA_TEXTS) for name in SCHEMA_NAMES}
)


@given(configs, schemas, packages)
def test_any_rules_and_any_package(
    config: dict[str, Any], schemas: dict[str, str], package: Package
) -> None:
    assert_same(Documents(json.dumps(config), schemas), package)


@pytest.mark.parametrize("metadata", [{"run": 1}, {"run": 0}])
def test_the_record_is_that_of_quilt3_on_the_same_s3(
    s3: S3, s3_stub: S3Stub, monkeypatch: pytest.MonkeyPatch, metadata: dict[str, Any]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_stub.url)
    s3_stub.create_bucket("registry").put(
        CONFIG_KEY, config_of(metadata_schema="run", entries_schema="files")
    )
    rules = s3_stub.create_bucket("rules")
    for name, text in SCHEMAS.items():
        rules.put(name, text)
    package = Package(metadata=metadata, entries={"a": 1})
    registry = quilt3.backends.get_package_registry("s3://registry")

    assert ours(s3, package) == quilt3s(registry, package)
