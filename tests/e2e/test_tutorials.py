"""The tutorials, step by step, on a deployed engine: what a reader copies works in this order."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.page_stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("page")]

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SECONDS = 120


def steps_of(name: str) -> Iterator[list[str]]:
    """The scripts and the commands of a tutorial, except those of the checkout."""
    for language, body in BLOCK.findall((TUTORIALS / f"{name}.md").read_text("utf-8")):
        if language == "py":
            yield [sys.executable, "-c", body]
        elif not language and body.startswith("quilt-packager"):
            yield ["bash", "-euc", body]


@pytest.mark.parametrize("name", ["nextflow", "healthomics", "instrument"])
def test_each_step_of_the_tutorial_works(stack: Stack, tmp_path: Path, name: str) -> None:
    folder = str(Path(sys.executable).parent)
    environment = {**stack.environment, "HOME": str(tmp_path)}
    environment["PATH"] = f"{folder}:{environment['PATH']}"
    steps = list(steps_of(name))
    assert len(steps) > 2
    for step in steps:
        result = subprocess.run(
            step, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS
        )
        assert result.returncode == 0, (step[-1], result.stdout, result.stderr)
