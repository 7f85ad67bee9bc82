"""`docs/architecture.md` places every module of the runtime, in the order that is enforced."""

import re
import tomllib
from pathlib import Path

import quilt_packager_runtime

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "architecture.md").read_text("utf-8")
RUNTIME = Path(quilt_packager_runtime.__file__).parent
ROWS = re.findall(
    r"^\| [^|]+ \| (.+) \|$",
    DOCUMENT.partition("| layers | modules |\n|---|---|\n")[2],
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


def test_table_fails_if_a_module_is_missing_gone_or_twice() -> None:
    modules = {path.stem for path in RUNTIME.glob("*.py")} - {"__init__"} | {"handlers"}
    assert sorted(name for row in PLACED for name in row) == sorted(modules)


def test_table_fails_if_it_is_not_in_the_order_of_the_layers() -> None:
    row_of = {name: number for number, row in enumerate(PLACED) for name in row}
    rows = [{row_of[name] for name in layer} for layer in layers()]
    assert [layer for layer, found in zip(layers(), rows, strict=True) if len(found) > 1] == []
    order = [found.pop() for found in rows]
    assert order == sorted(order)
