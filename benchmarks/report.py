"""Write measurements into a document, between the marks of their sections."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from benchmarks.goals import Goal, to_markdown

MEASURED = ("lambda_src", "benchmarks", "tests/s3_stub")
DISTRIBUTIONS = ("awscrt", "boto3", "quilt3")


class Section(msgspec.Struct, frozen=True):
    """The results of a benchmark.

    Attributes:
        name: Name of its place in the document.
        body: Tables and remarks in Markdown.
        goals: Goals of the benchmark.
    """

    name: str
    body: str
    goals: Sequence[Goal] = ()

    def to_markdown(self) -> str:
        """Format the run, the results and the goals."""
        parts = [describe_run(), self.body]
        if self.goals:
            parts.append(to_markdown(self.goals))
        return "\n\n".join(parts)


def describe_run() -> str:
    """Return commit, date, machine, its load (which distorts the figures) and the versions."""
    versions = ", ".join(f"{name} {version(name)}" for name in DISTRIBUTIONS)
    load = f"{os.getloadavg()[1]:.1f}"
    return (
        f"Commit {_commit()}, {datetime.now(UTC):%Y-%m-%d}. "
        f"{os.cpu_count()} CPUs ({_cpu_name()}), {platform.system()} {platform.machine()}, "
        f"load {load} in the last five minutes. "
        f"Python {platform.python_version()}, {versions}."
    )


def replace_section(document: str, name: str, body: str) -> str:
    r"""Replace the text between `<!-- measured: NAME -->` and the next `<!-- end -->`.

    Raises:
        ValueError: The document does not have exactly one such place.

    Example:
        >>> replace_section("<!-- measured: a -->\nold\n<!-- end -->\n", "a", "new")
        '<!-- measured: a -->\n\nnew\n\n<!-- end -->\n'
    """
    mark = f"<!-- measured: {name} -->"
    replaced, count = re.subn(
        rf"{re.escape(mark)}.*?<!-- end -->",
        lambda _: f"{mark}\n\n{body}\n\n<!-- end -->",
        document,
        flags=re.DOTALL,
    )
    if count != 1:
        raise ValueError(f"The document has {count} places for {name!r}")
    return replaced


def write_section(path: Path, section: Section) -> None:
    """Replace a section of a document."""
    document = replace_section(path.read_text(), section.name, section.to_markdown())
    path.write_text(document)


def _commit() -> str:
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        is_changed = bool(_git("status", "--porcelain", "--", *MEASURED))
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit} with uncommitted changes" if is_changed else commit


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _cpu_name() -> str:
    try:
        facts = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or "unknown"
    found = re.search(r"^model name\s*:\s*(.*)$", facts, flags=re.MULTILINE)
    return found[1] if found else "unknown"
