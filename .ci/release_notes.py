"""Print the section of CHANGELOG.md that a tag releases, without the links between files.

Exits with 1 if the tag, the version of pyproject.toml and the newest section of the changelog
differ.

Example:
    python .ci/release_notes.py v0.1.0
"""

import re
import sys
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
RELEASE = re.compile(
    r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"\[([^\]]+)\]\((?!https:)[^)]+\)")


def main(tag: str) -> None:
    """Print the notes of a tag such as `v0.1.0`."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    newest = RELEASE.search((REPOSITORY / "CHANGELOG.md").read_text("utf-8"))
    released = newest[1] if newest else "nothing"
    if not tag == f"v{project['version']}" == f"v{released}" or newest is None:
        sys.exit(
            f"The tag is {tag}, the version in pyproject.toml {project['version']}, and the newest "
            f"section of CHANGELOG.md that has a date releases {released}. All three must be equal."
        )
    print(LINK.sub(r"\1", newest[2].strip()))


if __name__ == "__main__":
    main(sys.argv[1])
