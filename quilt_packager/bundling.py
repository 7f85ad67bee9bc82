"""The Lambda asset, built by pip from hash-pinned wheels: no Docker, no compiler.

One zip per set of inputs, named by their hash and cached, so that a second synthesis takes no time
and the same inputs give the same asset on every machine.
"""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, Self

import msgspec
import quilt_packager_runtime
from packaging.markers import default_environment
from packaging.requirements import Requirement

LOCK = Path(__file__).with_name("lambda_requirements.txt")
RUNTIME = Path(quilt_packager_runtime.__file__).parent

LAMBDA_PYTHON = "3.13"
# Lambda's Python 3.12 and newer run on Amazon Linux 2023, whose glibc is 2.34; 2.17 is the oldest
# that wheels of today are built for. pip does not infer the older tags from the newer.
_LAMBDA_GLIBC_MINORS = range(34, 16, -1)

_UNUSED_DAYS = 30
# Some of these name the machine that ran pip; none is read at run time.
_INSTALLER_FILES = frozenset({"INSTALLER", "RECORD", "REQUESTED", "direct_url.json"})
# The clients of the runtime; a test compares them. The files of botocore for all others are half of
# the asset. Of these, the runtime needs neither paginators nor waiters.
BOTO_SERVICES = frozenset(
    {"dynamodb", "events", "omics", "s3", "s3control", "sns", "sqs", "stepfunctions"}
)
_BOTO_FILES = frozenset(
    {"endpoint-rule-set-1.json.gz", "service-2.json.gz", "service-2.sdk-extras.json"}
)
_BOTO_DATA = "botocore/data/"
_UNUSED_FOLDERS = ("bin/", "boto3/data/", "boto3/examples/")  # boto3's: for resources
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_READABLE_FILE = 0o100644 << 16


class BundlingError(Exception):
    """The Lambda asset could not be built. The message has the cause and the remedy."""


class Platform(msgspec.Struct, frozen=True):
    """The platform that an asset is built for.

    Attributes:
        name: Name of the platform, which is part of the hash.
        python_version: `3.13`, or None for the host's own Python.
        wheel_platforms: Platform tags of wheels, the best first. Empty: the host's own.
        markers: Values of its environment markers.
    """

    name: str
    python_version: str | None
    wheel_platforms: tuple[str, ...]
    markers: dict[str, str]

    @classmethod
    def aws_lambda(cls, architecture: Literal["arm64", "x86_64"]) -> Self:
        """Return Lambda's Python on one of its architectures.

        Example:
            >>> Platform.aws_lambda("arm64").wheel_platforms[0]
            'manylinux_2_34_aarch64'
        """
        machine = "aarch64" if architecture == "arm64" else architecture
        platforms = [f"manylinux_2_{minor}_{machine}" for minor in _LAMBDA_GLIBC_MINORS]
        return cls(
            name=f"{architecture}, Python {LAMBDA_PYTHON}",
            python_version=LAMBDA_PYTHON,
            wheel_platforms=(*platforms, f"manylinux2014_{machine}"),
            markers={
                "implementation_name": "cpython",
                "implementation_version": f"{LAMBDA_PYTHON}.0",
                "os_name": "posix",
                "platform_machine": machine,
                "platform_python_implementation": "CPython",
                "platform_release": "",
                "platform_system": "Linux",
                "platform_version": "",
                "python_full_version": f"{LAMBDA_PYTHON}.0",
                "python_version": LAMBDA_PYTHON,
                "sys_platform": "linux",
            },
        )

    @classmethod
    def host(cls) -> Self:
        """Return this machine and this Python, on which an embedded AWS runs functions."""
        return cls(
            name=f"{sysconfig.get_platform()}, {sysconfig.get_config_var('SOABI')}",
            python_version=None,
            wheel_platforms=(),
            markers={name: str(value) for name, value in default_environment().items()},
        )


class Asset(msgspec.Struct, frozen=True):
    """A built asset.

    Attributes:
        path: The zip file.
        asset_hash: The hash of everything it was built from.
    """

    path: Path
    asset_hash: str


def select_requirements(lock: str, platform: Platform) -> str:
    r"""Select the locked requirements of a platform, without their markers, one a line.

    pip evaluates markers for the interpreter that runs it, whatever `--python-version` says
    (pypa/pip#11010), so they are evaluated here.

    Example:
        >>> lock = 'a==1 ; sys_platform == "win32" --hash=sha256:00\nb==2 --hash=sha256:11'
        >>> select_requirements(lock, Platform.aws_lambda("arm64"))
        'b==2 --hash=sha256:11\n'
    """
    selected = []
    for line in lock.replace("\\\n", " ").splitlines():
        text, *hashes = re.split(r"\s+--hash=", line.strip())
        if not text or text.startswith("#"):
            continue
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(platform.markers):
            requirement.marker = None
            selected.append(" --hash=".join([str(requirement), *hashes]) + "\n")
    return "".join(selected)


def build_asset(
    platform: Platform, *, lock: Path = LOCK, runtime: Path = RUNTIME, cache: Path | None = None
) -> Asset:
    """Build the asset, or take it from the cache.

    Args:
        platform: The platform to build for.
        lock: Hash-pinned requirements.
        runtime: Folder of the runtime's package.
        cache: Folder for built files. None: `quilt-packager` in the user's cache folder.

    Raises:
        BundlingError: pip failed, or the cache cannot be written.
    """
    cache = cache or _user_cache()
    requirements = select_requirements(lock.read_text("utf-8"), platform)
    recipe = Path(__file__).read_bytes()
    dependencies_hash = _digest([recipe, platform.name.encode(), requirements.encode()])
    sources = [(f"{runtime.name}/{path}", data) for path, data in _read_sources(runtime)]
    contents = (part for name, data in sources for part in (name.encode(), data))
    asset_hash = _digest([dependencies_hash.encode(), *contents])
    asset = cache / f"asset-{asset_hash}.zip"
    dependencies = cache / f"dependencies-{dependencies_hash}.zip"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        if not _touch_cached(asset):
            if not _touch_cached(dependencies):
                with _atomic_write(dependencies) as partial:
                    _install(requirements, platform, partial)
                _evict_unused(cache)
            with _atomic_write(asset) as partial:
                shutil.copyfile(dependencies, partial)
                _add_to_zip(partial, sources)
    except OSError as error:
        raise BundlingError(
            f"The Lambda asset could not be written: {error}. "
            f"Built assets are kept in {cache}. "
            "Make that folder writable, or set XDG_CACHE_HOME to one that is."
        ) from error
    return Asset(asset, asset_hash)


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "quilt-packager"


def _digest(parts: Iterable[bytes]) -> str:
    """Hash parts with their lengths, so that different lists have different hashes."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _read_sources(folder: Path) -> list[tuple[str, bytes]]:
    """Read the files of a source tree by relative POSIX path, in order, without bytecode."""
    return [
        (path.relative_to(folder).as_posix(), path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.parent.name != "__pycache__"
    ]


def _touch_cached(path: Path) -> bool:
    """Mark a cached file as used, and return whether it exists."""
    if not path.exists():
        return False
    with contextlib.suppress(PermissionError):  # a shared cache may be read-only
        os.utime(path)
    return True


@contextlib.contextmanager
def _atomic_write(path: Path) -> Iterator[Path]:
    """Write a file that appears complete or not at all, also beside a concurrent synthesis."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o644)  # mkstemp's files are the user's alone; an assembly may change hands
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _evict_unused(cache: Path) -> None:
    oldest = time.time() - _UNUSED_DAYS * 24 * 60 * 60
    for path in cache.glob("*.zip"):
        if path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)


def _install(requirements: str, platform: Platform, archive: Path) -> None:
    """Install wheels into a folder and pack it."""
    sys.stderr.write(f"Building the Lambda asset ({platform.name}) with pip, once ...\n")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="quilt-packager-") as scratch:
        requirements_file = Path(scratch, "requirements.txt")
        requirements_file.write_text(requirements, "utf-8")
        folder = Path(scratch, "installed")
        _run_pip(requirements_file, folder, platform)
        _add_to_zip(archive, (item for item in _read_sources(folder) if _is_needed(item[0])))
    sys.stderr.write(f"Built the Lambda asset in {time.monotonic() - started:.0f} s.\n")


def _run_pip(requirements_file: Path, folder: Path, platform: Platform) -> None:
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"),
        *("--no-deps", "--require-hashes", "--only-binary=:all:"),
        *("--requirement", str(requirements_file), "--target", str(folder)),
        *(f"--platform={tag}" for tag in platform.wheel_platforms),
    ]
    if platform.python_version is not None:
        command += ["--implementation=cp", f"--python-version={platform.python_version}"]
    # The user's indexes and proxies apply; settings for the user's environments do not.
    environment = os.environ | {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_REQUIRE_VIRTUALENV": "0",
        "PIP_USER": "0",
    }
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise BundlingError(
            f"The Lambda asset ({platform.name}) could not be built: pip failed with exit code "
            f"{result.returncode}.\n{result.stderr.strip()}\n"
            "It installs the wheels that lambda_requirements.txt pins, by hash. "
            f"Check that `{sys.executable} -m pip download boto3` works here: "
            "pip reads its index and proxy from its configuration and from PIP_INDEX_URL."
        )


def _is_needed(path: str) -> bool:
    """Return whether Lambda needs an installed file.

    It needs no scripts, no files of the installer, and no data of unused services.

    Example:
        >>> _is_needed("botocore/data/sqs/2012-11-05/service-2.json.gz")
        True
        >>> _is_needed("botocore/data/ec2/2016-11-15/service-2.json.gz")
        False
        >>> _is_needed("botocore/data/partitions.json")
        True
    """
    folder, _, name = path.rpartition("/")
    if path.startswith(_UNUSED_FOLDERS):
        return False
    if folder.startswith(_BOTO_DATA):
        service = path.removeprefix(_BOTO_DATA).partition("/")[0]
        return service in BOTO_SERVICES and name in _BOTO_FILES
    return not (folder.endswith(".dist-info") and name in _INSTALLER_FILES)


def _add_to_zip(archive: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Add files without their times, owners and modes."""
    mode: Literal["a", "w"] = "a" if archive.stat().st_size else "w"
    with zipfile.ZipFile(archive, mode) as packed:
        for name, data in files:
            entry = zipfile.ZipInfo(name, _ZIP_EPOCH)
            entry.external_attr = _READABLE_FILE
            packed.writestr(entry, data, zipfile.ZIP_DEFLATED)
