"""`docs/reference/command.md` knows every command, option and exit code, and no others."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from quilt_packager.cli.app import PROGRAM, app
from quilt_packager.cli.exits import Exit

REFERENCE = (Path(__file__).parents[2] / "docs" / "reference" / "command.md").read_text("utf-8")
SECTION = re.compile(r"^#+ (.+)\n((?:(?!#).*\n?)*)", re.MULTILINE)
SECTIONS: dict[str, str] = dict(SECTION.findall(REFERENCE))
COMMON = SECTIONS["Common options"]
LINK = "[common options](#common-options)"
OPTION = re.compile(r"`(--?[a-z][a-z-]*)")


def walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """All commands, each with what is typed to call it."""
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from walk(each, f"{path} {name}")


COMMANDS = dict(walk(typer.main.get_command(app), PROGRAM))


def heading_of(path: str) -> str:
    arguments = [each for each in COMMANDS[path].params if each.param_type_name == "argument"]
    return f"`{' '.join([path, *map(usage_of, arguments)])}`"


def usage_of(argument: Any) -> str:
    name = argument.metavar if argument.required else f"[{argument.metavar}]"
    return f"{name}..." if argument.nargs < 0 else str(name)


def options_of(path: str) -> set[str]:
    options = [each for each in COMMANDS[path].params if each.param_type_name == "option"]
    return {name for each in options for name in each.opts}


def named_in(text: str) -> set[str]:
    return set(OPTION.findall(text))


@pytest.mark.parametrize("path", COMMANDS)
def test_reference_fails_if_a_command_or_its_arguments_are_missing(path: str) -> None:
    assert heading_of(path) in SECTIONS


@pytest.mark.parametrize("path", COMMANDS)
def test_reference_fails_if_an_option_is_missing(path: str) -> None:
    section = SECTIONS[heading_of(path)]
    # The short form of a common option stands with its long one.
    short = named_in(COMMON) & {"-y", "-h"} if LINK in section else set()
    assert options_of(path) - named_in(section) - short - {"--help", "-h"} == set()


@pytest.mark.parametrize("path", COMMANDS)
def test_reference_fails_if_an_option_is_gone(path: str) -> None:
    section = SECTIONS[heading_of(path)]
    assert named_in(section) - options_of(path) - {"--help"} == set()


def test_reference_fails_if_a_common_option_is_explained_nowhere() -> None:
    for section in SECTIONS.values():
        if LINK in section:
            assert named_in(section.partition(LINK)[2]) <= named_in(COMMON)


def test_reference_fails_if_a_command_is_gone() -> None:
    described = {heading for heading in SECTIONS if heading.startswith("`")}
    assert described == set(map(heading_of, COMMANDS))


def test_reference_has_the_commands_in_their_order() -> None:
    group: Any = COMMANDS[PROGRAM]
    described = re.findall(rf"^## `{PROGRAM} ([a-z-]+)", REFERENCE, re.MULTILINE)
    assert described == group.list_commands(typer.Context(group))


@pytest.mark.parametrize("code", Exit)
def test_reference_fails_if_an_exit_code_is_missing(code: Exit) -> None:
    assert f"| {code.value} | " in SECTIONS["Exit codes"]
