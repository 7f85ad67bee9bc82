"""The message: its fields, its forms, its rules, and its published schema."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec import UNSET
from quilt_packager_runtime.errors import MAX_NAMED, InvalidMessage
from quilt_packager_runtime.formats.json_documents import (
    MAX_DEPTH,
    MAX_INTEGER_DIGITS,
    MAX_METADATA_BYTES,
)
from quilt_packager_runtime.formats.names import MAX_PACKAGE_NAME, check_package_name
from quilt_packager_runtime.formats.objects import (
    MAX_KEY_BYTES,
    MAX_MESSAGE_BYTES,
    S3Uri,
    SourceFolder,
)
from quilt_packager_runtime.requests.events import FolderReady, Ignored, OmicsRun, Trigger
from quilt_packager_runtime.requests.messages import (
    MAX_COMMIT_MESSAGE_BYTES,
    Message,
    message_schema,
    parse_message,
)
from quilt_packager_runtime.requests.package_request import (
    MetadataFile,
    UnresolvedRequest,
    default_commit_message,
    request_for_folder,
)
from quilt_packager_runtime.settings.requirements import RequiredFiles
from quilt_packager_runtime.settings.source_options import SourceOptions

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "tests" / "data" / "events"
DOCS = ROOT / "docs" / "reference"
FIELDS = Message.__struct_fields__


def body(source_prefix: object = "s3://raw/runs/42/", **fields: object) -> str:
    return json.dumps({"source_prefix": source_prefix, **fields})


def request(text: str) -> UnresolvedRequest:
    parsed = parse_message(text)
    assert isinstance(parsed, UnresolvedRequest)
    return parsed


def ready(bucket: str, prefix: str, **options: Any) -> FolderReady:
    wanted = SourceOptions(kind="objects_ready", **options)
    return FolderReady(SourceFolder(bucket, prefix), Trigger("objects_ready"), wanted)


def rejection(text: str) -> str:
    with pytest.raises(InvalidMessage) as rejected:
        parse_message(text)
    return rejected.value.happened


def sns(message: str) -> str:
    return json.dumps({"Type": "Notification", "MessageId": "m", "Message": message})


class TestFields:
    def test_all_but_the_source_have_defaults(self) -> None:
        assert request(body()) == UnresolvedRequest(
            source=SourceFolder("raw", "runs/42/"),
            registry="raw",
            package_name="runs/42",
            is_default_name=True,
            metadata=None,
            metadata_file=None,
            commit_message="Packaged from s3://raw/runs/42/",
            workflow=UNSET,
            trigger=Trigger("message", None),
            ignored_fields=(),
        )

    def test_all_are_read(self) -> None:
        text = body(
            registry="s3://packages/",
            package_name="bench/EXP-1",
            metadata_uri="entry.json?versionId=v1",
            commit_message="Entry EXP-1",
            workflow="alpha",
        )
        assert request(text) == UnresolvedRequest(
            source=SourceFolder("raw", "runs/42/"),
            registry="packages",
            package_name="bench/EXP-1",
            metadata_file=MetadataFile(uri=S3Uri("raw", "runs/42/entry.json", "v1")),
            commit_message="Entry EXP-1",
            workflow="alpha",
            trigger=Trigger("message"),
        )

    @pytest.mark.parametrize("field", [name for name in FIELDS if name != "source_prefix"])
    def test_null_equals_absent(self, field: str) -> None:
        assert parse_message(body(**{field: None})) == parse_message(body())

    @pytest.mark.parametrize(
        "field", [name for name in FIELDS if name not in {"source_prefix", "workflow"}]
    )
    def test_empty_equals_absent(self, field: str) -> None:
        assert parse_message(body(**{field: ""})) == parse_message(body())

    def test_an_empty_field_excludes_no_other(self) -> None:
        file = request(body(metadata="", metadata_uri="m.json")).metadata_file
        assert file
        assert str(file.uri) == "s3://raw/runs/42/m.json"
        assert request(body(metadata={}, metadata_uri="")).metadata == {}

    def test_unknown_fields_are_ignored_and_reported(self) -> None:
        parsed = request(body(should_copy_data=True, x=None))
        assert parsed.ignored_fields == ("should_copy_data", "x")
        assert parsed.warnings == ("Unknown field should_copy_data.", "Unknown field x.")

    def test_a_misspelled_field_leaves_a_suggestion(self) -> None:
        parsed = request(body(packge_name="a/b", exlude=["*.tmp"]))
        assert parsed.warnings == (
            "Unknown field packge_name; did you mean package_name?",
            "Unknown field exlude; did you mean exclude?",
        )

    def test_reported_fields_are_bounded(self) -> None:
        parsed = request(body(**{f"{n}-" + "x" * 5000: n for n in range(30)}))
        assert len(parsed.ignored_fields) == MAX_NAMED
        assert max(map(len, parsed.ignored_fields)) == 1024

    @pytest.mark.parametrize(
        ("given_workflow", "workflow"), [(None, UNSET), ("", None), ("alpha", "alpha")]
    )
    def test_the_workflow_has_three_states(self, given_workflow: object, workflow: object) -> None:
        assert request(body(workflow=given_workflow)).workflow == workflow

    @pytest.mark.parametrize(
        "metadata",
        [
            {},
            {"a": {"b": [1, 2.5, None, True, "ä", ""]}},
            {"float": 1e-07, "whole": 1.0, "big": 12345678901234567890123, "minus": -0.0},
        ],
    )
    def test_metadata_is_what_the_standard_library_reads(self, metadata: dict[str, Any]) -> None:
        read = request(body(metadata=metadata)).metadata
        assert json.dumps(read) == json.dumps(metadata)

    def test_metadata_of_the_largest_size_is_accepted(self) -> None:
        text = "x" * (MAX_METADATA_BYTES - len('{"a": ""}'))
        assert request(body(metadata={"a": text})).metadata == {"a": text}
        assert "metadata: it has 1,000,001 bytes" in rejection(body(metadata={"a": text + "x"}))

    def test_the_default_commit_message_is_constant_for_a_source(self) -> None:
        file = body("s3://raw/a%20b/metadata.json")
        assert request(file).commit_message == request(body("s3://raw/a b/")).commit_message

    def test_the_default_commit_message_differs_between_sources(self) -> None:
        sources = [SourceFolder("a", "b/"), SourceFolder("a", ""), SourceFolder("a", "b%2F/")]
        assert len({default_commit_message(source) for source in sources}) == len(sources)

    @pytest.mark.parametrize(
        ("prefix", "uri"),
        [
            ("s3://b/run#1/", "s3://b/run%231/entry.json"),
            ("s3://b/f/metadata.json", "s3://b/f/entry.json"),
            ("s3://b", "s3://b/entry.json"),
        ],
    )
    def test_the_metadata_uri_is_relative_to_the_source(self, prefix: str, uri: str) -> None:
        file = request(body(prefix, metadata_uri="entry.json")).metadata_file
        assert file
        assert str(file.uri) == uri

    def test_an_inferred_name_that_is_too_long_asks_for_a_package_name(self) -> None:
        prefix = f"s3://b/{'x' * 1000}/y/"
        assert "package_name (inferred)" in rejection(body(prefix))
        assert request(body(prefix, package_name="x/y")).package_name == "x/y"


class TestRules:
    @pytest.mark.parametrize(
        ("fields", "violation"),
        [
            ({"source_prefix": None}, "source_prefix: it is missing"),
            (
                {"source_prefix": None, "source_prefx": "s3://b/a/"},
                "source_prefix: it is missing (source_prefx is no field)",
            ),
            (
                {"on_foreign_revision": "hol"},
                "the values are replace, carry, hold; did you mean hold?",
            ),
            ({"source_prefix": 5}, "source_prefix: it is a whole number instead of a string"),
            ({"source_prefix": ["s3://b/"]}, "source_prefix: it is a list instead of a string"),
            ({"source_prefix": ""}, 'source_prefix "": an S3 URI begins with s3://'),
            ({"source_prefix": "s3://b/%FF/"}, "its percent-escapes are not UTF-8"),
            ({"source_prefix": "s3://b/.quilt/"}, ".quilt/ holds the registry itself"),
            ({"registry": "arn:aws:s3:::b"}, 'registry "arn:aws:s3:::b": a bucket\'s name'),
            ({"registry": "s3://b/c"}, "a registry is a whole bucket"),
            ({"package_name": "a/b\n"}, 'package_name "a/b\\n": a package name'),
            ({"metadata": []}, "metadata: it is a list instead of an object"),
            ({"metadata": "{}"}, "metadata: it is a string instead of an object"),
            ({"metadata_uri": "http://b/m"}, "metadata is read from S3 alone"),
            ({"metadata_uri": "sub/"}, "it leads to a folder"),
            ({"commit_message": " \n"}, "it is empty"),
            ({"commit_message": 1}, "commit_message: it is a whole number instead of a string"),
            ({"workflow": False}, "workflow: it is true or false instead of a string"),
            (
                {"metadata": {}, "metadata_uri": "m.json"},
                "metadata, metadata_uri: they exclude each other",
            ),
        ],
    )
    def test_a_broken_rule_is_reported_with_the_value(
        self, fields: dict[str, Any], violation: str
    ) -> None:
        assert violation in rejection(body(**fields))

    def test_each_broken_rule_has_its_field(self) -> None:
        with pytest.raises(InvalidMessage) as caught:
            parse_message(body("s3://raw/", registry="B!", metadata={}, metadata_uri="m.json"))
        assert caught.value.rules.keys() == {"registry", "metadata"}
        assert caught.value.rules["metadata"] == "they exclude each other"

    def test_all_broken_rules_are_reported_at_once(self) -> None:
        reported = rejection(
            body(
                "http://b/f/",
                registry="B!",
                package_name="a",
                metadata={},
                metadata_uri="http://x",
                commit_message=" ",
                workflow=5,
            )
        )
        order = [
            "workflow: ",
            'source_prefix "http://b/f/"',
            'registry "B!"',
            'package_name "a"',
            'metadata_uri "http://x"',
            "metadata, metadata_uri",
            'commit_message " "',
        ]
        assert sorted(order, key=reported.index) == order

    def test_a_long_commit_message_is_accepted_up_to_the_limit(self) -> None:
        text = "ä" * (MAX_COMMIT_MESSAGE_BYTES // 2)
        assert request(body(commit_message=text)).commit_message == text
        assert "commit_message" in rejection(body(commit_message=text + "x"))

    def test_a_rejection_does_not_repeat_a_huge_value(self) -> None:
        assert len(rejection(body("x" * 1_000_000))) < 2000

    @pytest.mark.parametrize("metadata", [{"token": "secret"}, "secret", ["secret"]])
    def test_a_rejection_shows_no_metadata(self, metadata: object) -> None:
        assert "secret" not in rejection(body(metadata=metadata, registry="B!"))


class TestForms:
    @pytest.mark.parametrize(
        "wrap",
        [
            pytest.param(str, id="plain"),
            pytest.param(lambda text: f" {text}\r\n", id="in-white-space"),
            pytest.param(json.dumps, id="double-encoded"),
            pytest.param(lambda text: json.dumps(json.dumps(text)), id="triple-encoded"),
            pytest.param(sns, id="sns"),
            pytest.param(lambda text: sns(json.dumps(text)), id="sns-around-double-encoded"),
            pytest.param(lambda text: json.dumps(sns(text)), id="double-encoded-sns"),
            pytest.param(lambda text: sns(sns(text)), id="sns-around-sns"),
        ],
    )
    @pytest.mark.parametrize(
        "inner",
        [
            pytest.param(body(metadata={"a": 'ä"\\ 1'}), id="message"),
            pytest.param((SAMPLES / "omics-2024-12.json").read_text(), id="omics-event"),
            pytest.param((SAMPLES / "omics-2023-07.json").read_text(), id="omics-lookup"),
            pytest.param((SAMPLES / "s3-object-created.json").read_text(), id="s3-event"),
            pytest.param('{"Service": "Amazon S3", "Event": "s3:TestEvent"}', id="s3-test"),
        ],
    )
    def test_each_body_may_be_wrapped(self, wrap: Any, inner: str) -> None:
        assert parse_message(wrap(inner)) == parse_message(inner)

    @pytest.mark.parametrize(
        ("name", "kind", "source"),
        [
            ("s3-object-created", "workflow_run_crate", "s3://amzn-s3-demo-bucket1/my/s3/folder/"),
            ("sns-s3-notification", "workflow_run_crate", "s3://b/my%20folder/"),
            ("edp-objects-ready", "objects_ready", "s3://bucket-name/prefix-path-1/prefix-path-2/"),
        ],
    )
    def test_an_event_requests_the_package_of_its_folder(
        self, name: str, kind: str, source: str
    ) -> None:
        parsed = request((SAMPLES / f"{name}.json").read_text())
        assert str(parsed.source) == source
        assert parsed.trigger.kind == kind
        assert parsed.registry == parsed.source.bucket
        assert parsed.commit_message == f"Packaged from {source}"
        assert parsed.package_name is not None
        assert check_package_name(parsed.package_name)

    @pytest.mark.parametrize("name", ["omics-2023-07", "omics-2024-12", "omics-today"])
    def test_a_run_is_returned_for_its_lookup(self, name: str) -> None:
        parsed = parse_message((SAMPLES / f"{name}.json").read_text())
        assert isinstance(parsed, OmicsRun)

    def test_a_test_event_is_ignored(self) -> None:
        assert isinstance(parse_message('{"Event": "s3:TestEvent"}'), Ignored)

    def test_a_message_wins_over_fields_that_look_like_an_event(self) -> None:
        assert request(body(Records=[], Type="Notification")).package_name == "runs/42"

    @pytest.mark.parametrize("bucket", ["a b", "169.254.169.254", "a/b", ""])
    def test_an_event_with_an_illegal_bucket_is_rejected(self, bucket: str) -> None:
        with pytest.raises(InvalidMessage, match="bucket's name"):
            request_for_folder(ready(bucket, "a/"))

    def test_an_event_whose_folder_gives_too_long_a_name_is_rejected(self) -> None:
        with pytest.raises(InvalidMessage, match="at most"):
            request_for_folder(ready("b", "x" * 1000 + "/"))


CRATE = "ro-crate-metadata.json"


class TestCrates:
    """Messages and events that name a crate."""

    def of_crate(self, text: str) -> bool:
        file = request(text).metadata_file
        return file is not None and file.format == "ro-crate"

    def crate_at(self, bucket: str, folder: str, *, optional: bool) -> MetadataFile:
        uri = S3Uri(bucket, folder + CRATE)
        return MetadataFile(uri=uri, format="ro-crate", optional=optional)

    def test_a_crate_named_as_metadata_must_be_usable(self) -> None:
        wanted = request(body(metadata_uri=CRATE, metadata_format="ro-crate"))
        assert wanted.metadata_file == self.crate_at("raw", "runs/42/", optional=False)

    def test_a_crate_named_as_the_source_is_optional_metadata(self) -> None:
        wanted = request(body(f"s3://raw/runs/42/{CRATE}?versionId=v1"))
        assert wanted.source == SourceFolder("raw", "runs/42/")
        assert wanted.metadata_file == self.crate_at("raw", "runs/42/", optional=True)

    @pytest.mark.parametrize(
        "fields",
        [{"metadata": {}}, {"metadata_uri": "entry.json"}, {"metadata_format": "json"}],
    )
    def test_explicit_metadata_wins_over_the_crate_of_the_source(
        self, fields: dict[str, Any]
    ) -> None:
        assert not self.of_crate(body(f"s3://raw/runs/42/{CRATE}", **fields))

    @pytest.mark.parametrize("name", ["", "entry.json", f"foo-{CRATE}", f"{CRATE}/"])
    def test_no_other_source_is_a_crate(self, name: str) -> None:
        assert not self.of_crate(body(f"s3://raw/runs/42/{name}"))

    def test_a_crates_event_takes_its_crate(self) -> None:
        wanted = request((SAMPLES / "s3-object-created.json").read_text())
        crate = self.crate_at("amzn-s3-demo-bucket1", "my/s3/folder/", optional=True)
        assert wanted.metadata_file == crate

    @pytest.mark.parametrize("fields", [{}, {"metadata": {}}, {"metadata_format": "json"}])
    def test_a_crate_of_the_contents_must_be_usable(self, fields: dict[str, Any]) -> None:
        for source in ("s3://raw/runs/42/", f"s3://raw/runs/42/{CRATE}"):
            file = request(body(source, contents="crate", **fields)).metadata_file
            assert file
            assert (file.uri.key, file.optional) == (f"runs/42/{CRATE}", False)
            assert file.only_name is bool(fields)

    def test_contents_are_taken_over(self) -> None:
        wanted = request(body(contents="folder", missing_parts="leave_out"))
        assert (wanted.contents, wanted.missing_parts) == ("folder", "leave_out")
        assert wanted.metadata_file is None

    def test_contents_of_a_crate_exclude_other_metadata_files(self) -> None:
        reason = rejection(body(contents="crate", metadata_uri="entry.json"))
        assert "contents: crate requires metadata_format: ro-crate" in reason

    @pytest.mark.parametrize("fields", [{"contents": "zip"}, {"missing_parts": "ignore"}])
    def test_unknown_contents_are_rejected(self, fields: dict[str, Any]) -> None:
        assert next(iter(fields)) in rejection(body(**fields))

    def test_a_format_without_a_file_is_rejected(self) -> None:
        assert "metadata_format: it requires a metadata_uri" in rejection(
            body(metadata_format="ro-crate")
        )

    def test_an_unknown_format_is_rejected(self) -> None:
        assert "metadata_format" in rejection(body(metadata_uri="a.json", metadata_format="yaml"))


class TestSourceOptions:
    """Requests of events, by the options of their source."""

    def of_crate(self, **options: Any) -> UnresolvedRequest:
        text = (SAMPLES / "s3-object-created.json").read_text()
        wanted = SourceOptions(kind="workflow_run_crate", **options)
        parsed = parse_message(text, sources=[wanted])
        assert isinstance(parsed, UnresolvedRequest)
        return parsed

    def test_the_crate_may_be_ignored(self) -> None:
        assert self.of_crate(metadata=False).metadata_file is None

    def test_the_crate_may_be_the_contents_alone(self) -> None:
        wanted = self.of_crate(metadata=False, contents="crate", missing_parts="leave_out")
        assert wanted.metadata_file
        assert (wanted.metadata_file.only_name, wanted.metadata_file.optional) == (True, False)
        assert (wanted.contents, wanted.missing_parts) == ("crate", "leave_out")

    def test_the_contents_of_a_run_may_be_those_of_its_crate(self) -> None:
        folder = ready("raw", "a/42/", contents="crate")
        wanted = request_for_folder(folder, described={"run_id": "42"})
        assert wanted.metadata == {"run_id": "42"}
        assert wanted.metadata_file
        assert (wanted.metadata_file.only_name, wanted.metadata_file.optional) == (True, False)

    def test_the_crate_may_only_name_the_package(self) -> None:
        file = self.of_crate(metadata=False, package_name="runs/{run_id}").metadata_file
        assert file
        assert file.only_name

    def test_excluded_files_and_time_are_those_of_the_source(self) -> None:
        wanted = self.of_crate(
            exclude=("work/**",), settle_seconds=60, require=("crate",), require_timeout_seconds=0
        )
        assert (wanted.exclude, wanted.settle_seconds) == (("work/**",), 60)
        assert (wanted.require, wanted.require_timeout_seconds) == (("crate",), 0)

    def test_a_name_without_fields_of_the_crate_is_complete(self) -> None:
        wanted = self.of_crate(package_name="{bucket}/{folder}")
        assert wanted.package_name == "amzn-s3-demo-bucket1/folder"
        assert wanted.name_template is None

    def test_a_name_with_fields_of_the_crate_is_unresolved(self) -> None:
        wanted = self.of_crate(package_name="{workflow_name}/{run_id}")
        assert wanted.package_name is None
        assert wanted.name_template == "{workflow_name}/{run_id}"

    def test_details_of_a_run_describe_and_name_it(self) -> None:
        wanted = request_for_folder(
            ready("raw", "a/42/", package_name="{bucket}/{folder}"), described={"run_id": "42"}
        )
        assert (wanted.package_name, wanted.metadata) == ("raw/42", {"run_id": "42"})

    def test_details_of_a_run_may_be_left_out(self) -> None:
        silent = ready("raw", "a/42/", metadata=False)
        assert request_for_folder(silent, described={"run_id": "42"}).metadata is None


class TestExclude:
    def test_is_taken_over(self) -> None:
        assert request(body(exclude=["work/**", ".nextflow*"])).exclude == (
            "work/**",
            ".nextflow*",
        )

    @pytest.mark.parametrize("lists", ["auto", ["*.md5"], False])
    def test_verify_checksums_is_auto_globs_or_false(self, lists: object) -> None:
        expected = tuple(lists) if isinstance(lists, list) else lists
        assert request(body(verify_checksums=lists)).verify_checksums == expected

    @pytest.mark.parametrize("lists", [None, ""])
    def test_verify_checksums_is_auto_by_default(self, lists: object) -> None:
        assert request(body(verify_checksums=lists)).verify_checksums == "auto"

    @pytest.mark.parametrize(
        "lists", [True, [], "md5sum.txt", 1, {}, [""], ["/a.md5"], ["a"] * 101]
    )
    def test_other_values_of_verify_checksums_are_rejected(self, lists: object) -> None:
        assert "verify_checksums" in rejection(body(verify_checksums=lists))

    @pytest.mark.parametrize("exclude", ["work", [1], [""], ["/work"], ["a"] * 101])
    def test_is_a_list_of_globs(self, exclude: object) -> None:
        assert "exclude" in rejection(body(exclude=exclude))


class TestRequire:
    @pytest.mark.parametrize(("given", "seconds"), [(None, 900), (0, 0), (43_200, 43_200)])
    def test_is_waited_for_up_to_a_timeout(self, given: object, seconds: int) -> None:
        assert request(body(require_timeout_seconds=given)).require_timeout_seconds == seconds

    @pytest.mark.parametrize("seconds", [-1, 43_201, 1.5, "1"])
    def test_timeout_is_limited(self, seconds: object) -> None:
        reported = rejection(body(require_timeout_seconds=seconds))
        assert "require_timeout_seconds" in reported

    def test_is_taken_over_each_once(self) -> None:
        files = {"files": ["CopyComplete.txt", "*.bam"]}
        assert request(body(require=["crate", files, "crate"])).require == (
            "crate",
            RequiredFiles(("CopyComplete.txt", "*.bam")),
        )

    @pytest.mark.parametrize(
        "require",
        [
            "crate",
            ["crates"],
            [{"files": []}],
            [{"files": ["/a"]}],
            [{"file": ["a"]}],
            [{"files": ["a"] * 60}, {"files": ["b"] * 60}],
        ],
    )
    def test_is_a_list_of_requirements(self, require: object) -> None:
        assert "require" in rejection(body(require=require))


class TestAbuse:
    @pytest.mark.parametrize(
        ("text", "rule"),
        [
            ("", "not JSON"),
            ("s3://raw/runs/42/", "not JSON"),
            ("null", "not an object"),
            ("5", "not an object"),
            ("[]", "not an object"),
            ('"hello"', "not JSON"),
            ('""', "not JSON"),
            ("{}", "source_prefix: it is missing"),
            ('{"Type": "Notification"}', "source_prefix: it is missing"),
            ('{"Type": "Notification", "Message": 5}', "not an object"),
            ('{"Type": "SubscriptionConfirmation"}', "source_prefix: it is missing"),
            ('{"Event": "s3:OtherEvent"}', "Unknown kind"),
            ("\ufeff{}", "BOM"),
            (body(metadata={"a": float("nan")}), "NaN"),
            (body(metadata={"a": float("-inf")}), "-Infinity"),
            (body().replace("}", ', "metadata": {"a": 1e999}}'), "too large"),
            (body(metadata={"a": "\ud800"}), "surrogate"),
            ('{"source_prefix": "s3://b/\ud800/"}', "surrogate"),
            (sns('{"source_prefix": "s3://b/\\ud800/"}'), "surrogate"),
        ],
    )
    def test_is_rejected_with_its_rule(self, text: str, rule: str) -> None:
        assert rule in rejection(text)

    def test_many_digits_are_rejected(self) -> None:
        text = '{"source_prefix": "s3://b/f/", "metadata": {"a": ' + "1" * 5000 + "}}"
        assert "digits" in rejection(text)

    @pytest.mark.parametrize("depth", [101, 1_000, 100_000])
    def test_deep_nesting_is_rejected(self, depth: int) -> None:
        text = '{"source_prefix": "s3://b/f/", "metadata": ' + '{"a":' * depth + "1" + "}" * depth
        assert "deeper" in rejection(text + "}")

    def test_a_body_of_the_largest_size_is_read(self) -> None:
        text = body()
        assert request(text.ljust(MAX_MESSAGE_BYTES)).package_name == "runs/42"
        assert "1,048,576 bytes" in rejection(text.ljust(MAX_MESSAGE_BYTES + 1))

    def test_the_last_of_a_repeated_field_counts(self) -> None:
        text = '{"source_prefix": "s3://a/x/", "source_prefix": "s3://b/y/"}'
        assert request(text).source == SourceFolder("b", "y/")

    @given(st.text() | st.text(st.sampled_from('[]{}",:\\ud8001e9NaI-. ')))
    @example('"' * 1000)
    def test_any_text_is_read_or_rejected(self, text: str) -> None:
        try:
            parse_message(text)
        except InvalidMessage as error:
            assert error.reason.isprintable()  # noqa: PT017 reading is fine too

    @given(
        st.dictionaries(
            st.sampled_from([*FIELDS, "Type", "Message", "Records", "Event", "detail-type"]),
            st.none()
            | st.integers()
            | st.text()
            | st.text(st.sampled_from("s3:/b.%F?versionId=#"))
            | st.lists(st.none(), max_size=2)
            | st.dictionaries(st.text(), st.floats(), max_size=2),
        )
    )
    def test_any_fields_are_read_or_rejected(self, fields: dict[str, Any]) -> None:
        try:
            parsed = parse_message(json.dumps(fields))
        except InvalidMessage as error:
            assert error.code == "InvalidMessage"  # noqa: PT017 reading is fine too
            return
        assert isinstance(parsed, UnresolvedRequest | OmicsRun | Ignored)

    @given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
    @example("run#1/what?/%2F/a\nb")
    def test_any_folder_is_found_by_its_uri(self, prefix: str) -> None:
        folder = SourceFolder("b", f"f/{prefix}/")
        assert request(body(str(folder))).source == folder


class TestSchema:
    def test_the_committed_file_is_current(self) -> None:
        assert (DOCS / "message.schema.json").read_text() == message_schema()

    def test_it_is_a_schema(self) -> None:
        Draft202012Validator.check_schema(json.loads(message_schema()))

    @pytest.mark.parametrize(
        "text",
        [
            body(),
            body(workflow="", metadata={}),
            body(registry=None, package_name=None, metadata=None, metadata_uri="m"),
            body(package_name="a/b", commit_message="Hi", unknown=5),
            body(registry="", package_name="", commit_message="", metadata_uri=""),
        ],
    )
    def test_it_accepts_valid_messages(self, text: str) -> None:
        request(text)
        Draft202012Validator(json.loads(message_schema())).validate(json.loads(text))

    @pytest.mark.parametrize(
        "text",
        [
            "{}",
            "[]",
            body(5),
            body(metadata=[]),
            body(package_name="a"),
            body(commit_message=" "),
            body(metadata={}, metadata_uri="m"),
            body(sources=[{"prefix": "s3://raw/x/"}]),
            '{"sources": []}',
            '{"sources": [{"into": "x/"}]}',
        ],
    )
    def test_it_refuses_invalid_messages(self, text: str) -> None:
        assert rejection(text)
        validator = Draft202012Validator(json.loads(message_schema()))
        assert not validator.is_valid(json.loads(text))

    def test_its_examples_are_accepted(self) -> None:
        fields = json.loads(message_schema())["$defs"]["Message"]["properties"]
        for name, field in fields.items():
            for value in field.get("examples", []):
                source = "source_prefix" if name != "sources" else name
                request(json.dumps({source: "s3://raw/runs/42/", name: value}))


class TestReference:
    TEXT = (DOCS / "messages.md").read_text()

    @pytest.mark.parametrize("field", FIELDS)
    def test_every_field_is_documented(self, field: str) -> None:
        assert f"| `{field}` |" in self.TEXT

    def test_every_documented_message_is_accepted(self) -> None:
        examples = re.findall(r"```json\n(.*?)```", self.TEXT, flags=re.DOTALL)
        assert examples
        for text in examples:
            request(text)

    @pytest.mark.parametrize(
        "limit",
        [
            MAX_MESSAGE_BYTES,
            MAX_METADATA_BYTES,
            MAX_COMMIT_MESSAGE_BYTES,
            MAX_PACKAGE_NAME,
            MAX_KEY_BYTES,
            MAX_DEPTH,
            MAX_INTEGER_DIGITS,
        ],
    )
    def test_every_limit_is_documented(self, limit: int) -> None:
        assert f" {limit:,} " in self.TEXT


class TestDefaultRegistry:
    def test_receives_messages_without_a_registry(self) -> None:
        request = parse_message('{"source_prefix": "s3://raw/f/"}', default_registry="packages")
        assert isinstance(request, UnresolvedRequest)
        assert request.registry == "packages"

    def test_yields_to_the_message(self) -> None:
        body = '{"source_prefix": "s3://raw/f/", "registry": "mine"}'
        request = parse_message(body, default_registry="packages")
        assert isinstance(request, UnresolvedRequest)
        assert request.registry == "mine"

    def test_receives_events(self) -> None:
        request = request_for_folder(ready("raw", "f/"), default_registry="packages")
        assert request.registry == "packages"
