"""`docs/how-to/discover.md` has each kind of folder, with its markers."""

import re
from pathlib import Path

from quilt_packager_runtime.formats.recognisers import RECOGNISERS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "how-to" / "discover.md").read_text("utf-8")
ROWS = dict(re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", DOCUMENT, re.MULTILINE))


def test_document_has_the_kinds_in_their_order() -> None:
    assert list(ROWS) == list(dict.fromkeys(each.kind for each in RECOGNISERS))


def test_document_has_the_markers_of_each_kind() -> None:
    # outputs.json has two names, and samples of Cell Ranger have a file each.
    described = {"logs/output.json", "outs/per_sample_outs/*/web_summary.html"}
    for each in RECOGNISERS:
        globs = {*each.markers, *each.completion} - described
        assert {glob for glob in globs if f"`{glob}`" not in ROWS[each.kind]} == set()
