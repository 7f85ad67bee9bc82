"""The table of the failures' codes is what the command and the page say of them."""

import re
from pathlib import Path

from quilt_packager.operations.dead_letters.error_codes import S3_ERROR, WORDS, needs_change
from quilt_packager.operations.dead_letters.queue import HOLD_SECONDS, MAX_READ

DOCUMENT = Path(__file__).parents[2] / "docs" / "how-to" / "failures.md"


def test_table_of_codes_is_current() -> None:
    rows = re.findall(r"^\| (`\w+`|any other) \| (.*) \|$", DOCUMENT.read_text(), re.MULTILINE)
    meant = {
        f"`{code}`": f"{words.happened} {words.why} | {words.remedy} | "
        + ("fails again" if needs_change(code) else "may succeed")
        for code, words in WORDS.items()
    }
    rest = f"{S3_ERROR.happened} {S3_ERROR.why} | {S3_ERROR.remedy} | may succeed"
    assert dict(rows) == {**meant, "any other": rest}


def test_limits_are_current() -> None:
    text = DOCUMENT.read_text()
    assert HOLD_SECONDS == 120
    assert "after two minutes" in text
    assert f"At most {MAX_READ:,} are listed" in text
