"""The folders of a message that has several."""

import json
from typing import Any

import pytest
from quilt_packager_runtime.errors import InvalidMessage
from quilt_packager_runtime.formats.objects import S3Uri, Source, SourceFolder

from tests.package_requests import request_of

FIRST, SECOND = {"prefix": "s3://raw/runs/42/", "into": "raw/"}, {"prefix": "s3://results/42/"}


def rejection(*sources: dict[str, Any], **fields: Any) -> str:
    with pytest.raises(InvalidMessage) as caught:
        request_of({"sources": list(sources), **fields})
    return caught.value.happened


def test_the_first_is_the_source_of_the_package() -> None:
    request = request_of({"sources": [FIRST, SECOND], "metadata_uri": "entry.json"})
    assert request.source == SourceFolder("raw", "runs/42/")
    assert (request.registry, request.package_name) == ("raw", "runs/42")
    assert request.commit_message == "Packaged from s3://raw/runs/42/"
    assert request.metadata_file
    assert request.metadata_file.uri == S3Uri("raw", "runs/42/entry.json")


def test_each_has_a_place_in_the_package() -> None:
    assert request_of({"sources": [FIRST, SECOND]}).sources == (
        Source("raw", "runs/42/", "raw/"),
        Source("results", "42/"),
    )


def test_one_at_the_root_equals_a_source_prefix() -> None:
    assert request_of({"sources": [SECOND]}) == request_of({"source_prefix": SECOND["prefix"]})


def test_whole_buckets_need_no_slash() -> None:
    assert request_of({"sources": [{"prefix": "s3://raw"}]}).source == SourceFolder("raw", "")


@pytest.mark.parametrize(
    ("prefix", "rule"),
    [
        ("s3://raw/runs/42", "a folder of several ends in /"),
        ("s3://raw/runs/?versionId=v1", "has no version"),
        ("raw/", "an S3 URI begins with s3://"),
        ("s3://raw/.quilt/packages/", "holds the registry itself"),
    ],
)
def test_each_is_a_folder(prefix: str, rule: str) -> None:
    reported = rejection(FIRST, {"prefix": prefix})
    assert f"sources[1].prefix {json.dumps(prefix)}: " in reported
    assert rule in reported


@pytest.mark.parametrize("into", ["raw", "/", "/raw/", "a//b/", "../", "a/./b/"])
def test_places_are_folders_of_a_package(into: str) -> None:
    reported = rejection({**FIRST, "into": into})
    assert f"sources[0].into {json.dumps(into)}: it ends in /" in reported


def test_all_broken_rules_are_reported_at_once() -> None:
    reported = rejection(
        FIRST,
        FIRST,
        {"prefix": "x", "into": "y"},
        source_prefix="s3://raw/",
        contents="crate",
    )
    for rule in (
        'sources: "s3://raw/runs/42/" is there twice',
        'sources[2].prefix "x"',
        'sources[2].into "y"',
        "source_prefix, sources: they exclude each other",
        "contents: crate packages one folder",
    ):
        assert rule in reported


@pytest.mark.parametrize("count", [0, 101])
def test_their_number_is_limited(count: int) -> None:
    assert f"it has 1 to 100 folders, not {count}" in rejection(*[SECOND] * count)
