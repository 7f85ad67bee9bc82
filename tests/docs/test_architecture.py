"""`docs/architecture.md` lists the rooms of the runtime, in the order that is enforced."""

import re
import tomllib
from pathlib import Path

import quilt_packager_runtime

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "architecture.md").read_text("utf-8")
RUNTIME = Path(quilt_packager_runtime.__file__).parent
ROWS = re.findall(
    r"^\| ([^|]+) \| [^|]+ \|$",
    DOCUMENT.partition("| rooms | contents |\n|---|---|\n")[2].partition("\n\n")[0],
    re.MULTILINE,
)
PLACED = [re.findall(r"`(\w+)`", row) for row in ROWS]


def layers() -> list[list[str]]:
    """The modules of each layer that `make lint` holds them to, from the top."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (contract,) = [
        each
        for each in pyproject["tool"]["importlinter"]["contracts"]
        if each.get("containers") == ["quilt_packager_runtime"]
    ]
    return [layer.split(" | ") for layer in contract["layers"]]


def test_table_lists_every_room_once() -> None:
    rooms = {path.stem for path in RUNTIME.iterdir() if not path.name.startswith(("_", "py."))}
    assert sorted(name for row in PLACED for name in row) == sorted(rooms)


def test_table_lists_every_room_of_the_tools() -> None:
    table = DOCUMENT.partition("## The rooms of the tools\n")[2].partition("\n## ")[0]
    rooms = [path.name for path in (ROOT / "quilt_packager" / "operations").iterdir()]
    rooms += [
        path.name
        for each in ("admin", "cli")
        for path in (ROOT / "quilt_packager" / each).iterdir()
    ]
    folders = {each for each in rooms if "." not in each and not each.startswith("_")}
    assert folders - {"static", "templates"} - set(re.findall(r"`(\w+)`", table)) == set()


def test_table_is_in_the_order_of_the_layers() -> None:
    assert [set(row) for row in PLACED] == [set(layer) for layer in layers()]
