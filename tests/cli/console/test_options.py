"""MESSAGE arguments: folders and JSON."""

import json

import pytest

from quilt_packager.cli.console.options import to_body
from tests.cli.conftest import Cli


@pytest.mark.parametrize("text", ["s3://raw/runs/42/", " s3://raw/runs/42/\n"])
def test_a_folder_is_a_message(text: str) -> None:
    assert json.loads(to_body(text)) == {"source_prefix": "s3://raw/runs/42/"}


@pytest.mark.parametrize("text", ['{"source_prefix": "s3://raw/"}', '"{}"', "[]", "", " {"])
def test_json_is_unchanged(text: str) -> None:
    assert to_body(text) == text


def test_several_folders_are_sources_with_their_places() -> None:
    assert json.loads(to_body("s3://raw/runs/42/", ["s3://raw/date=1/=a/", "s3://b/=", "x"])) == {
        "sources": [
            {"prefix": "s3://raw/runs/42/"},
            {"prefix": "s3://raw/date=1/", "into": "a/"},
            {"prefix": "s3://b/", "into": ""},
            {"prefix": "x"},
        ]
    }


@pytest.mark.parametrize("command", ["package", "plan", "send"])
def test_a_message_in_json_names_its_sources_itself(cli: Cli, aws: object, command: str) -> None:
    ran = cli(command, "{}", "--source", "s3://b/=")
    assert ran.code == 3
    assert "Add them to sources in the message." in ran.err


def test_other_text_is_a_folder() -> None:
    assert json.loads(to_body("raw/runs/42/")) == {"source_prefix": "raw/runs/42/"}


@pytest.mark.parametrize(
    "command", [["package"], ["plan"], ["send"], ["send", "--queue-url", "https://queue"]]
)
def test_a_test_event_has_one_error_code(cli: Cli, aws: object, command: list[str]) -> None:
    ran = cli(*command, "--json", '{"Service": "Amazon S3", "Event": "s3:TestEvent"}')
    assert (ran.code, ran.out) == (3, "")
    assert json.loads(ran.err.splitlines()[-1])["error"]["code"] == "NoPackageRequested"
