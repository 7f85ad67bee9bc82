"""Each kind of event: what its rule's pattern matches, and what its translation finds."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quilt_packager_runtime.errors import InvalidMessage
from quilt_packager_runtime.formats.event_names import UPLOADS_SOURCE
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.requests.events import (
    EDP_SOURCE,
    OMICS_STATUSES,
    FolderReady,
    Ignored,
    OmicsRun,
    Trigger,
    health_omics_pattern,
    objects_ready_pattern,
    omics_folder,
    translate,
    workflow_run_crate_pattern,
)
from quilt_packager_runtime.requests.messages import parse_message
from quilt_packager_runtime.settings.source_options import SourceKind, SourceOptions

SAMPLES = Path(__file__).parents[2] / "data" / "events"
OMICS_GENERATIONS = ["omics-2023-07", "omics-2024-12", "omics-today"]
ODD_KEYS = [
    "run#1/",
    "what?/",
    "a%2Fb/",
    "a+b/",
    "a b/",
    "a\"b'c\\d/",
    "a\nb\x01/",
    "é/",
    "e\u0301/",
]


def sample(name: str) -> dict[str, Any]:
    event = json.loads((SAMPLES / f"{name}.json").read_text())
    assert isinstance(event, dict)
    return event


def with_detail(name: str, **detail: object) -> dict[str, Any]:
    event = sample(name)
    event["detail"] |= detail
    return event


def object_created(key: str) -> dict[str, Any]:
    return with_detail("s3-object-created", object={"key": key})


def notification(*keys: str, event_name: str = "ObjectCreated:Put") -> dict[str, Any]:
    envelope = json.loads(sample("sns-s3-notification")["Message"])
    (record,) = envelope["Records"]
    record["eventName"] = event_name
    records = [copy.deepcopy(record) for _ in keys]
    for each, key in zip(records, keys, strict=True):
        each["s3"]["object"]["key"] = key
    return {"Records": records}


def matches(pattern: object, event: object) -> bool:
    """Match as EventBridge does, as far as our patterns need it."""
    if isinstance(pattern, Mapping):
        return isinstance(event, Mapping) and all(
            name in event and matches(part, event[name]) for name, part in pattern.items()
        )
    assert isinstance(pattern, list)
    return any(
        str(event).endswith(choice["suffix"]) if isinstance(choice, dict) else event == choice
        for choice in pattern
    )


def folder_of(event: Mapping[str, object]) -> SourceFolder:
    translation = translate(event)
    assert isinstance(translation, FolderReady | OmicsRun)
    assert translation.source
    return translation.source


def ready(bucket: str, prefix: str, kind: SourceKind, event_id: str) -> FolderReady:
    """The translation of an event whose source has no options."""
    source = SourceFolder(bucket, prefix)
    return FolderReady(source, Trigger(kind, event_id), SourceOptions(kind=kind))


class TestHealthOmics:
    @pytest.mark.parametrize("name", OMICS_GENERATIONS)
    def test_pattern_matches_every_generation(self, name: str) -> None:
        assert matches(health_omics_pattern(), sample(name))

    @pytest.mark.parametrize("status", OMICS_STATUSES)
    def test_pattern_matches_the_chosen_statuses_alone(self, status: str) -> None:
        event = with_detail("omics-today", status=status)
        assert matches(health_omics_pattern(["COMPLETED", "FAILED"]), event) == (
            status in {"COMPLETED", "FAILED"}
        )

    @pytest.mark.parametrize("statuses", [[], ["DONE"], ["COMPLETED", "failed"]])
    def test_pattern_names_the_statuses_it_knows(self, statuses: list[str]) -> None:
        with pytest.raises(ValueError, match=r"PENDING, .*CANCELLED"):
            health_omics_pattern(statuses)

    def test_without_an_output_folder_the_run_must_be_looked_up(self) -> None:
        event = sample("omics-2023-07")
        assert translate(event) == OmicsRun(
            run_id="2101313",
            arn="arn:aws:omics:us-west-2:123456789012:run/2101313",
            status="COMPLETED",
            trigger=Trigger("health_omics", event["id"]),
            options=SourceOptions(kind="health_omics"),
        )

    def test_what_the_event_says_of_the_run_is_kept(self) -> None:
        run = translate(sample("omics-today"))
        assert isinstance(run, OmicsRun)
        assert (run.name, run.workflow_id, run.workflow_name, run.status) == (
            "run name",
            "1234567",
            "workflow name",
            "COMPLETED",
        )

    @pytest.mark.parametrize("missing", [None, ""])
    def test_an_empty_output_folder_is_a_missing_one(self, missing: str | None) -> None:
        run = translate(with_detail("omics-today", runOutputUri=missing))
        assert isinstance(run, OmicsRun)
        assert run.source is None

    @pytest.mark.parametrize("slashes", ["", "/", "//", "///"])
    def test_the_output_folder_is_the_source_with_any_number_of_slashes(self, slashes: str) -> None:
        event = with_detail("omics-2024-12", runOutputUri=f"s3://runs/omics-quilt/3395667{slashes}")
        assert folder_of(event) == SourceFolder("runs", "omics-quilt/3395667/")

    @pytest.mark.parametrize("key", ODD_KEYS)
    def test_the_output_folder_is_not_percent_decoded(self, key: str) -> None:
        event = with_detail("omics-today", runOutputUri=f"s3://runs/{key}3395667")
        assert folder_of(event) == SourceFolder("runs", f"{key}3395667/")

    @pytest.mark.parametrize("status", OMICS_STATUSES)
    def test_whatever_status_the_rule_chose_is_packaged(self, status: str) -> None:
        run = translate(with_detail("omics-today", status=status))
        assert isinstance(run, OmicsRun)
        assert run.status == status

    @pytest.mark.parametrize("uri", ["s3://runs", "s3://runs/", "s3://runs//", "https://x/y", "x"])
    def test_a_run_at_a_buckets_root_or_out_of_s3_is_rejected(self, uri: str) -> None:
        with pytest.raises(InvalidMessage, match="run's folder"):
            translate(with_detail("omics-today", runOutputUri=uri))

    @pytest.mark.parametrize(
        "arn",
        ["run/1", "arn:aws:omics:us-east-1:123456789012:task/1", "arn:aws:s3:::b", "x:run/1/2"],
    )
    def test_an_arn_that_is_no_runs_is_rejected(self, arn: str) -> None:
        with pytest.raises(InvalidMessage, match="not the ARN"):
            translate(with_detail("omics-today", arn=arn))

    def test_an_arn_of_another_partition_is_understood(self) -> None:
        arn = "arn:aws-us-gov:omics:us-gov-west-1:123456789012:run/7"
        assert isinstance(translate(with_detail("omics-2023-07", arn=arn)), OmicsRun)

    @pytest.mark.parametrize("output_uri", ["s3://runs/out", "s3://runs/out/", "s3://runs/out//"])
    def test_a_looked_up_run_is_below_its_output_uri(self, output_uri: str) -> None:
        assert omics_folder(output_uri, "42") == SourceFolder("runs", "out/42/")

    def test_a_looked_up_run_may_be_below_a_buckets_root(self) -> None:
        assert omics_folder("s3://runs", "42") == SourceFolder("runs", "42/")


class TestWorkflowRunCrates:
    def test_pattern_matches_a_crate_in_a_named_bucket_alone(self) -> None:
        event = sample("s3-object-created")
        bucket = event["detail"]["bucket"]["name"]
        assert matches(workflow_run_crate_pattern([bucket]), event)
        assert not matches(workflow_run_crate_pattern(["another"]), event)

    def test_pattern_refuses_no_buckets(self) -> None:
        with pytest.raises(ValueError, match="empty"):
            workflow_run_crate_pattern([])

    def test_the_folder_is_the_rest_of_the_key(self) -> None:
        event = sample("s3-object-created")
        assert translate(event) == ready(
            "amzn-s3-demo-bucket1", "my/s3/folder/", "workflow_run_crate", event["id"]
        )

    @pytest.mark.parametrize("folder", [*ODD_KEYS, "a//", "/", "../", "a/.quilt/"])
    def test_the_folder_of_a_raw_key_stays_as_it_is(self, folder: str) -> None:
        event = object_created(f"{folder}ro-crate-metadata.json")
        assert folder_of(event).prefix == folder

    @pytest.mark.parametrize(
        "key",
        [
            pytest.param("ro-crate-metadata.json", id="bucket-root"),
            pytest.param("a/foo-ro-crate-metadata.json", id="detached"),
            pytest.param("a/ro-crate-metadata.json.bak", id="suffixed"),
            pytest.param("a/RO-Crate-Metadata.json", id="other-case"),
            pytest.param("a/ro-crate-metadata.json/", id="folder"),
            pytest.param("a/data.csv", id="other-file"),
        ],
    )
    def test_what_is_no_crate_in_a_folder_is_neither_matched_nor_packaged(self, key: str) -> None:
        event = object_created(key)
        assert not matches(workflow_run_crate_pattern(["amzn-s3-demo-bucket1"]), event)
        assert isinstance(translate(event), Ignored)

    @pytest.mark.parametrize("folder", [".quilt/", ".quilt/packages/"])
    def test_the_registry_itself_is_not_packaged(self, folder: str) -> None:
        translation = translate(object_created(f"{folder}ro-crate-metadata.json"))
        assert translation == Ignored(".quilt/ is the registry itself")

    def test_a_nested_crate_is_packaged_as_its_own_folder(self) -> None:
        assert folder_of(object_created("a/b/ro-crate-metadata.json")).prefix == "a/b/"


class TestCloudTrail:
    def call(self, event_name: str = "PutObject", **detail: object) -> dict[str, Any]:
        return with_detail("cloudtrail-put-object", eventName=event_name, **detail)

    @pytest.mark.parametrize(
        "event_name", ["PutObject", "PostObject", "CopyObject", "CompleteMultipartUpload"]
    )
    def test_call_that_creates_a_crate_is_packaged(self, event_name: str) -> None:
        event = self.call(event_name)
        assert translate(event) == ready(
            "amzn-s3-demo-bucket1", "my/s3/folder/", "workflow_run_crate", event["id"]
        )

    @pytest.mark.parametrize("folder", ODD_KEYS)
    def test_keys_are_raw(self, folder: str) -> None:
        parameters = {"bucketName": "b", "key": f"{folder}ro-crate-metadata.json"}
        assert folder_of(self.call(requestParameters=parameters)).prefix == folder

    def test_failed_call_is_ignored(self) -> None:
        assert translate(self.call(errorCode="AccessDenied")) == Ignored(
            '"PutObject" failed: "AccessDenied"'
        )

    @pytest.mark.parametrize("event_name", ["GetObject", "DeleteObject", "UploadPart"])
    def test_other_call_is_ignored(self, event_name: str) -> None:
        event = self.call(event_name, requestParameters=None)
        assert translate(event) == Ignored(f'"{event_name}" creates no object')

    @pytest.mark.parametrize(
        "key", ["a/data.csv", "ro-crate-metadata.json", ".quilt/x/ro-crate-metadata.json"]
    )
    def test_object_that_is_no_crate_in_a_folder_is_ignored(self, key: str) -> None:
        event = self.call(requestParameters={"bucketName": "b", "key": key})
        assert isinstance(translate(event), Ignored)

    @pytest.mark.parametrize("parameters", [None, {}, {"bucketName": "b"}, {"key": "a/b"}])
    def test_call_without_its_object_is_rejected(self, parameters: object) -> None:
        with pytest.raises(InvalidMessage, match="Malformed event"):
            translate(self.call(requestParameters=parameters))


class TestClassicNotifications:
    @pytest.mark.parametrize("folder", [*ODD_KEYS, "a//"])
    def test_the_key_is_form_decoded(self, folder: str) -> None:
        key = quote_plus(f"{folder}ro-crate-metadata.json", safe="/")
        assert folder_of(notification(key)) == SourceFolder("b", folder)

    def test_the_trigger_is_the_request_that_created_the_object(self) -> None:
        event = notification("a/ro-crate-metadata.json")
        event["Records"][0]["responseElements"] = {"x-amz-request-id": "C3D13FE58DE4C810"}
        assert translate(event) == ready("b", "a/", "workflow_run_crate", "C3D13FE58DE4C810")

    @pytest.mark.parametrize(
        "event",
        [
            pytest.param(notification("ro-crate-metadata.json"), id="bucket-root"),
            pytest.param(notification(".quilt%2Fx%2Fro-crate-metadata.json"), id="registry"),
            pytest.param(notification("a/data.csv"), id="other-file"),
            pytest.param(
                notification("a/ro-crate-metadata.json", event_name="ObjectRemoved:Delete"),
                id="deletion",
            ),
            pytest.param({"Records": []}, id="no-records"),
        ],
    )
    def test_what_is_no_crate_in_a_folder_is_ignored(self, event: dict[str, Any]) -> None:
        assert isinstance(translate(event), Ignored)

    def test_several_records_of_one_folder_are_one_folder(self) -> None:
        event = notification("a/x", "a/ro-crate-metadata.json", "a/ro-crate-metadata.json")
        assert folder_of(event).prefix == "a/"

    def test_several_folders_are_rejected_and_named(self) -> None:
        event = notification("a/ro-crate-metadata.json", "b/ro-crate-metadata.json")
        with pytest.raises(InvalidMessage, match='"s3://b/a/", "s3://b/b/"') as error:
            translate(event)
        assert "through EventBridge, where each has one object" in error.value.remedy

    def test_a_key_that_does_not_decode_is_rejected(self) -> None:
        with pytest.raises(InvalidMessage, match="does not decode"):
            translate(notification("%FF/ro-crate-metadata.json"))

    def test_records_of_other_services_are_rejected(self) -> None:
        event = notification("a/ro-crate-metadata.json")
        event["Records"][0]["eventSource"] = "aws:sqs"
        with pytest.raises(InvalidMessage, match="aws:sqs"):
            translate(event)

    def test_the_test_of_a_new_notification_is_ignored(self) -> None:
        event = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}
        assert isinstance(translate(event), Ignored)


class TestObjectsReady:
    def test_pattern_matches_the_event(self) -> None:
        assert matches(objects_ready_pattern(), sample("edp-objects-ready"))

    def test_pattern_matches_nothing_else(self) -> None:
        assert not matches(objects_ready_pattern(), sample("omics-today"))

    @pytest.mark.parametrize("prefix", ["prefix-path-1/prefix-path-2/", *ODD_KEYS])
    def test_the_prefix_is_the_folder(self, prefix: str) -> None:
        event = with_detail("edp-objects-ready", prefix=prefix)
        assert folder_of(event) == SourceFolder("bucket-name", prefix)

    def test_the_job_knows_who_sent_it(self) -> None:
        event = sample("edp-objects-ready")
        translated = translate(event)
        assert isinstance(translated, FolderReady)
        assert translated.trigger == Trigger("objects_ready", event["id"], EDP_SOURCE)

    def test_a_prefix_without_its_slash_is_still_the_folder(self) -> None:
        assert folder_of(with_detail("edp-objects-ready", prefix="a/b")).prefix == "a/b/"

    @pytest.mark.parametrize("prefix", ["", ".quilt/packages/", ".quilt"])
    def test_the_whole_bucket_and_the_registry_are_ignored(self, prefix: str) -> None:
        assert isinstance(translate(with_detail("edp-objects-ready", prefix=prefix)), Ignored)


class TestOptions:
    """The options of an event source."""

    ROOT_CRATE = object_created("ro-crate-metadata.json")

    def options(self, **wanted: Any) -> SourceOptions:
        return SourceOptions(kind="workflow_run_crate", **wanted)

    def test_a_buckets_root_is_packaged_where_that_is_allowed(self) -> None:
        allowed = self.options(allow_bucket_root=True)
        translation = translate(self.ROOT_CRATE, [allowed])
        assert isinstance(translation, FolderReady)
        assert translation.source.prefix == ""
        bucket = "amzn-s3-demo-bucket1"
        pattern = workflow_run_crate_pattern([bucket], allow_bucket_root=True)
        assert matches(pattern, self.ROOT_CRATE)

    @pytest.mark.parametrize(
        ("options", "folder", "packaged"),
        [
            ({"ignore_prefixes": ("tmp/**",)}, "tmp/a/", False),
            ({"ignore_prefixes": ("tmp",)}, "tmp/a/", False),
            ({"ignore_prefixes": ("tmp",)}, "tmpx/a/", True),
            ({"include_prefixes": ("runs/*",)}, "runs/a/b/", True),
            ({"include_prefixes": ("runs/*",)}, "other/a/", False),
            ({"include_prefixes": ("a",), "ignore_prefixes": ("a/b",)}, "a/b/", False),
        ],
    )
    def test_folders_are_packaged_by_their_prefix(
        self, options: dict[str, Any], folder: str, packaged: bool
    ) -> None:
        event = object_created(f"{folder}ro-crate-metadata.json")
        translation = translate(event, [self.options(**options)])
        assert isinstance(translation, FolderReady) == packaged

    def test_announcements_are_treated_by_who_sent_them(self) -> None:
        edp = SourceOptions(kind="objects_ready", settle_seconds=600)
        uploads = SourceOptions(kind="objects_ready", sender=UPLOADS_SOURCE, exclude=("*.tmp",))
        event = sample("edp-objects-ready")
        for sender, options in ((EDP_SOURCE, edp), (UPLOADS_SOURCE, uploads)):
            translation = translate(event | {"source": sender}, [edp, uploads])
            assert isinstance(translation, FolderReady)
            assert translation.options is options

    def test_runs_are_packaged_by_their_prefix_too(self) -> None:
        options = SourceOptions(kind="health_omics", ignore_prefixes=("omics-quilt",))
        assert isinstance(translate(sample("omics-2024-12"), [options]), Ignored)

    def test_the_registry_is_not_packaged_whatever_the_options(self) -> None:
        event = object_created(".quilt/ro-crate-metadata.json")
        allowed = self.options(allow_bucket_root=True, include_prefixes=("**",))
        assert isinstance(translate(event, [allowed]), Ignored)

    def test_each_event_has_the_options_of_its_source(self) -> None:
        others = self.options(only=("other",), exclude=("a",))
        mine = self.options(only=("amzn-s3-demo-bucket1",), exclude=("b",))
        translation = translate(sample("s3-object-created"), [others, mine])
        assert isinstance(translation, FolderReady)
        assert translation.options is mine


class TestShapes:
    @pytest.mark.parametrize(
        ("name", "field"),
        [
            *((name, field) for name in OMICS_GENERATIONS for field in ("arn", "status")),
            ("s3-object-created", "bucket"),
            ("s3-object-created", "object"),
            ("edp-objects-ready", "bucket"),
            ("edp-objects-ready", "prefix"),
        ],
    )
    def test_a_missing_field_is_rejected_and_named(self, name: str, field: str) -> None:
        event = sample(name)
        del event["detail"][field]
        with pytest.raises(InvalidMessage, match=f"it lacks the field {field}"):
            translate(event)

    @pytest.mark.parametrize(
        "name",
        [*OMICS_GENERATIONS, "s3-object-created", "cloudtrail-put-object", "edp-objects-ready"],
    )
    @pytest.mark.parametrize("detail", [None, [], "x", 5])
    def test_a_detail_of_another_type_is_rejected(self, name: str, detail: object) -> None:
        with pytest.raises(InvalidMessage, match="instead of an object"):
            translate(sample(name) | {"detail": detail})

    @pytest.mark.parametrize(
        ("source", "detail_type"),
        [
            ("aws.omics", "Object Created"),
            ("aws.s3", "Object Deleted"),
            ("aws.ec2", "AWS API Call via CloudTrail"),
            ("com.quiltdata", "package-revision"),
            (None, "x"),
            (["aws.s3"], {}),
        ],
    )
    def test_an_unknown_kind_is_rejected_and_named(
        self, source: object, detail_type: object
    ) -> None:
        with pytest.raises(InvalidMessage, match="Unknown kind"):
            translate({"source": source, "detail-type": detail_type, "detail": {}})

    @given(
        st.sampled_from(
            [*OMICS_GENERATIONS, "s3-object-created", "cloudtrail-put-object", "edp-objects-ready"]
        ),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: st.dictionaries(
                st.sampled_from(["arn", "status", "bucket", "object", "key", "name", "prefix"]),
                inner,
            ),
        ),
    )
    def test_any_detail_is_understood_or_rejected(self, name: str, detail: object) -> None:
        try:
            translation = translate(sample(name) | {"detail": detail})
        except InvalidMessage as error:
            assert error.code == "InvalidMessage"  # noqa: PT017 either is fine
            return
        assert isinstance(translation, FolderReady | OmicsRun | Ignored)


class TestLongTexts:
    def test_long_ids_and_senders_are_cut(self) -> None:
        text = "x" * 300_000
        trigger = Trigger("objects_ready", text, text)
        assert trigger == Trigger("objects_ready", "x" * 256, "x" * 256)

    def test_a_prefix_that_s3_cannot_have_is_rejected(self) -> None:
        event = with_detail("edp-objects-ready", prefix="a" * 1024)
        with pytest.raises(InvalidMessage, match=r'prefix "a.* at most 1024 bytes'):
            parse_message(json.dumps(event))

    def test_an_unknown_value_is_not_quoted_in_full(self) -> None:
        record = {"eventSource": "x" * 300_000, "eventName": "e", "s3": {}}
        with pytest.raises(InvalidMessage) as raised:
            translate({"Records": [record]})
        assert len(raised.value.reason) < 2000
