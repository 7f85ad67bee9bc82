"""The Lambda asset: its contents, its hash, and its cache."""

import os
import shutil
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import requires
from pathlib import Path

import pytest
from aws_cdk import App, Stack
from packaging.requirements import Requirement
from packaging.tags import sys_tags

from quilt_packager.bundling import (
    LOCK,
    RUNTIME,
    BundlingError,
    Platform,
    build_asset,
    select_requirements,
)
from quilt_packager.engine.functions import bundle_code
from tests.constructs.wheels import write_wheel

REPOSITORY = Path(__file__).parents[2]
ARM64 = Platform.aws_lambda("arm64")
X86_64 = Platform.aws_lambda("x86_64")


class Inputs:
    """A lock file of two wheels that pip finds, a runtime of one module, and an empty cache."""

    def __init__(self, folder: Path) -> None:
        self.wheels, self.cache = folder / "wheels", folder / "cache"
        self.lock, self.runtime = folder / "lock.txt", folder / "runtime"
        self.wheels.mkdir()
        self.runtime.mkdir()
        self.module = self.runtime / "__init__.py"
        self.module.write_text('"""The runtime."""\n', "utf-8")
        self.lock.write_text(write_wheel(self.wheels, "pure"), "utf-8")

    def let_pip_find_wheels(self, patch: pytest.MonkeyPatch) -> None:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(self.wheels))

    def build(self, target: Platform = ARM64) -> Path:
        asset = build_asset(target, lock=self.lock, runtime=self.runtime, cache=self.cache)
        assert asset.path == self.cache / f"asset-{asset.asset_hash}.zip"
        return asset.path

    def remove_wheels(self) -> None:
        """From now on pip can install nothing."""
        shutil.rmtree(self.wheels)


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inputs:
    made = Inputs(tmp_path)
    made.let_pip_find_wheels(monkeypatch)
    return made


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of a build."""
    made = Inputs(tmp_path_factory.mktemp("built"))
    with pytest.MonkeyPatch.context() as patch:
        made.let_pip_find_wheels(patch)
        made.build()
    return made.cache


@pytest.fixture
def built(inputs: Inputs, cache: Path) -> Inputs:
    """The inputs after a build, which took pip a second."""
    shutil.copytree(cache, inputs.cache)
    return inputs


def test_asset_has_runtime_and_dependencies_at_its_root(built: Inputs) -> None:
    with zipfile.ZipFile(built.build()) as asset:
        assert asset.read("runtime/__init__.py") == built.module.read_bytes()
        assert asset.read("pure.py") == b"TAG = 'py3-none-any'\n"


def test_asset_holds_only_files_that_functions_read(built: Inputs) -> None:
    cached = built.runtime / "__pycache__"
    cached.mkdir()
    (cached / "module.pyc").write_bytes(b"")
    with zipfile.ZipFile(built.build()) as asset:
        assert set(asset.namelist()) == {
            "pure.py",
            "pure-1.dist-info/METADATA",
            "pure-1.dist-info/WHEEL",
            "pure-1.dist-info/entry_points.txt",
            "runtime/__init__.py",
        }


def test_user_of_lambda_can_read_the_asset(built: Inputs) -> None:
    with zipfile.ZipFile(built.build()) as asset:
        assert {entry.external_attr >> 16 for entry in asset.infolist()} == {0o100644}


def test_same_inputs_give_the_same_asset(built: Inputs) -> None:
    first = built.build()
    content = first.read_bytes()
    shutil.rmtree(built.cache)
    os.utime(built.module, (0, 0))
    second = built.build()
    assert second == first
    assert second.read_bytes() == content


def test_other_sources_give_another_asset(built: Inputs) -> None:
    first = built.build()
    built.module.write_text('"""Another runtime."""\n', "utf-8")
    assert built.build() != first


def test_renamed_sources_give_another_asset(built: Inputs) -> None:
    first = built.build()
    built.module.rename(built.runtime / "other.py")
    assert built.build() != first


def test_other_requirements_give_another_asset(built: Inputs) -> None:
    first = built.build()
    with built.lock.open("a") as lock:
        lock.write(write_wheel(built.wheels, "more"))
    assert built.build() != first


def test_other_platforms_give_another_asset(built: Inputs) -> None:
    assert len({built.build(ARM64), built.build(X86_64), built.build(Platform.host())}) == 3


def test_second_build_does_not_run_pip(built: Inputs) -> None:
    first = built.build()
    built.remove_wheels()
    assert built.build() == first


def test_changed_source_does_not_run_pip(built: Inputs) -> None:
    built.build()
    built.remove_wheels()
    built.module.write_text('"""Another runtime."""\n', "utf-8")
    with zipfile.ZipFile(built.build()) as asset:
        assert asset.read("runtime/__init__.py") == built.module.read_bytes()


def test_first_build_reports_what_it_does(
    inputs: Inputs, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs.build()
    first = capsys.readouterr()
    inputs.build()
    assert "Building the Lambda asset (arm64, Python 3.13)" in first.err
    assert capsys.readouterr() == ("", "")
    assert first.out == ""


@pytest.mark.parametrize(
    ("target", "tag"),
    [
        (ARM64, "cp313-cp313-manylinux_2_28_aarch64"),
        (ARM64, "cp311-abi3-manylinux_2_34_aarch64"),
        (ARM64, "cp313-cp313-manylinux2014_aarch64"),
        (X86_64, "cp313-cp313-manylinux_2_17_x86_64"),
        (Platform.host(), str(next(sys_tags()))),
    ],
)
def test_each_platform_gets_its_own_wheels(inputs: Inputs, target: Platform, tag: str) -> None:
    inputs.lock.write_text(write_wheel(inputs.wheels, "native", tag), "utf-8")
    with zipfile.ZipFile(inputs.build(target)) as asset:
        assert asset.read("native.py").decode() == f"TAG = {tag!r}\n"


@pytest.mark.parametrize(
    "tag",
    [
        "cp313-cp313-manylinux_2_28_x86_64",
        "cp312-cp312-manylinux_2_28_aarch64",
        "cp313-cp313-manylinux_2_35_aarch64",
        "cp313-cp313-macosx_11_0_arm64",
    ],
)
def test_platform_takes_only_wheels_that_it_can_load(inputs: Inputs, tag: str) -> None:
    inputs.lock.write_text(write_wheel(inputs.wheels, "native", tag), "utf-8")
    with pytest.raises(BundlingError, match="native==1"):
        inputs.build(ARM64)


def test_only_locked_wheels_are_accepted(inputs: Inputs) -> None:
    lock = inputs.lock.read_text("utf-8")
    inputs.lock.write_text(lock.replace("--hash=sha256:", "--hash=sha256:0")[:-2], "utf-8")
    with pytest.raises(BundlingError, match="DO NOT MATCH THE HASHES"):
        inputs.build()


def test_pip_failure_shows_its_reason_and_the_remedy(inputs: Inputs) -> None:
    inputs.remove_wheels()
    with pytest.raises(BundlingError) as failed:
        inputs.build()
    assert "No matching distribution found for pure==1" in str(failed.value)
    assert "PIP_INDEX_URL" in str(failed.value)


def test_pip_failure_leaves_nothing_in_the_cache(inputs: Inputs) -> None:
    inputs.remove_wheels()
    with pytest.raises(BundlingError):
        inputs.build()
    assert list(inputs.cache.iterdir()) == []


@pytest.mark.parametrize("variable", ["PIP_USER", "PIP_REQUIRE_VIRTUALENV"])
def test_build_ignores_settings_of_pip_for_environments(
    inputs: Inputs, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    assert inputs.build().exists()


def test_concurrent_builds_do_not_disturb_each_other(inputs: Inputs) -> None:
    with ThreadPoolExecutor(3) as pool:
        paths = list(pool.map(inputs.build, [ARM64] * 3))
    assert len(set(paths)) == 1
    assert zipfile.ZipFile(paths[0]).testzip() is None
    assert {path.suffix for path in inputs.cache.iterdir()} == {".zip"}


def test_unwritable_cache_is_reported_with_the_remedy(inputs: Inputs) -> None:
    inputs.cache.write_text("a file where a folder should be", "utf-8")
    with pytest.raises(BundlingError, match="XDG_CACHE_HOME"):
        inputs.build()


def test_cache_evicts_unused_files(built: Inputs) -> None:
    unused = built.build()
    month_ago = time.time() - 31 * 24 * 60 * 60
    os.utime(unused, (month_ago, month_ago))
    built.build(X86_64)
    assert not unused.exists()


def test_cache_keeps_used_files(built: Inputs) -> None:
    used = built.build()
    month_ago = time.time() - 31 * 24 * 60 * 60
    os.utime(used, (month_ago, month_ago))
    built.build()
    built.build(X86_64)
    assert used.exists()


def test_user_can_choose_the_cache_directory(
    inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(inputs.cache))
    asset = build_asset(ARM64, lock=inputs.lock, runtime=inputs.runtime)
    assert asset.path.parent == inputs.cache / "quilt-packager"


def test_markers_are_evaluated_for_the_platform() -> None:
    lock = (
        "# a comment\n"
        "old==1 ; python_version < '3.13' \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n"
        "    # via something\n"
        "new==2 ; python_full_version >= '3.13' \\\n    --hash=sha256:02\n"
        "arm==3 ; platform_machine == 'aarch64' \\\n    --hash=sha256:03\n"
        "windows==4 ; sys_platform == 'win32' \\\n    --hash=sha256:04\n"
        "always==5 \\\n    --hash=sha256:05 \\\n    --hash=sha256:06\n"
    )
    new, always = "new==2 --hash=sha256:02\n", "always==5 --hash=sha256:05 --hash=sha256:06\n"
    assert select_requirements(lock, ARM64) == f"{new}arm==3 --hash=sha256:03\n{always}"
    assert select_requirements(lock, X86_64) == new + always


def test_host_markers_match_the_running_python() -> None:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    lock = f"here==1 ; python_version == '{here}'\nelsewhere==1 ; python_version != '{here}'\n"
    assert select_requirements(lock, Platform.host()) == "here==1\n"


@pytest.mark.parametrize("target", [ARM64, X86_64, Platform.host()])
def test_every_locked_requirement_has_a_hash(target: Platform) -> None:
    requirements = select_requirements(LOCK.read_text("utf-8"), target).splitlines()
    assert any(line.startswith("boto3==") for line in requirements)
    assert all(" --hash=sha256:" in line for line in requirements)


def test_jsonschema_checks_no_formats_that_it_does_not_check_in_functions() -> None:
    locks = (REPOSITORY / "requirements" / "dev.txt", LOCK)
    tests, functions = (
        {line.split("==")[0] for line in lock.read_text("utf-8").splitlines()} for lock in locks
    )
    formats = map(Requirement, requires("jsonschema") or ())
    needed = {each.name for each in formats if each.marker and "extra" in str(each.marker)}
    # cfn-lint needs it: the format json-pointer.
    assert needed & tests - functions == {"jsonpointer"}


def test_asset_has_the_runtime_that_handlers_are_imported_from() -> None:
    assert (RUNTIME / "handlers" / "packager.py").is_file()


def test_cdk_commands_that_upload_nothing_do_not_build(
    inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(inputs.cache))
    inputs.remove_wheels()
    app = App(context={"aws:cdk:bundling-stacks": []})
    assert bundle_code(Stack(app, "Stack"), "arm64").path == str(RUNTIME)
    assert not inputs.cache.exists()
