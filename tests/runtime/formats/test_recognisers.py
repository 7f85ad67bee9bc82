"""Recognisers as data, and the files that complete folders."""

import fnmatch
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quilt_packager_runtime.formats.globs import check_globs
from quilt_packager_runtime.formats.recognisers import (
    LEFT_OUT,
    RECOGNISERS,
    completion_globs,
    find_completed,
)
from quilt_packager_runtime.settings.upload_settings import check_ready_when
from quilt_packager_runtime.uploads.upload_events import uploads_pattern

KINDS_WITH_MARKER = tuple(dict.fromkeys(each.kind for each in RECOGNISERS if each.completion))


@pytest.mark.parametrize(
    ("key", "ready_when", "prefix"),
    [
        ("runs/240101_A/CopyComplete.txt", "illumina", "runs/240101_A/"),
        ("a/b/c/d/CopyComplete.txt", "illumina", "a/b/c/d/"),
        ("lab/run/final_summary_FAX_1_2.txt", "nanopore", "lab/run/"),
        ("out/1/pipeline_info/execution_report_2026.html", "nf-core", "out/1/"),
        ("s1/outs/web_summary.html", "cell-ranger", "s1/"),
        ("m/outs/per_sample_outs/s1/web_summary.html", "cell-ranger", "m/"),
        ("run/ro-crate-metadata.json", "ro-crate", "run/"),
        ("run/reports/all.done", "reports/*.done", "run/"),
        ("run/xCopyComplete.txt", "illumina", None),
        ("run/Data/execution_report_1.html", "nf-core", None),
        ("pipeline_info/execution_report_1.html", "nf-core", None),
        ("CopyComplete.txt", "illumina", None),
    ],
)
def test_marker_completes_its_folder(key: str, ready_when: str, prefix: str | None) -> None:
    assert find_completed(key, (ready_when,)) == prefix


@pytest.mark.parametrize("glob", ["illumina.done", "_SUCCESS", "a/*.txt", "DONE"])
def test_name_of_a_file_is_no_misspelled_kind(glob: str) -> None:
    assert check_ready_when(glob) == (glob,)


def test_kinds_and_globs_may_be_combined() -> None:
    names = ("illumina", "DONE.txt")
    assert find_completed("a/b/DONE.txt", names) == "a/b/"
    assert find_completed("a/b/CopyComplete.txt", names) == "a/b/"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("ilumina", "no kind of folder is 'ilumina'; did you mean 'illumina'?"),
        ("Illumina", "did you mean 'illumina'?"),
        (["nf_core"], "did you mean 'nf-core'?"),
        ("zarr", "zarr has no completion marker; those with one: ro-crate, nf-core"),
        ("done", "no kind of folder is 'done'; Those with a marker"),
        ("**/a.txt", "has an empty component, or"),
        ("/a.txt", "has an empty component, or"),
        (5, "Expected `str | array`, got `int`"),
    ],
)
def test_value_that_completes_no_folder_is_refused(value: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        check_ready_when(value)


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(ValueError, match=r"'nope'.*zarr has no"):
        check_ready_when(["nope", "zarr", "illumina"])


def test_globs_left_out_are_valid_in_a_message() -> None:
    assert check_globs(LEFT_OUT) == LEFT_OUT


def test_marker_names_have_no_globs_that_never_match() -> None:
    """`find_completed` and the walk match component by component."""
    globs = [*(glob for each in RECOGNISERS for glob in (*each.markers, *each.completion))]
    assert not [glob for glob in globs if "**" in glob or glob.startswith("/")]
    assert all(each.markers or each.folder for each in RECOGNISERS)


keys = st.lists(
    st.sampled_from(["a", "outs", "pipeline_info", "per_sample_outs", "CopyComplete.txt"]),
    min_size=1,
    max_size=4,
)
names = st.sampled_from(
    ["CopyComplete.txt", "final_summary_x.txt", "web_summary.html", "execution_report.html", "b"]
)


@settings(max_examples=50)
@given(keys, names)
def test_rule_matches_every_marker(folders: list[str], name: str) -> None:
    key = "/".join([*folders, name])
    detail: Any = uploads_pattern(["raw"], ready_when=KINDS_WITH_MARKER)["detail"]
    is_matched = any(
        key.endswith(each["suffix"])
        if "suffix" in each
        else fnmatch.fnmatchcase(key, each["wildcard"])
        for each in detail["object"]["key"]
    )
    assert is_matched or find_completed(key, KINDS_WITH_MARKER) is None


def test_completion_globs_are_named_once() -> None:
    assert completion_globs(["illumina", "CopyComplete.txt"]) == ("CopyComplete.txt",)
