"""Revisions that quilt3 publishes are recognized as those of another writer."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import quilt3
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import HeldForReview
from quilt_packager_runtime.formats.outcome import Outcome, Result

from tests.package_requests import package_request, request_of
from tests.s3_stub import Bucket, S3Stub

EDIT = """
import quilt3, sys
package = quilt3.Package.browse("runs/42", registry="s3://packages")
{change}
copy = lambda key, _entry: key == "README.md"
package.push("runs/42", "s3://packages", message="Review", selector_fn=copy)
"""
ADD = """
open("README.md", "w").write("Read me.")
package.set("README.md", "README.md", meta={"by": "a person"})
package.set_meta({**package.meta, "approved_by": "a person"})
"""


@pytest.fixture(autouse=True)
def raw(s3_stub: S3Stub) -> Bucket:
    bucket = s3_stub.create_bucket("raw")
    bucket.put("runs/42/a.txt", b"hello")
    return bucket


@pytest.fixture(autouse=True)
def packages(s3_stub: S3Stub, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_stub.url)
    return s3_stub.create_bucket("packages")


async def publish(s3: S3, **fields: Any) -> Outcome:
    message = {"source_prefix": "s3://raw/runs/42/", "registry": "packages", **fields}
    return await package_request(s3, request_of(message))


def edit_with_quilt3(home: Path, change: str = 'package.set_meta({"reviewed": True})') -> None:
    """Change the package, as a person does."""
    folders = {"HOME": home, "XDG_DATA_HOME": home / "data", "XDG_CACHE_HOME": home / "cache"}
    environment = {
        **os.environ,
        **{name: str(folder) for name, folder in folders.items()},
        "QUILT_DISABLE_USAGE_METRICS": "true",
    }
    script = EDIT.format(change=change)
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, cwd=home)


def read_with_quilt3() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the newest revision's entries with their metadata, and its own metadata."""
    package = quilt3.Package.browse("runs/42", registry="s3://packages")
    assert package.top_hash == package._calculate_top_hash(package._meta, package.walk())
    return {key: entry.meta for key, entry in package.walk()}, package.meta


async def test_edit_by_quilt3_is_held_or_replaced_and_named(
    s3: S3, packages: Bucket, tmp_path: Path
) -> None:
    await publish(s3)
    edit_with_quilt3(tmp_path)
    edited = packages.get(".quilt/named_packages/runs/42/latest")
    assert edited
    with pytest.raises(HeldForReview):
        await publish(s3, on_foreign_revision="hold")
    outcome = await publish(s3)
    assert outcome.foreign_top_hash == edited.data.decode()


async def test_additions_by_quilt3_are_carried_until_it_removes_them(
    s3: S3, raw: Bucket, tmp_path: Path
) -> None:
    async def carry() -> Outcome:
        return await publish(s3, metadata={"run": 42}, on_foreign_revision="carry")

    await carry()
    edit_with_quilt3(tmp_path, ADD)
    readme = {"README.md": {"by": "a person"}}
    for name in ("b.txt", "c.txt"):
        raw.put(f"runs/42/{name}", name)
        outcome = await carry()
        assert (outcome.carried_entries, outcome.carried_fields) == (1, 1)
        assert outcome.conflicts is None
        assert (await carry()).outcome is Result.UNCHANGED
        entries, metadata = read_with_quilt3()
        assert metadata == {"run": 42, "approved_by": "a person"}
        assert readme.items() <= entries.items()
    assert entries == {**readme, "a.txt": {}, "b.txt": {}, "c.txt": {}}
    edit_with_quilt3(tmp_path, 'package.delete("README.md"); package.set_meta({"run": 42})')
    raw.put("runs/42/d.txt", "d.txt")
    outcome = await carry()
    assert (outcome.carried_entries, outcome.carried_fields) == (0, 0)
    assert read_with_quilt3() == ({f"{name}.txt": {} for name in "abcd"}, {"run": 42})
