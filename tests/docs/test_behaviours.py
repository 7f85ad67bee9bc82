"""The list of behaviours of AWS is complete: each has a witness, or a reason for having none."""

import re
from pathlib import Path

from quilt_packager.operations.checks import behaviours
from quilt_packager.operations.checks.behaviours import (
    DESCRIPTIONS,
    Behaviour,
    behaviours_table,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "explanation" / "aws-behaviour.md"
ROOM = Path(behaviours.__file__).parent
CITATION = re.compile(r"\bBehaviour\.([A-Z0-9_]+)")


def cited_in(*modules: Path) -> set[Behaviour]:
    return {Behaviour[name] for each in modules for name in CITATION.findall(each.read_text())}


def test_each_behaviour_is_described_once() -> None:
    assert [each.behaviour for each in DESCRIPTIONS] == list(Behaviour)


def test_findings_cite_exactly_the_behaviours_with_a_witness() -> None:
    with_witness = {each.behaviour for each in DESCRIPTIONS if not each.no_witness}
    assert cited_in(*ROOM.glob("*.py")) == with_witness


def test_only_the_canary_cites_its_behaviours() -> None:
    others = [each for each in ROOM.glob("*.py") if not each.stem.startswith("canary")]
    of_canary = {each.behaviour for each in DESCRIPTIONS if each.canary}
    assert cited_in(*others) & of_canary == set()


def test_the_document_is_current() -> None:
    # python -m quilt_packager.operations.checks.behaviours prints the table.
    assert DOCUMENT.read_text("utf-8").endswith(f"\n\n{behaviours_table()}\n")
