"""Revisions that quilt3 publishes are recognized as those of another writer."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import HeldForReview
from quilt_packager_runtime.formats.outcome import Outcome

from tests.package_requests import package_request, request_of
from tests.s3_stub import Bucket, S3Stub

EDIT = """
import quilt3
package = quilt3.Package.browse("runs/42", registry="s3://packages")
package.set_meta({"reviewed": True})
keep_in_place = lambda _key, _entry: False
package.push("runs/42", "s3://packages", message="Review", selector_fn=keep_in_place)
"""


@pytest.fixture(autouse=True)
def packages(s3_stub: S3Stub, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_stub.url)
    s3_stub.create_bucket("raw").put("runs/42/a.txt", b"hello")
    return s3_stub.create_bucket("packages")


async def publish(s3: S3, **fields: str) -> Outcome:
    message = {"source_prefix": "s3://raw/runs/42/", "registry": "packages", **fields}
    return await package_request(s3, request_of(message))


def edit_with_quilt3(home: Path) -> None:
    """Change the metadata of the package, as a person does."""
    folders = {"HOME": home, "XDG_DATA_HOME": home / "data", "XDG_CACHE_HOME": home / "cache"}
    environment = {
        **os.environ,
        **{name: str(folder) for name, folder in folders.items()},
        "QUILT_DISABLE_USAGE_METRICS": "true",
    }
    subprocess.run([sys.executable, "-c", EDIT], env=environment, check=True)


async def test_edit_by_quilt3_is_replaced_and_named(
    s3: S3, packages: Bucket, tmp_path: Path
) -> None:
    await publish(s3)
    edit_with_quilt3(tmp_path)
    edited = packages.get(".quilt/named_packages/runs/42/latest")
    assert edited
    outcome = await publish(s3)
    assert outcome.foreign_top_hash == edited.data.decode()


async def test_edit_by_quilt3_is_held(s3: S3, tmp_path: Path) -> None:
    await publish(s3)
    edit_with_quilt3(tmp_path)
    with pytest.raises(HeldForReview):
        await publish(s3, on_foreign_revision="hold")
