"""The writer of the newest revision decides whether a job may replace it."""

import json
from typing import Any

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import PackageNameTaken
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.formats.outcome import Outcome, Result
from quilt_packager_runtime.registry.ownership import folder_of
from quilt_packager_runtime.requests.delivery import Delivery
from quilt_packager_runtime.settings import Settings
from quilt_packager_runtime.settings.source_options import SourceOptions

from tests.package_requests import package_request, request_of
from tests.s3_stub import Bucket, S3Stub

NOW = 1_700_000_000


@pytest.fixture
def raw(s3_stub: S3Stub) -> Bucket:
    bucket = s3_stub.create_bucket("raw")
    for folder in ("a/b/c/", "a_b/c/", "実験/run1/", "解析/run1/"):
        bucket.put(f"{folder}x.txt", folder)
    return bucket


@pytest.fixture(autouse=True)
def packages(s3_stub: S3Stub, raw: Bucket) -> Bucket:
    return s3_stub.create_bucket("packages")


async def run(s3: S3, folder: str, **fields: Any) -> Outcome:
    message = {"source_prefix": f"s3://raw/{folder}", "registry": "packages", **fields}
    return await package_request(s3, request_of(message))


def latest_of(packages: Bucket, name: str) -> str:
    version = packages.get(f".quilt/named_packages/{name}/latest")
    assert version
    return version.data.decode()


class TestInferredName:
    @pytest.mark.parametrize(
        ("first", "second", "name"),
        [("a/b/c/", "a_b/c/", "a_b/c"), ("実験/run1/", "解析/run1/", "--/run1")],
    )
    @pytest.mark.parametrize("fields", [{}, {"commit_message": "Nightly"}], ids=["default", "own"])
    async def test_of_another_folders_package_is_rejected(
        self,
        s3: S3,
        packages: Bucket,
        *,
        first: str,
        second: str,
        name: str,
        fields: dict[str, str],
    ) -> None:
        created = await run(s3, first, **fields)
        with pytest.raises(PackageNameTaken) as caught:
            await run(s3, second, **fields)
        assert str(SourceFolder("raw", first)) in caught.value.happened
        assert str(SourceFolder("raw", second)) in caught.value.why
        assert "package_name" in caught.value.remedy
        assert latest_of(packages, name) == created.top_hash

    async def test_is_rejected_before_the_folder_is_listed(self, s3: S3, s3_stub: S3Stub) -> None:
        await run(s3, "a/b/c/")
        s3_stub.forget_requests()
        with pytest.raises(PackageNameTaken):
            await run(s3, "a_b/c/")
        assert s3_stub.counts == {"GetObject": 3, "ListObjectsV2": 1}

    async def test_is_rejected_even_if_the_other_message_is_newer(self, s3: S3) -> None:
        def deliver(name: str, sent_seconds: float) -> Delivery:
            return Delivery(
                body="", message_id=name, sent_seconds=sent_seconds, started_seconds=sent_seconds
            )

        newer, older = (
            request_of({"source_prefix": f"s3://raw/{folder}", "registry": "packages"})
            for folder in ("a/b/c/", "a_b/c/")
        )
        await package_request(s3, newer, delivery=deliver("newer", NOW))
        with pytest.raises(PackageNameTaken):
            await package_request(s3, older, delivery=deliver("older", NOW - 60))

    async def test_of_the_same_folder_is_published_again(self, s3: S3, raw: Bucket) -> None:
        await run(s3, "a/b/c/")
        raw.put("a/b/c/new.txt", "new")
        assert (await run(s3, "a/b/c/")).outcome is Result.CREATED

    async def test_is_rejected_if_a_template_has_no_value(self, s3: S3, raw: Bucket) -> None:
        settings = Settings(
            default_registry="packages",
            sources=(
                SourceOptions(kind="workflow_run_crate", package_name="{workflow_name}/{run_id}"),
            ),
        )

        async def package_crate(folder: str) -> Outcome:
            key = f"{folder}ro-crate-metadata.json"
            raw.put(key, '{"@graph": []}')
            event = {
                "source": "aws.s3",
                "detail-type": "Object Created",
                "detail": {"bucket": {"name": "raw"}, "object": {"key": key}},
            }
            return await package_request(s3, request_of(json.dumps(event), settings), settings)

        assert (await package_crate("a/b/c/")).package_name == "a_b/c"
        with pytest.raises(PackageNameTaken):
            await package_crate("a_b/c/")


class TestNameOfTheSender:
    async def test_replaces_the_package_of_another_folder(self, s3: S3, packages: Bucket) -> None:
        await run(s3, "a/b/c/")
        outcome = await run(s3, "a_b/c/", package_name="a_b/c")
        assert outcome.outcome is Result.CREATED
        assert latest_of(packages, "a_b/c") == outcome.top_hash

    async def test_of_a_template_replaces_the_package_of_another_folder(self, s3: S3) -> None:
        options = SourceOptions(kind="objects_ready", package_name="data/{folder}")
        settings = Settings(default_registry="packages", sources=(options,))
        for folder in ("a/b/c/", "a_b/c/"):
            event = {
                "source": "com.quiltdata.edp",
                "detail-type": "package-objects-ready",
                "detail": {"bucket": "raw", "prefix": folder},
            }
            outcome = await package_request(s3, request_of(json.dumps(event), settings), settings)
            assert (outcome.outcome, outcome.package_name) == (Result.CREATED, "data/c")


class TestFolderOfManifest:
    """Each version of this engine has named the folder somewhere."""

    ENTRY = (
        '{"logical_key": "b/x y.txt", "physical_keys": ["s3://raw/r%231/b/x%20y.txt?versionId=v1"],'
        ' "size": 1, "hash": {"type": "sha2-256-chunked", "value": ""}, "meta": {}}'
    )

    @pytest.mark.parametrize(
        "header",
        [
            {"version": "v0", "message": "Nightly", "source": "s3://raw/r%231/"},
            {"version": "v0", "message": "Packaged from s3://raw/r%231/"},
            {"version": "v0", "message": "Nightly"},
            {"version": "v0", "message": None},
        ],
    )
    def test_is_found(self, header: dict[str, str]) -> None:
        data = f"{json.dumps(header)}\n{self.ENTRY}\n".encode()
        assert folder_of(data) == SourceFolder("raw", "r#1/")

    @pytest.mark.parametrize(
        "data", [b"", b"{}\n", b"[]\n[]\n", b'{}\n{"logical_key": "a", "physical_keys": []}\n']
    )
    def test_is_unknown_in_a_malformed_manifest(self, data: bytes) -> None:
        assert folder_of(data) is None
