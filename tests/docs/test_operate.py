"""The manual of the page and the command: its pictures are there, and its recordings are real."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from quilt_packager.cli.app import app

ROOT = Path(__file__).parents[2]
MANUAL = ROOT / "docs" / "how-to" / "operate.md"
IMAGES = ROOT / "docs" / "images"
TEXT = MANUAL.read_text("utf-8")
RECORDINGS = re.findall(r"^```console\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
MAX_IMAGE_BYTES = 180 * 1024
COLUMNS = 80


def walk(command: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """All commands, by what is typed to call them."""
    found = {path: command}
    for name, each in getattr(command, "commands", {}).items():
        found |= walk(each, (*path, name))
    return found


COMMANDS = walk(typer.main.get_command(app))


def shown_images() -> set[Path]:
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    return {
        (document.parent / target).resolve()
        for document in documents
        for target in re.findall(r"\]\(([^)\s]+\.png)\)", document.read_text("utf-8"))
    }


def test_every_picture_that_documents_show_is_there_and_no_other() -> None:
    assert shown_images() == set(IMAGES.iterdir())


@pytest.mark.parametrize("image", sorted(IMAGES.iterdir()), ids=lambda path: path.name)
def test_pictures_are_small(image: Path) -> None:
    assert image.stat().st_size <= MAX_IMAGE_BYTES


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda text: text.partition("\n")[0])
def test_recording_is_of_a_command_with_its_options(recording: str) -> None:
    program, *words = shlex.split(recording.partition("\n")[0].removeprefix("$ "))
    path = max((path for path in COMMANDS if tuple(words[: len(path)]) == path), key=len)
    options = {option for each in COMMANDS[path].params for option in each.opts}
    assert program == "quilt-packager"
    assert path
    assert {word for word in words if word.startswith("--")} <= options


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda text: text.partition("\n")[0])
def test_recording_fits_and_tells_of_no_machine(recording: str) -> None:
    _, *said = recording.splitlines()
    assert [line for line in said if len(line) > COLUMNS] == []
    assert said
    for private in ("127.0.0.1", "localhost", "/tmp", "token", "\x1b", "error: "):  # noqa: S108 - looked for
        assert private not in recording
    accounts = set(re.findall(r"\b\d{12}\b", recording))
    assert accounts <= {"123456789012"}


def test_every_command_is_recorded() -> None:
    recorded = {shlex.split(text.partition("\n")[0])[2] for text in RECORDINGS}
    top = {path[0] for path in COMMANDS if path}
    # One serves the page, and the other deploys the engine of the recordings.
    assert top - recorded == {"admin", "demo"}
