import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec import UNSET
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import (
    AccessDenied,
    InvalidWorkflowConfig,
    ServiceUnavailable,
    WorkflowViolations,
)
from quilt_packager_runtime.workflows.gate import CONFIG_KEY, check

from tests.cancelling import ManyItems, check_is_cancelled_within
from tests.s3_stub import Bucket, S3Stub, Versioning

CONFIG = """
version: "1"
default_workflow: alpha
workflows:
  alpha:
    name: Alpha
    is_message_required: true
    handle_pattern: ^omics/
    metadata_schema: run
    entries_schema: files
  beta:
    name: Beta
schemas:
  run:
    url: s3://rules/run.json
  files:
    url: s3://rules/files.json
"""
RUN_SCHEMA = {
    "type": "object",
    "required": ["run"],
    "properties": {"run": {"type": "integer"}, "tags": {"items": {"pattern": "^[a-z]+$"}}},
}
FILES_SCHEMA = {
    "contains": {"properties": {"logical_key": {"const": "README.md"}}},
    "items": {"properties": {"size": {"minimum": 1}}},
}
SLOW_PATTERN = "^(a+)+$"
SLOW_TEXT = "a" * 60 + "!"

Checker = Callable[..., Any]


@pytest.fixture
def registry(s3_stub: S3Stub) -> Bucket:
    return s3_stub.create_bucket("registry")


@pytest.fixture
def rules(s3_stub: S3Stub) -> Bucket:
    bucket = s3_stub.create_bucket("rules")
    bucket.put("run.json", json.dumps(RUN_SCHEMA))
    bucket.put("files.json", json.dumps(FILES_SCHEMA))
    return bucket


@pytest.fixture
def checked(s3: S3, registry: Bucket, rules: Bucket) -> Checker:
    """Checks a valid package with the changes of a test."""

    async def run(**changes: Any) -> Any:
        package: dict[str, Any] = {
            "workflow": UNSET,
            "package_name": "omics/42",
            "message": "Run 42",
            "metadata": {"run": 42},
            "entries": [("README.md", 10)],
        }
        return await check(s3, "registry", **package | changes)

    return run


def one_rule(**rule: Any) -> str:
    return json.dumps(
        {
            "version": "1",
            "is_workflow_required": False,
            "workflows": {"w": {"name": "W", **rule}},
            "schemas": {"s": {"url": "s3://rules/s.json"}},
        }
    )


async def test_a_registry_without_workflows_checks_nothing(checked: Checker) -> None:
    assert await checked() is None


def test_quilt3_is_imported_only_for_workflows() -> None:
    code = "import sys, quilt_packager_runtime.workflows.gate; sys.exit('quilt3' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("workflow", "named"), [("alpha", 'the workflow "alpha"'), (None, "no workflow")]
)
async def test_a_choice_without_workflows_is_rejected(
    checked: Checker, workflow: str | None, named: str
) -> None:
    with pytest.raises(WorkflowViolations, match="The registry registry has no workflows") as error:
        await checked(workflow=workflow)
    assert error.value.happened == f"The message chooses {named}."


async def test_a_workflow_that_does_not_exist_is_named(checked: Checker, registry: Bucket) -> None:
    registry.put(CONFIG_KEY, CONFIG)
    with pytest.raises(WorkflowViolations, match='There is no workflow "alhpa"'):
        await checked(workflow="alhpa")


@pytest.mark.parametrize(("name", "is_valid"), [("omics/42", True), ("other/42", False)])
async def test_a_workflow_may_merge_another(
    checked: Checker, registry: Bucket, name: str, is_valid: bool
) -> None:
    beta = "  beta:\n    <<: *alpha\n    name: Beta"
    config = CONFIG.replace("  alpha:", "  alpha: &alpha").replace("  beta:\n    name: Beta", beta)
    registry.put(CONFIG_KEY, config)
    if is_valid:
        assert (await checked(workflow="beta", package_name=name))["id"] == "beta"
    else:
        with pytest.raises(WorkflowViolations, match="required pattern"):
            await checked(workflow="beta", package_name=name)


async def test_a_denied_configuration_rejects_the_job(
    checked: Checker, registry: Bucket, s3_stub: S3Stub
) -> None:
    registry.put(CONFIG_KEY, CONFIG)
    s3_stub.deny("GetObject", bucket="registry")

    with pytest.raises(AccessDenied):
        await checked()


async def test_an_unavailable_configuration_fails_the_job(
    checked: Checker, registry: Bucket, s3_stub: S3Stub
) -> None:
    registry.put(CONFIG_KEY, CONFIG)
    s3_stub.on("GetObject", times=None).answer(503, "SlowDown")

    with pytest.raises(ServiceUnavailable):
        await checked()


async def test_the_record_names_the_versions_of_the_rules(
    checked: Checker, registry: Bucket, rules: Bucket
) -> None:
    config = registry.put(CONFIG_KEY, CONFIG)
    run = rules.put("run.json", json.dumps(RUN_SCHEMA))
    files = rules.get("files.json")
    assert files is not None

    assert await checked() == {
        "id": "alpha",
        "config": f"s3://registry/{CONFIG_KEY}?versionId={config.version_id}",
        "schemas": {
            "run": f"s3://rules/run.json?versionId={run.version_id}",
            "files": f"s3://rules/files.json?versionId={files.version_id}",
        },
    }


async def test_the_record_names_no_versions_in_unversioned_buckets(
    checked: Checker, registry: Bucket
) -> None:
    registry.versioning = Versioning.OFF
    registry.put(CONFIG_KEY, CONFIG)

    assert await checked(workflow="beta") == {"id": "beta", "config": f"s3://registry/{CONFIG_KEY}"}


async def test_a_schema_is_read_in_the_version_that_its_url_names(
    checked: Checker, registry: Bucket, rules: Bucket
) -> None:
    old = rules.put("s.json", "{}")
    rules.put("s.json", "false")
    config = json.loads(one_rule(metadata_schema="s"))
    config["schemas"]["s"]["url"] += f"?versionId={old.version_id}"
    registry.put(CONFIG_KEY, json.dumps(config))

    record = await checked(workflow="w")

    assert record["schemas"] == {"s": f"s3://rules/s.json?versionId={old.version_id}"}


async def test_all_violations_are_reported_at_once(checked: Checker, registry: Bucket) -> None:
    registry.put(CONFIG_KEY, CONFIG)

    with pytest.raises(WorkflowViolations) as raised:
        await checked(
            package_name="other/42",
            message="",
            metadata={"tags": ["ok", "N0"]},
            entries=[("a.txt", 0), ("b.txt", 1)],
        )

    assert raised.value.happened == (
        'The package breaks 6 rules of workflow "alpha": '
        "Commit message is required by workflow, but none was provided; "
        "Package name doesn't match required pattern; "
        "metadata breaks a rule ('run' is a required property); "
        'metadata.tags[1] breaks a rule (pattern: "^[a-z]+$"); '
        'size of "a.txt" breaks a rule (minimum: 1); '
        "the list of entries breaks a rule "
        '(contains: {"properties": {"logical_key": {"const": "README.md"}}}).'
    )


async def test_twenty_violations_are_named_and_the_rest_counted(
    checked: Checker, registry: Bucket
) -> None:
    registry.put(CONFIG_KEY, CONFIG)

    with pytest.raises(WorkflowViolations) as raised:
        await checked(entries=[("README.md", 1), *((f"{n}.txt", 0) for n in range(25))])

    assert raised.value.happened.count("minimum") == 20
    assert raised.value.happened.endswith(
        'size of "19.txt" breaks a rule (minimum: 1); and 5 more.'
    )


async def test_violations_omit_values_of_metadata(checked: Checker, registry: Bucket) -> None:
    registry.put(CONFIG_KEY, CONFIG)

    with pytest.raises(WorkflowViolations, match=r"metadata\.run breaks a rule") as raised:
        await checked(metadata={"run": "S3CRET"})

    assert "S3CRET" not in raised.value.reason


async def test_a_violation_with_a_long_rule_is_cut(
    checked: Checker, registry: Bucket, rules: Bucket
) -> None:
    registry.put(CONFIG_KEY, one_rule(metadata_schema="s"))
    rules.put("s.json", json.dumps({"enum": ["x" * 1000]}))

    with pytest.raises(WorkflowViolations) as raised:
        await checked(workflow="w")

    assert len(raised.value.happened) < 400


async def test_control_characters_of_keys_are_escaped(checked: Checker, registry: Bucket) -> None:
    registry.put(CONFIG_KEY, CONFIG)

    with pytest.raises(WorkflowViolations) as raised:
        await checked(metadata={"run": 1, "tags": [""]}, entries=[("a\nb\1", 0)])

    assert raised.value.reason.isprintable()


@pytest.mark.parametrize("workflow", ["beta", "gamma"])
async def test_entries_are_read_only_for_their_rules(
    checked: Checker, registry: Bucket, workflow: str
) -> None:
    registry.put(CONFIG_KEY, CONFIG.replace("beta", workflow))

    def entries() -> Iterator[tuple[str, int]]:
        pytest.fail("the entries were read")
        yield "a", 1

    assert (await checked(workflow=workflow, entries=entries()))["id"] == workflow


async def test_entries_are_not_kept(checked: Checker, registry: Bucket) -> None:
    registry.put(CONFIG_KEY, CONFIG)
    await checked()  # quilt3 is imported now
    tracemalloc.start()

    await checked(entries=((f"{n}.txt", 1) if n else ("README.md", 1) for n in range(10_000)))

    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1_000_000


async def test_a_deadline_takes_effect_while_entries_are_checked(
    checked: Checker, registry: Bucket
) -> None:
    registry.put(CONFIG_KEY, CONFIG)
    await checked()  # quilt3 is imported now
    items = ManyItems(("a", 1))
    await check_is_cancelled_within(items, checked(entries=items))


async def test_an_unknown_workflow_is_rejected_with_the_known_ones(
    checked: Checker, registry: Bucket
) -> None:
    registry.put(CONFIG_KEY, CONFIG)

    with pytest.raises(WorkflowViolations, match=r'no workflow "gamma".* one of "alpha", "beta"'):
        await checked(workflow="gamma")


async def test_choosing_no_workflow_is_rejected_if_one_is_required(
    checked: Checker, registry: Bucket
) -> None:
    registry.put(CONFIG_KEY, CONFIG)

    with pytest.raises(
        WorkflowViolations, match="requires a workflow, and the message chooses none"
    ):
        await checked(workflow=None)


async def test_no_workflow_is_recorded_if_none_is_required(
    checked: Checker, registry: Bucket
) -> None:
    registry.put(CONFIG_KEY, CONFIG + "is_workflow_required: false\n")

    assert (await checked(workflow=None))["id"] is None


async def test_a_missing_default_workflow_is_an_invalid_configuration(
    checked: Checker, registry: Bucket
) -> None:
    registry.put(CONFIG_KEY, CONFIG.replace("default_workflow: alpha", "default_workflow: zeta"))

    with pytest.raises(InvalidWorkflowConfig, match='default_workflow "zeta" is not in workflows'):
        await checked()


@pytest.mark.parametrize(
    ("config", "how"),
    [
        ("", "None is not of type 'object'"),
        ("a: [", "expected the node content, but found '<stream end>'"),
        ("version: '1'", "'workflows' is a required property"),
        ("{version: 1, workflows: {}}", r"\$\.version.*; \$\.workflows: "),
        ("{version: '2', workflows: {w: {name: W}}}", 'version "2.0.0" is newer'),
        ("{version: '1', workflows: {w: {name: 2024-13-01}}}", "month must be in 1..12"),
        ("{? [a] : b}", "unhashable key"),
        ("!!timestamp x", "AttributeError|NoneType"),
        ("\xff".encode("latin-1"), "can't decode byte 0xff"),
        (one_rule(handle_pattern="("), r"missing \)"),
        (one_rule(handle_pattern="a{99999999999}"), "repetition number is too large"),
        (one_rule(metadata_schema="t"), "There is no 't' in schemas"),
    ],
)
async def test_a_configuration_that_quilt3_rejects_is_invalid(
    checked: Checker, registry: Bucket, config: str, how: str
) -> None:
    registry.put(CONFIG_KEY, config)

    with pytest.raises(InvalidWorkflowConfig, match=how):
        await checked(workflow="w")


@pytest.mark.parametrize(
    ("schema", "how"),
    [
        ("{", "Couldn't parse s3://rules/s.json as JSON"),
        ('{"$ref": "#"}', r"don't support \$ref"),
        ('{"properties": {"a": {"$ref": "s3://x/y"}}}', r"don't support \$ref"),
        ('{"type": "strange"}', "Schema 's' is not valid"),
        ('{"pattern": "("}', "Schema 's' is not valid"),
        ('{"$schema": "http://json-schema.org/draft-04/schema#"}', "Unsupported meta-schema"),
        ("[" * 100_000, "recursion"),
        ('{"not":' * 900 + "{}" + "}" * 900, "recursion"),
        (b"\xff", "can't decode byte 0xff"),
        (" " * 1_000_001, "has more than 1,000,000 bytes"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_a_schema_that_quilt3_rejects_is_an_invalid_configuration(
    checked: Checker, registry: Bucket, rules: Bucket, schema: str | bytes, how: str
) -> None:
    registry.put(CONFIG_KEY, one_rule(metadata_schema="s"))
    rules.put("s.json", schema)

    with pytest.raises(InvalidWorkflowConfig, match=how):
        await checked(workflow="w")


@pytest.mark.parametrize(
    ("url", "how"),
    [
        ("s3://rules/missing.json", "does not exist"),
        ("s3://nowhere/s.json", "cannot be read: The bucket"),
        ("s3://rules/run.json?versionId=x", "does not exist|cannot be read"),
        ("s3://rules", "is a bucket, not an object"),
        ("s3://user@evil.example:80/s.json", "cannot be read: a bucket's name"),
        ("https://evil.example/s.json", "Couldn't parse URL"),
        ("file:///etc/passwd", "can't be used on the remote registry"),
        ("s3://[/s.json", "Invalid IPv6 URL"),
    ],
)
async def test_a_missing_schema_is_an_invalid_configuration(
    checked: Checker, registry: Bucket, url: str, how: str
) -> None:
    config = one_rule(metadata_schema="s").replace("s3://rules/s.json", url)
    registry.put(CONFIG_KEY, config)

    with pytest.raises(InvalidWorkflowConfig, match=how):
        await checked(workflow="w")


@pytest.mark.parametrize("may_list", [True, False])
async def test_a_denied_schema_is_named_with_the_denied_action(
    checked: Checker, registry: Bucket, s3_stub: S3Stub, may_list: bool
) -> None:
    registry.put(CONFIG_KEY, CONFIG)
    s3_stub.deny("GetObject", bucket="rules")
    if not may_list:
        s3_stub.deny("ListObjectsV2", bucket="rules")

    with pytest.raises(AccessDenied) as raised:
        await checked()

    assert "GetObject" in raised.value.happened
    assert "s3://rules/run.json" in raised.value.happened


def alias_bomb(*, merged: bool) -> str:
    lines = ["a0: &a0 {k: v}"]
    for n in range(1, 9):
        aliases = f"[{', '.join([f'*a{n - 1}'] * 9)}]"
        lines.append(f"a{n}: &a{n} {{<<: {aliases}}}" if merged else f"a{n}: &a{n} {aliases}")
    return "\n".join(lines)


LONG_TEXT_OFTEN = f"a: &a {'x' * 1000}\nb: [{', '.join(['*a'] * 1000)}]"


@pytest.mark.parametrize(
    ("config", "how"),
    [
        (alias_bomb(merged=False), "aliases expand to more than 1,000,000 characters"),
        (alias_bomb(merged=True), "aliases expand to more than 1,000,000 characters"),
        (LONG_TEXT_OFTEN, "aliases expand to more than 1,000,000 characters"),
        ("a: &a [*a]", r"alias \*a is part of its own value"),
        ("[" * 20_000, "nests deeper than 100 levels"),
        ("- " * 20_000, "nests deeper than 100 levels"),
        ("#" * 1_000_001, "has more than 1,000,000 bytes"),
        ("a: " + "1:" * 499_990 + "1", "takes more than 1.0 s of CPU time"),
        ("{" + "a: b, " * 160_000 + "}", "takes more than 1.0 s of CPU time"),
    ],
    ids=[
        "aliases",
        "merged-aliases",
        "long-alias",
        "recursive-alias",
        "brackets",
        "dashes",
        "large",
        "base-60-integer",
        "many-keys",
    ],
)
async def test_an_abusive_configuration_is_rejected_with_the_exceeded_bound(
    checked: Checker, registry: Bucket, config: str, how: str
) -> None:
    registry.put(CONFIG_KEY, config)

    with pytest.raises(InvalidWorkflowConfig, match=how):
        await checked()


async def test_aliases_and_merge_keys_stand_for_what_they_name(
    checked: Checker, registry: Bucket
) -> None:
    config = """
version: "1"
workflows:
  alpha: &alpha
    name: Alpha
    handle_pattern: ^omics/
  beta:
    <<: *alpha
    name: Beta
  gamma: *alpha
"""
    registry.put(CONFIG_KEY, config)
    for workflow in ("alpha", "beta", "gamma"):
        assert (await checked(workflow=workflow))["id"] == workflow
        with pytest.raises(WorkflowViolations, match="required pattern"):
            await checked(workflow=workflow, package_name="other/42")


@pytest.mark.parametrize(
    ("config", "schema", "package"),
    [
        (one_rule(handle_pattern=SLOW_PATTERN), {}, {"package_name": SLOW_TEXT}),
        (
            one_rule(metadata_schema="s"),
            {"properties": {"k": {"pattern": SLOW_PATTERN}}},
            {"metadata": {"k": SLOW_TEXT}},
        ),
        (
            one_rule(entries_schema="s"),
            {"items": {"properties": {"logical_key": {"pattern": SLOW_PATTERN}}}},
            {"entries": [(SLOW_TEXT, 1)]},
        ),
        (
            one_rule(entries_schema="s"),
            {"items": [{"properties": {"logical_key": {"pattern": SLOW_PATTERN}}}]},
            {"entries": [(SLOW_TEXT, 1)]},
        ),
        (
            one_rule(metadata_schema="s"),
            {"patternProperties": {SLOW_PATTERN: {}}},
            {"metadata": {SLOW_TEXT: 1}},
        ),
    ],
    ids=["handle_pattern", "metadata", "entries", "first-entry", "patternProperties"],
)
async def test_catastrophic_backtracking_is_interrupted(
    checked: Checker,
    registry: Bucket,
    rules: Bucket,
    *,
    config: str,
    schema: Any,
    package: dict[str, Any],
) -> None:
    registry.put(CONFIG_KEY, config)
    rules.put("s.json", json.dumps(schema))

    with pytest.raises(InvalidWorkflowConfig, match="s of CPU time"):
        await checked(workflow="w", **package)
