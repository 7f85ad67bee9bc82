"""What the documents promise is there: links lead somewhere, commands exist, errors are real."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from quilt_packager.cli.app import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands_of(document: Path) -> list[list[str]]:
    """The lines of a document's plain blocks that begin with one of our commands."""
    blocks = (body for language, body in BLOCK.findall(document.read_text()) if not language)
    lines = (line for block in blocks for line in block.splitlines())
    return [
        shlex.split(line) for line in lines if line.startswith(("make ", "quilt-packager ", "cdk "))
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(document: Path) -> None:
    targets = LINK.findall(document.read_text())
    assert [each for each in targets if not (document.parent / each).exists()] == []


def test_the_readme_names_targets_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = [words[1] for words in commands_of(ROOT / "README.md") if words[0] == "make"]
    assert {"demo", "setup"} <= set(named)
    assert [each for each in named if not re.search(rf"^{each}:", makefile, re.MULTILINE)] == []


def test_the_readme_names_commands_with_their_options() -> None:
    group = typer.main.get_command(app)
    commands = [words for words in commands_of(ROOT / "README.md") if words[0] == "quilt-packager"]
    assert commands
    for _, name, *arguments in commands:
        command = group.commands[name]  # type: ignore[attr-defined] # of a group
        while arguments and arguments[0] in getattr(command, "commands", {}):
            command = command.commands[arguments.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {each for each in arguments if each.startswith("-")} <= options


def test_the_readme_names_flags_that_the_stack_takes() -> None:
    flags = set(re.findall(r"quilt:\w+", (ROOT / "README.md").read_text()))
    known = set(re.findall(r"quilt:\w+", (ROOT / "cdk.json").read_text()))
    assert flags
    assert flags <= known


def test_the_list_of_decisions_has_each_with_its_title_and_status() -> None:
    decisions = ROOT / "docs" / "adr"
    rows = []
    for path in sorted(decisions.glob("0*.md")):
        text = path.read_text("utf-8")
        title, status = re.findall(r"^# \d+\. (.+)$|Status: (.+)\.$", text, re.MULTILINE)[:2]
        rows.append(f"| [{path.name[:4]}]({path.name}) | {title[0]} | {status[1]} |")
    listed = (decisions / "README.md").read_text("utf-8").splitlines()
    assert [row for row in listed if row.startswith("| [0")] == rows


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_says_how_to_deploy_it_and_is_in_the_readme(example: Path) -> None:
    path = example.relative_to(ROOT)
    assert f'\n\ncdk deploy --app "python {path}"\n' in example.read_text("utf-8")
    assert f"({path})" in (ROOT / "README.md").read_text("utf-8")
