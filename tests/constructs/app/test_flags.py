"""Context flags: read from JSON and from the command line's text, refused all at once."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quilt_packager_runtime.settings import ChecksumAlgorithm

from quilt_packager.app.flags import DEFAULTS, ContextError, ContextFlags, describe_flags
from quilt_packager.app.source_flags import SOURCES

CDK_JSON = json.loads((Path(__file__).parents[3] / "cdk.json").read_text("utf-8"))
TOPIC = "arn:aws:sns:us-east-1:123456789012:alarms"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/01234567"


def read(**flags: Any) -> ContextFlags:
    return ContextFlags.from_context({f"quilt:{name}": value for name, value in flags.items()})


def test_cdk_json_lists_every_flag_with_its_default() -> None:
    assert CDK_JSON["context"] == {name: default for name, (_, default) in describe_flags().items()}


def test_absent_flags_mean_the_defaults() -> None:
    assert ContextFlags.from_context({}) == ContextFlags.from_context(CDK_JSON["context"])
    assert ContextFlags.from_context({}) == DEFAULTS


def test_flags_of_other_libraries_are_ignored() -> None:
    others = {"@aws-cdk/core:x": True, "aws:cdk:enable-path-metadata": True, "my:flag": 1}
    assert ContextFlags.from_context(others) == DEFAULTS


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"omics": "false"}, {"omics": False}),
        ({"omics": False}, {"omics": False}),
        ({"wrroc": "true"}, {"wrroc": True}),
        ({"edp": "edp-bus"}, {"edp": "edp-bus"}),
        ({"edp": "false"}, {"edp": ""}),
        ({"custom": False}, {"custom": ""}),
        ({"uploads": "true"}, {"uploads": "true"}),
        ({"uploads": True}, {"uploads": "true"}),
        ({"uploads": "false"}, {"uploads": ""}),
        ({"uploads": {"prefix_depth": 3}}, {"uploads": '{"prefix_depth": 3}'}),
        ({"source_buckets": "raw, runs"}, {"source_buckets": ("raw", "runs")}),
        ({"source_buckets": '["raw", "runs"]'}, {"source_buckets": ("raw", "runs")}),
        ({"source_buckets": ["raw", "runs"]}, {"source_buckets": ("raw", "runs")}),
        ({"registry_buckets": "reg"}, {"registry_buckets": ("reg",)}),
        ({"source_buckets": ""}, {"source_buckets": ()}),
        (
            {"source_buckets": "data_bucket, Lab.2016"},
            {"source_buckets": ("data_bucket", "Lab.2016")},
        ),
        ({"omics_statuses": "COMPLETED,FAILED"}, {"omics_statuses": ("COMPLETED", "FAILED")}),
        (
            {"checksum_algorithms": "CRC64NVME,SHA256_CHUNKED"},
            {"checksum_algorithms": tuple(reversed(ChecksumAlgorithm))},
        ),
        ({"architecture": "host"}, {"architecture": "host"}),
        ({"on_foreign_revision": "hold"}, {"on_foreign_revision": "hold"}),
        ({"archived": "s3_batch"}, {"archived": "s3_batch"}),
        ({"memory_size": "4096"}, {"memory_size": 4096}),
        ({"timeout": 120}, {"timeout": 120}),
        ({"ephemeral_storage_size": "512"}, {"ephemeral_storage_size": 512}),
        ({"max_concurrency": "2"}, {"max_concurrency": 2}),
        (
            {"source_options": {"omics": {"settle_seconds": 60}}},
            {"source_options": '{"omics": {"settle_seconds": 60}}'},
        ),
        ({"source_options": False}, {"source_options": ""}),
        ({"event_bus": "lab"}, {"event_bus": "lab"}),
        ({"notifications_topic": TOPIC}, {"notifications_topic": TOPIC}),
        (
            {"notifications_topic": TOPIC, "notifications_topic_key": KEY},
            {"notifications_topic": TOPIC, "notifications_topic_key": KEY},
        ),
        ({"quarantine_registry": "refused"}, {"quarantine_registry": "refused"}),
        ({"catalog_url": "https://quilt.example"}, {"catalog_url": "https://quilt.example"}),
        ({"alarms_topic": TOPIC}, {"alarms_topic": TOPIC}),
        ({"dashboard": "true"}, {"dashboard": True}),
        ({"publish_schema": "true"}, {"publish_schema": True}),
        ({"stack_name": "lab-packages"}, {"stack_name": "lab-packages"}),
        (
            {"source_buckets": "raw", "bucket_keys": f"raw={KEY}"},
            {"source_buckets": ("raw",), "bucket_keys": {"raw": KEY}},
        ),
        (
            {"source_buckets": "raw", "bucket_keys": json.dumps({"raw": KEY})},
            {"source_buckets": ("raw",), "bucket_keys": {"raw": KEY}},
        ),
    ],
)
def test_values_are_read_from_json_and_text(
    flags: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert read(**flags) == ContextFlags(**expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("omics", "maybe"),
        ("wrroc", "yess"),
        ("edp", "a bus"),
        ("source_buckets", "s3://raw"),
        ("source_buckets", "_raw"),
        ("source_buckets", "a..b"),
        ("source_buckets", "a.-b"),
        ("registry_buckets", "192.168.1.1"),
        ("source_buckets", '["raw'),
        ("source_buckets", 7),
        ("registry_buckets", "a"),
        ("bucket_keys", "raw"),
        ("bucket_keys", "raw=alias/mine"),
        ("omics_statuses", "DONE"),
        ("omics_statuses", ""),
        ("checksum_algorithms", "MD5"),
        ("checksum_algorithms", []),
        ("architecture", "ARM64"),
        ("memory_size", "lots"),
        ("memory_size", 64),
        ("timeout", "901"),
        ("ephemeral_storage_size", "100"),
        ("max_concurrency", "1"),
        ("stack_name", "1st"),
        ("uploads", "no/such/file.json"),
        ("uploads", '{"prefix_depth": 0}'),
        ("uploads", '{"prefix_dept": 1}'),
        ("uploads", '{"ready_when": "ilumina"}'),
        ("uploads", '{"buckets": ["raw"]}'),
        ("source_options", "no/such/file.json"),
        ("source_options", '{"omcis": {}}'),
        ("source_options", '{"omics": {"settle_second": 60}}'),
        ("source_options", '{"omics": {"settle_seconds": 901}}'),
        ("source_options", '{"omics": {"metadata": "crate"}}'),
        ("source_options", '{"omics": {"package_name": "{date_published}/x"}}'),
        ("source_options", '{"wrroc": {"parameters": true}}'),
        ("source_options", '{"wrroc": {"exclude": ["/work"]}}'),
        ("source_options", '{"edp": {"exclude": ["work"]}}'),
        ("source_options", '{"uploads": {"exclude": ["work"]}}'),
        ("source_options", '{"uploads": {"ignore_prefixes": ["work"]}}'),
        ("source_options", '{"uploads": {"package_name": "{run_id}/x"}}'),
        ("event_bus", "a bus"),
        ("notifications_topic", "alarms"),
        ("notifications_topic_key", "alias/mine"),
        ("alarms_topic", "operators"),
        ("dashboard", "big"),
        ("quarantine_registry", "_refused"),
        ("quarantine_registry", "a..b"),
        ("catalog_url", "http://quilt.example"),
        ("custom", "no/such/file.json"),
        ("custom", 1),
    ],
)
def test_errors_quote_invalid_values_and_list_all_flags(name: str, value: object) -> None:
    with pytest.raises(ContextError) as refused:
        read(**{name: value})
    message = str(refused.value)
    assert f"quilt:{name}" in message.splitlines()[1]
    assert str(value).strip('["') in message.splitlines()[1]
    assert all(f"\n  {flag}: " in message for flag in describe_flags())


def test_all_invalid_flags_are_reported_at_once() -> None:
    with pytest.raises(ContextError) as refused:
        read(omics="maybe", memory_size="lots", no_such_flag=1, omics_statuses="DONE")
    reported = str(refused.value).split("The flags of this stack:")[0]
    for name in ("omics", "memory_size", "no_such_flag", "omics_statuses"):
        assert f"quilt:{name}" in reported


def test_misspelt_flags_are_explained() -> None:
    with pytest.raises(ContextError, match="quilt:omcis is unknown; did you mean quilt:omics"):
        read(omcis="false")


def test_bucket_keys_of_unnamed_buckets_are_refused() -> None:
    with pytest.raises(ContextError, match='bucket_keys names "other"'):
        read(source_buckets="raw", bucket_keys=f"other={KEY}")


def test_key_of_notifications_requires_a_topic() -> None:
    with pytest.raises(ContextError, match="notifications_topic_key is the key of nothing"):
        read(notifications_topic_key=KEY)


def test_sample_requires_an_audit() -> None:
    with pytest.raises(ContextError, match="audit_sample is the sample of nothing"):
        read(audit_sample="1%")


def test_invalid_options_of_all_sources_are_reported_at_once() -> None:
    options = '{"omics": {"exclude": "work"}, "wrroc": {"settle_seconds": -1}, "x": {}}'
    with pytest.raises(ContextError) as refused:
        read(source_options=options)
    line = str(refused.value).splitlines()[1].removeprefix("quilt:source_options, ")
    assert [name in line for name in ("there is no source 'x'", "omics: ", "wrroc: ")] == [True] * 3


@pytest.mark.parametrize(
    "flags", [{"scratch_buckets": "eu-west-1=far"}, {"quarantine_registry": "far"}]
)
def test_scratch_and_quarantine_buckets_can_have_keys(flags: dict[str, str]) -> None:
    assert read(bucket_keys=f"far={KEY}", **flags).bucket_keys == {"far": KEY}


@pytest.mark.parametrize("name", SOURCES)
def test_custom_rules_cannot_take_the_name_of_another_source(tmp_path: Path, name: str) -> None:
    path = tmp_path / "rules.json"
    path.write_text(json.dumps([{"id": name, "pattern": {"source": ["lab"]}}]), "utf-8")
    with pytest.raises(ContextError, match=f"quilt:custom, .*flags of their own: {name}"):
        read(custom=str(path))


@pytest.mark.parametrize(
    "flags", [{"source_buckets": "raw"}, {"source_buckets": "runs", "registry_buckets": "reg,raw"}]
)
def test_quarantine_cannot_be_a_registry(flags: dict[str, str]) -> None:
    with pytest.raises(ContextError, match='quarantine_registry is "raw": a registry bucket'):
        read(quarantine_registry="raw", **flags)


def test_quarantine_may_be_a_source_that_is_no_registry() -> None:
    flags = read(source_buckets="raw", registry_buckets="reg", quarantine_registry="raw")
    assert flags.quarantine_registry == "raw"


def test_broken_custom_file_is_reported_with_the_flags(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    path.write_text("[{]", "utf-8")
    with pytest.raises(ContextError, match="quilt:custom"):
        read(custom=str(path))


@given(
    st.dictionaries(
        st.sampled_from(sorted(ContextFlags.__struct_fields__)),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()),
    )
)
def test_any_values_raise_only_context_errors(flags: dict[str, Any]) -> None:
    with contextlib.suppress(ContextError):
        assert isinstance(read(**flags), ContextFlags)
