"""`docs/how-to/failures.md` has the generated table of codes, and the limits of the command."""

from pathlib import Path

from quilt_packager.operations.dead_letters.error_codes import codes_table
from quilt_packager.operations.dead_letters.queue import HOLD_SECONDS, MAX_READ

DOCUMENT = Path(__file__).parents[2] / "docs" / "how-to" / "failures.md"


def test_table_of_codes_is_current() -> None:
    # python -m quilt_packager.operations.dead_letters.error_codes prints the table.
    assert f"\n\n{codes_table()}\n" in DOCUMENT.read_text()


def test_limits_are_current() -> None:
    text = DOCUMENT.read_text()
    assert HOLD_SECONDS == 120
    assert "after two minutes" in text
    assert f"At most {MAX_READ:,} are listed" in text
