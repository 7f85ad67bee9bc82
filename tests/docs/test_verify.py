"""`docs/how-to/verify.md` has every code of a finding."""

from pathlib import Path

from quilt_packager_runtime.auditing.findings import KINDS, Code

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "verify.md").read_text("utf-8")


def test_page_has_the_row_of_each_code() -> None:
    rows = [
        f"| `{code}` | {kind.severity} | {kind.meaning} | {kind.remedy} |"
        for code, kind in KINDS.items()
    ]
    assert [line for line in PAGE.splitlines() if line.startswith("| `")] == rows
    assert list(KINDS) == list(Code)
