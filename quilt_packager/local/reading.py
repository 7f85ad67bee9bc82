"""Packages as quilt3 reads and writes them, without the user's settings."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from quilt_packager.local.errors import LocalError


class ReadPackage(msgspec.Struct, frozen=True):
    """A package as quilt3 reads it.

    Attributes:
        name: The package's name.
        top_hash: The revision's hash, as quilt3 computes it.
        metadata: The package's metadata, if any.
        entries: Logical key, size in bytes and hash of each entry.
        verified: True if the bytes of all entries match their sizes and hashes.
    """

    name: str
    top_hash: str
    metadata: dict[str, Any] | None
    entries: list[tuple[str, int, str]]
    verified: bool


def open_package(registry: str, name: str, *, home: Path, environment: Mapping[str, str]) -> str:
    """Open a package with quilt3, fetch its files, verify them, and return its top hash.

    Args:
        registry: The registry's bucket.
        name: The package's name.
        home: Folder for quilt3's files, instead of the user's.
        environment: Environment with the credentials.

    Raises:
        LocalError: quilt3 could not read the package, or its files do not match.
    """
    (package,) = read_packages(registry, [name], home, environment)
    if not package.verified:
        raise LocalError(
            f"quilt3 could not verify the package {name}.",
            why="Its files or its top hash do not match its manifest.",
            remedy="Compare its manifest with the objects that it names.",
        )
    return package.top_hash


def read_packages(
    registry: str,
    names: Sequence[str],
    home: Path,
    environment: Mapping[str, str] = os.environ,
) -> list[ReadPackage]:
    """Open packages with quilt3, fetch their files, and verify them.

    Args:
        registry: The registry's bucket.
        names: The packages' names.
        home: Folder for quilt3's files, instead of the user's.
        environment: Environment with the credentials. Default: that of this process.

    Raises:
        LocalError: quilt3 could not read the packages.
    """
    lines = _run_quilt3(["read", registry, *names], home, environment).splitlines()
    return [msgspec.json.decode(line, type=ReadPackage) for line in lines]


def add_object(registry: str, name: str, logical_key: str, uri: str, *, home: Path) -> None:
    """Publish a revision with a further object, as a person does with quilt3.

    Args:
        registry: The registry's bucket.
        name: The package's name.
        logical_key: The object's logical key.
        uri: The object.
        home: Folder for quilt3's files, instead of the user's.

    Raises:
        LocalError: quilt3 could not publish the revision.
    """
    _run_quilt3(["add", registry, name, logical_key, uri], home, os.environ)


def _run_quilt3(arguments: Sequence[str], home: Path, environment: Mapping[str, str]) -> bytes:
    """Run `quilt3_program` with settings of its own, and return its output."""
    home.mkdir(exist_ok=True)
    result = subprocess.run(
        [sys.executable, "-m", "quilt_packager.local.quilt3_program", *arguments],
        env={
            **environment,
            "HOME": str(home),
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "QUILT_DISABLE_USAGE_METRICS": "true",
            "QUILT_MINIMIZE_STDOUT": "true",
        },
        capture_output=True,
        check=False,
    )
    if result.returncode:
        raise LocalError(
            "quilt3 failed.",
            why=f"Its exit code is {result.returncode}.",
            remedy="See its last lines above.",
            log=result.stderr.decode(errors="replace"),
        )
    return result.stdout
