"""The check of wording in `make lint` finds offences, and nothing else."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

CHECK = Path(__file__).parents[2] / ".ci" / "check_language.py"


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_language", CHECK)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "offence",
    [
        ("a.py", '"""What a module is for."""\n', 1),
        (
            "a.py",
            'def f():\n    """Do it.\n\n    Args:\n        a: Whether to do it.\n    """\n',
            5,
        ),
        ("a.py", 'A = 1\n"""How many there are."""\n', 2),
        ("a.py", 'raise ValueError("nobody was told")\n', 1),
        ("a.py", "# A message is put aside.\n", 1),
        ("a.md", "Text.\n\nSomebody deletes it.\n", 3),
        ("a.html", "<p>Uploads have come to rest.</p>\n", 1),
    ],
)
def test_an_offence_fails_the_check(
    checker: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    offence: tuple[str, str, int],
) -> None:
    name, text, line = offence
    (tmp_path / name).write_text(text)
    assert checker.main([str(tmp_path)]) == 1
    assert f"{name}:{line}: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", '"""Return what is there."""\nwhere = "Where clause"\n'),
        ("a.py", "x = 1  # somebody wrote this  # language: ignore\n"),
        ("a.md", "The code `put aside` is quoted.\n\n```\nnobody\n```\n"),
    ],
)
def test_other_text_passes_the_check(
    checker: ModuleType, tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    assert checker.main([str(tmp_path)]) == 0
