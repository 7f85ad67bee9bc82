"""The newest release of the changelog is that of the package, and its notes can be posted."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def write_notes(tag: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ".ci/release_notes.py", tag]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_notes_of_the_version_have_no_links_to_files() -> None:
    notes = write_notes(f"v{PROJECT['version']}")
    assert notes.returncode == 0, notes.stderr
    assert "### Added" in notes.stdout
    assert re.findall(r"\]\((?!https:)", notes.stdout) == []


def test_notes_of_another_tag_are_refused() -> None:
    refused = write_notes("v99.0.0")
    assert refused.returncode == 1
    assert "All three must be equal" in refused.stderr
