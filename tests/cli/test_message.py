import json

import pytest

from quilt_packager.cli.message import to_body


@pytest.mark.parametrize("text", ["s3://raw/runs/42/", " s3://raw/runs/42/\n"])
def test_a_folder_is_a_message(text: str) -> None:
    assert json.loads(to_body(text)) == {"source_prefix": "s3://raw/runs/42/"}


@pytest.mark.parametrize("text", ['{"source_prefix": "s3://raw/"}', '"{}"', "[]", "", " {"])
def test_json_is_sent_as_it_is(text: str) -> None:
    assert to_body(text) == text


def test_what_is_no_json_was_meant_as_a_folder() -> None:
    assert json.loads(to_body("raw/runs/42/")) == {"source_prefix": "raw/runs/42/"}
