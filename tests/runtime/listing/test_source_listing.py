import contextlib
import re
from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quilt3.util import QuiltException, validate_key
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import (
    EmptySource,
    InvalidKeys,
)
from quilt_packager_runtime.formats.objects import ChecksumAlgorithm, SourceFolder, SourceObject
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.listing.source_listing import is_unchanged, list_source

from tests.hashes import CRC64NVME, MIB, SHA256, list_folder
from tests.s3_stub import NULL, Bucket, Pattern, S3Stub, Version, Versioning

FOLDER = SourceFolder("raw", "run/")
ROOT = SourceFolder("raw", "")


@pytest.fixture
def bucket(s3_stub: S3Stub) -> Bucket:
    return s3_stub.create_bucket("raw")


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.s3_stub.listing.MAX_KEYS", 3)


async def list_keys(s3: S3, folder: SourceFolder = FOLDER) -> list[str]:
    return [found.key for found in await list_folder(s3, folder)]


def as_listed(key: str, version: Version) -> SourceObject:
    return SourceObject(
        key=key,
        size_bytes=version.size_bytes,
        etag=f'"{version.etag}"',
        version_id=None if version.version_id == NULL else version.version_id,
        stored=CRC64NVME,
    )


# What is listed


async def test_an_object_is_listed_with_its_identity(s3: S3, bucket: Bucket) -> None:
    version = bucket.put("run/a.txt", b"hello")
    [found] = await list_folder(s3, FOLDER)
    assert found == as_listed("run/a.txt", version)


async def test_nothing_outside_the_folder_is_listed(s3: S3, bucket: Bucket) -> None:
    for key in ("run", "run.txt", "run-2/a", "ru/a", "run/a"):
        bucket.put(key, b"x")
    assert await list_keys(s3) == ["run/a"]


async def test_only_the_newest_version_is_listed(s3: S3, bucket: Bucket) -> None:
    bucket.put("run/a", b"old")
    bucket.put("run/a", b"older than new")
    newest = bucket.put("run/a", b"new")
    assert await list_folder(s3, FOLDER) == [as_listed("run/a", newest)]


async def test_a_deleted_object_is_not_listed(s3: S3, bucket: Bucket) -> None:
    bucket.put("run/a", b"x")
    bucket.delete("run/a")
    bucket.put("run/b", b"x")
    assert await list_keys(s3) == ["run/b"]


async def test_an_object_written_again_after_its_deletion_is_listed(s3: S3, bucket: Bucket) -> None:
    bucket.put("run/a", b"x")
    bucket.delete("run/a")
    newest = bucket.put("run/a", b"y")
    assert await list_folder(s3, FOLDER) == [as_listed("run/a", newest)]


async def test_versions_of_one_key_may_span_pages(
    s3: S3, s3_stub: S3Stub, bucket: Bucket, small_pages: None
) -> None:
    for content in range(7):
        bucket.put("run/a", str(content))
    bucket.delete("run/b")
    newest = bucket.put("run/c", b"x")
    listed = await list_folder(s3, FOLDER)
    assert listed[1:] == [as_listed("run/c", newest)]
    assert bucket.versions("run/a")[0].version_id == listed[0].version_id
    assert s3_stub.counts["ListObjectVersions"] > 1


@pytest.mark.parametrize("versioning", [Versioning.OFF, Versioning.SUSPENDED])
async def test_without_versioning_objects_have_no_version_id(
    s3: S3, bucket: Bucket, versioning: Versioning, small_pages: None
) -> None:
    bucket.versioning = versioning
    versions = [bucket.put(f"run/{n}", str(n)) for n in range(5)]
    expected = [as_listed(f"run/{n}", version) for n, version in enumerate(versions)]
    assert await list_folder(s3, FOLDER) == expected
    assert {found.version_id for found in expected} == {None}


async def test_versions_from_before_a_suspension_keep_their_ids(s3: S3, bucket: Bucket) -> None:
    before = bucket.put("run/a", b"x")
    bucket.versioning = Versioning.SUSPENDED
    bucket.put("run/b", b"x")
    listed = await list_folder(s3, FOLDER)
    assert [found.version_id for found in listed] == [before.version_id, None]


@pytest.mark.parametrize(
    ("size_bytes", "stored", "part_sizes", "expected"),
    [
        (1, ["SHA256"], [], SHA256),
        (8 * MIB, ["SHA256"], [], SHA256),
        (8 * MIB + 1, ["SHA256"], [], None),  # one hash over two chunks is not usable
        (9 * MIB, ["SHA256"], [8 * MIB, MIB], SHA256),
        (9 * MIB, ["CRC64NVME"], [], CRC64NVME),
        (1, ["CRC32"], [], None),
        (1, [], [], None),
    ],
)
async def test_a_listing_names_the_stored_checksum(
    s3: S3,
    bucket: Bucket,
    *,
    size_bytes: int,
    stored: list[str],
    part_sizes: list[int],
    expected: ChecksumAlgorithm | None,
) -> None:
    bucket.put("run/a", Pattern(size_bytes), stored=stored, part_sizes=part_sizes)
    [found] = await list_folder(s3, FOLDER)
    assert found.stored == expected


@pytest.mark.parametrize(
    ("storage_class", "archived"),
    [
        ("STANDARD", False),
        ("INTELLIGENT_TIERING", False),
        ("GLACIER_IR", False),
        ("GLACIER", True),
        ("DEEP_ARCHIVE", True),
    ],
)
async def test_storage_classes_mark_archived_objects(
    s3: S3, bucket: Bucket, storage_class: str, archived: bool
) -> None:
    bucket.put("run/a", b"x", storage_class=storage_class)
    [found] = await list_folder(s3, FOLDER)
    assert found.archived == archived


WEIRD_KEYS = [
    "#", "a#b", "?", "a?versionId=x", "%2F", "%", "%zz", "+", "a+b", " ", "a b ", "'", '"', "\\",
    "\n", "\r\n", "\t", "\x01", "\x7f", "&amp;", "<a>", "]]>", "\u00e9", "e\u0301", "\U0001f9ec",
    "*", "~", "=", ";,:@$!()", "a\u2028b", "\ufeff", "\uffff", "...", "a..b", ".hidden",
]  # fmt: skip


@pytest.mark.parametrize("name", WEIRD_KEYS)
async def test_a_weird_key_is_listed_exactly(s3: S3, bucket: Bucket, name: str) -> None:
    bucket.put(f"run/{name}/{name}", b"x")
    assert await list_keys(s3) == [f"run/{name}/{name}"]


@pytest.mark.parametrize("name", [name for name in WEIRD_KEYS if name != "..."])
async def test_a_weird_folder_is_listed_alone(s3: S3, bucket: Bucket, name: str) -> None:
    bucket.put(f"{name}/a", b"x")
    bucket.put(f"{name}-/a", b"x")
    bucket.put("a/a", b"x")
    assert await list_keys(s3, SourceFolder("raw", f"{name}/")) == [f"{name}/a"]


async def test_weird_keys_mark_the_end_of_a_page(s3: S3, bucket: Bucket, small_pages: None) -> None:
    keys = [f"run/{name}" for name in WEIRD_KEYS]
    for key in keys:
        bucket.put(key, b"x")
    assert await list_keys(s3) == sorted(keys)


async def test_names_that_are_canonically_equivalent_in_unicode_are_two_files(
    s3: S3, bucket: Bucket
) -> None:
    for name in ("\u00e9", "e\u0301"):
        bucket.put(f"run/{name}", name)
    assert await list_keys(s3) == ["run/e\u0301", "run/\u00e9"]


async def test_objects_come_in_the_manifests_order(
    s3: S3, bucket: Bucket, small_pages: None
) -> None:
    for key in ("run/a-b", "run/a/b", "run/a.b", "run/a/b-c", "run/a0", "run/B"):
        bucket.put(key, b"x")
    assert await list_keys(s3) == [
        "run/B", "run/a/b", "run/a/b-c", "run/a-b", "run/a.b", "run/a0",
    ]  # fmt: skip


# What is left out


async def test_the_registry_of_the_bucket_is_left_out(s3: S3, bucket: Bucket) -> None:
    for key in (".quilt/packages/1", ".quilt/named_packages/a/b/latest", ".quiltx", "a/.quilt/b"):
        bucket.put(key, b"x")
    assert await list_keys(s3, ROOT) == [".quiltx", "a/.quilt/b"]


async def test_empty_folder_markers_are_left_out(s3: S3, bucket: Bucket) -> None:
    for key in ("run/", "run/a/", "run/b//"):
        bucket.put(key, b"")
    bucket.put("run/a/b", b"")
    assert await list_keys(s3) == ["run/a/b"]


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param([], id="no-objects"),
        pytest.param(["run/", "run/a/"], id="markers"),
        pytest.param(["run"], id="a-file-of-its-name"),
    ],
)
async def test_a_folder_without_objects_is_rejected(
    s3: S3, bucket: Bucket, keys: list[str]
) -> None:
    for key in keys:
        bucket.put(key, b"")
    with pytest.raises(EmptySource, match="s3://raw/run/ has no objects"):
        await list_folder(s3, FOLDER)


async def warnings_of(s3: S3) -> list[str]:
    with Inventory(FOLDER) as inventory:
        return await list_source(s3, inventory)


async def test_folder_markers_with_content_are_left_out_with_a_warning(
    s3: S3, bucket: Bucket
) -> None:
    for key in ("run/", "run/sub/", "run/sub/x"):
        bucket.put(key, b"x")
    assert await list_keys(s3) == ["run/sub/x"]
    expected = 'Left out folder markers that are not empty: "run/", "run/sub/".'
    assert await warnings_of(s3) == [expected]


async def test_empty_folder_markers_are_no_warning(s3: S3, bucket: Bucket) -> None:
    bucket.put("run/sub/", b"")
    bucket.put("run/sub/x", b"x")
    assert await warnings_of(s3) == []


@pytest.mark.parametrize(
    "content_type",
    ["application/x-directory", "application/x-directory; charset=UTF-8", "httpd/unix-directory"],
)
async def test_an_empty_directory_object_with_the_name_of_a_folder_is_left_out(
    s3: S3, s3_stub: S3Stub, bucket: Bucket, content_type: str
) -> None:
    bucket.put("run/Config", b"")
    bucket.put("run/Config/a.xml", b"x")
    s3_stub.on("HeadObject", key="run/Config", times=None).rewrite_headers(
        {"Content-Type": content_type}
    )
    assert await list_keys(s3) == ["run/Config/a.xml"]


async def test_only_an_empty_object_with_the_name_of_a_folder_gets_a_head(
    s3: S3, s3_stub: S3Stub, bucket: Bucket
) -> None:
    version = bucket.put("run/a", b"")
    for key in ("run/a/b", "run/c/d", "run/e"):
        bucket.put(key, b"")
    with pytest.raises(InvalidKeys, match=r'"run/a" \("run/a/b"\)'):
        await list_keys(s3)
    [head] = s3_stub.requests_of("HeadObject")
    assert (head.key, head.query["versionId"]) == ("run/a", version.version_id)


async def test_a_file_with_the_content_type_of_a_directory_is_rejected(
    s3: S3, s3_stub: S3Stub, bucket: Bucket
) -> None:
    bucket.put("run/a", b"x")
    bucket.put("run/a/b", b"x")
    s3_stub.on(times=None).rewrite_headers({"Content-Type": "application/x-directory"})
    with pytest.raises(InvalidKeys):
        await list_keys(s3)


async def test_a_folder_of_deleted_objects_is_rejected(
    s3: S3, bucket: Bucket, small_pages: None
) -> None:
    for n in range(4):
        bucket.put(f"run/{n}", b"x")
        bucket.delete(f"run/{n}")
    with pytest.raises(EmptySource):
        await list_folder(s3, FOLDER)


async def test_a_bucket_with_nothing_but_its_registry_is_rejected(s3: S3, bucket: Bucket) -> None:
    bucket.put(".quilt/packages/1", b"x")
    for folder in (ROOT, SourceFolder("raw", ".quilt/packages/")):
        with pytest.raises(EmptySource):
            await list_folder(s3, folder)


async def test_a_folder_name_may_contain_a_question_mark(s3: S3, bucket: Bucket) -> None:
    bucket.put("what/a", b"x")
    with pytest.raises(EmptySource, match="what%3F/ has no objects"):
        await list_folder(s3, SourceFolder("raw", "what?/"))


# Keys that no package can hold


@pytest.mark.parametrize("name", ["a//b", "/a", ".", "..", "a/./b", "../a", "a/.."])
async def test_a_key_that_quilt3_refuses_is_rejected(s3: S3, bucket: Bucket, name: str) -> None:
    bucket.put(f"run/{name}", b"x")
    with pytest.raises(InvalidKeys) as failure:
        await list_folder(s3, FOLDER)
    assert failure.value.happened == f'1 key has a component "", "." or "..": "run/{name}".'


@pytest.mark.parametrize("prefix", ["/", "a//", "./", "../", "a/../b/"])
async def test_the_folders_own_name_may_have_components_that_quilt3_refuses(
    s3: S3, bucket: Bucket, prefix: str
) -> None:
    bucket.put(f"{prefix}c/d", b"x")
    assert await list_keys(s3, SourceFolder("raw", prefix)) == [f"{prefix}c/d"]


async def test_a_file_with_the_name_of_a_folder_is_rejected(s3: S3, bucket: Bucket) -> None:
    for key in ("run/a", "run/a-", "run/a.b", "run/a/b/c"):
        bucket.put(key, b"x")
    with pytest.raises(InvalidKeys) as failure:
        await list_folder(s3, FOLDER)
    assert failure.value.happened == '1 key is both a file and a folder: "run/a" ("run/a/b/c").'


async def test_the_folder_itself_collides_with_no_file_of_its_name(s3: S3, bucket: Bucket) -> None:
    bucket.put("run", b"x")
    bucket.put("run/a", b"x")
    assert await list_keys(s3) == ["run/a"]


async def test_all_invalid_keys_are_reported_at_once(s3: S3, bucket: Bucket) -> None:
    for key in ("run/a", "run/a/b", "run/c", "run/c/d/e", "run/f//g", "run/h/.."):
        bucket.put(key, b"x")
    with pytest.raises(InvalidKeys) as failure:
        await list_folder(s3, FOLDER)
    assert failure.value.happened == (
        '2 keys have a component "", "." or "..": "run/f//g", "run/h/..". '
        '2 keys are both a file and a folder: "run/a" ("run/a/b"), "run/c" ("run/c/d/e").'
    )


async def test_of_many_bad_keys_twenty_are_named_and_all_are_counted(
    s3: S3, bucket: Bucket
) -> None:
    for n in range(25):
        bucket.put(f"run/{n:02}//a", b"x")
    with pytest.raises(InvalidKeys) as failure:
        await list_folder(s3, FOLDER)
    named = ", ".join(f'"run/{n:02}//a"' for n in range(20))
    assert failure.value.happened == (
        f'25 keys have a component "", "." or "..": {named} and 5 more (25).'
    )


# A bucket as a model sees it

NAMES = st.sampled_from(["a", "b", "a-", "A", ".", "..", "", ".quilt", "run", "\u00e9", "+", "%2F"])
KEYS = st.lists(NAMES, min_size=1, max_size=4).map("/".join).filter(bool)
STEPS = st.lists(
    st.tuples(
        KEYS,
        st.sampled_from(["put", "put", "put", "empty", "delete", "delete version"]),
        st.sampled_from(Versioning),
    ),
    max_size=25,
)


@given(steps=STEPS, prefix=st.sampled_from(["", "run/", "a//", ".quilt/"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
async def test_a_listing_equals_a_model(
    s3: S3,
    s3_stub: S3Stub,
    small_pages: None,
    steps: Sequence[tuple[str, str, Versioning]],
    prefix: str,
) -> None:
    s3_stub.reset()
    bucket = s3_stub.create_bucket("raw")
    for key, step, versioning in steps:
        bucket.versioning = versioning
        if step.startswith("delete"):
            newest = bucket.get(key) if step == "delete version" else None
            bucket.delete(key, newest.version_id if newest else None)
        else:
            bucket.put(key, b"" if step == "empty" else b"x")
    newest_versions = {key: version for key in bucket.keys(prefix) if (version := bucket.get(key))}
    expected = [
        as_listed(key, newest_versions[key])
        for key in sorted(newest_versions, key=lambda key: key[len(prefix) :].split("/"))
        if not key.startswith(".quilt/") and not key.endswith("/")
    ]
    bad = {found.key for found in expected if not is_accepted(found.key[len(prefix) :])}
    insides = {
        found.key: [other.key for other in expected if other.key.startswith(found.key + "/")]
        for found in expected
    }
    colliding = [key for file, inside in insides.items() for key in (file, *inside[:1]) if inside]
    listing = list_folder(s3, SourceFolder("raw", prefix))
    if not expected:
        with pytest.raises(EmptySource):
            await listing
    elif bad or colliding:
        with pytest.raises(InvalidKeys) as failure:
            await listing
        named = failure.value.happened.replace('component "", "." or "..":', "")
        assert sorted(re.findall('"(.*?)"', named)) == sorted([*bad, *colliding])
    else:
        assert await listing == expected


def is_accepted(logical_key: str) -> bool:
    with contextlib.suppress(QuiltException):
        validate_key(logical_key)
        return True
    return False


# Listing again


async def list_twice(s3: S3, change: Callable[[], object]) -> bool:
    with Inventory(FOLDER) as inventory:
        await list_source(s3, inventory)
        change()
        return await is_unchanged(s3, inventory)


async def test_a_folder_with_markers_is_unchanged(s3: S3, s3_stub: S3Stub, bucket: Bucket) -> None:
    for key in ("run/", "run/a", "run/a/x", "run/b"):
        bucket.put(key)
    s3_stub.on("HeadObject").rewrite_headers({"Content-Type": "application/x-directory"})
    assert await list_twice(s3, lambda: None)


@pytest.mark.parametrize(
    ("versioning", "key", "data"),
    [
        (Versioning.ENABLED, "run/a", b"x"),
        (Versioning.OFF, "run/a", b"y"),
        (Versioning.OFF, "run/b", b"x"),
    ],
    ids=["another version of equal bytes", "other bytes of equal size", "another key"],
)
async def test_a_folder_is_changed_by(
    s3: S3, s3_stub: S3Stub, versioning: Versioning, key: str, data: bytes
) -> None:
    bucket = s3_stub.create_bucket("raw", versioning=versioning)
    bucket.put("run/a", b"x")
    assert not await list_twice(s3, lambda: bucket.put(key, data))
