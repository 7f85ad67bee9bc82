import asyncio
from collections.abc import Iterator, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quilt_packager_runtime.formats.objects import (
    Checksum,
    ChecksumAlgorithm,
    SourceFolder,
    SourceObject,
)
from quilt_packager_runtime.formats.selection import Selection
from quilt_packager_runtime.listing import inventory as module
from quilt_packager_runtime.listing.inventory import Inventory

FOLDER = SourceFolder("raw", "runs/")
CHECKSUM = Checksum("CRC64NVME", "AAAAAAAAAAA=")
SHA256, CRC64NVME = ChecksumAlgorithm.SHA256_CHUNKED, ChecksumAlgorithm.CRC64NVME
ENCODABLE = st.characters(exclude_categories=["Cs"])
LOGICAL_KEYS = st.sets(st.text(ENCODABLE | st.sampled_from("/-\0\1"), min_size=1))


@pytest.fixture
def inventory() -> Iterator[Inventory]:
    with Inventory(FOLDER) as made:
        yield made


def found(key: str, **fields: object) -> SourceObject:
    values = {"size_bytes": 1, "etag": '"e"', "version_id": "v1"} | fields
    return SourceObject(f"runs/{key}", **values)  # type: ignore[arg-type]


@given(LOGICAL_KEYS)
def test_any_keys_come_back_in_the_order_of_their_components(keys: set[str]) -> None:
    with Inventory(FOLDER) as inventory:
        inventory.add(found(key) for key in keys)
        assert [key for key, _ in inventory.sizes()] == sorted(keys, key=lambda k: k.split("/"))


async def unhashed(inventory: Inventory, *, archived: bool = False) -> list[list[SourceObject]]:
    return [block async for block in inventory.unhashed(archived=archived)]


async def test_totals_count_all_objects_or_those_without_checksum(inventory: Inventory) -> None:
    inventory.add([found("a", size_bytes=3), found("b", size_bytes=4)])
    inventory.record([(found("a"), CHECKSUM)])
    assert inventory.totals() == (2, 7)
    assert await inventory.unhashed_totals() == (1, 4)


async def test_an_empty_inventory_totals_nothing(inventory: Inventory) -> None:
    assert inventory.totals() == await inventory.unhashed_totals() == (0, 0)


async def test_totals_leave_out_bytes_whose_checksum_is_expected(inventory: Inventory) -> None:
    inventory.add(
        [
            found("a", size_bytes=1, stored=SHA256),
            found("b", size_bytes=2, stored=CRC64NVME),
            found("c", size_bytes=4),
        ]
    )
    assert await inventory.unhashed_totals([SHA256]) == (3, 6)
    assert await inventory.unhashed_totals([CRC64NVME, SHA256]) == (3, 4)


async def test_totals_are_exact_however_many_bytes_there_are(inventory: Inventory) -> None:
    sizes = [48 * 2**40, 48 * 2**40 - 1, 1]
    inventory.add(found(str(n), size_bytes=size) for n, size in enumerate(sizes))
    assert await inventory.unhashed_totals() == (3, sum(sizes))


async def test_objects_are_returned_as_they_were_added(inventory: Inventory) -> None:
    objects = [found("a", version_id=None), found("b/c", etag='"f"', size_bytes=2, stored=SHA256)]
    inventory.add(objects)
    assert await unhashed(inventory) == [objects]


async def test_archived_objects_are_returned_separately(inventory: Inventory) -> None:
    inventory.add([found("a"), found("b", archived=True)])
    [[archived]] = await unhashed(inventory, archived=True)
    assert archived == found("b", archived=True)


async def test_each_block_continues_after_the_last(
    inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_OBJECTS", 2)
    inventory.add(found(str(n)) for n in range(5))
    taken = []
    async for block in inventory.unhashed(archived=False):
        taken.append([each.key for each in block])
        inventory.record((each, CHECKSUM) for each in block)
    assert taken == [["runs/0", "runs/1"], ["runs/2", "runs/3"], ["runs/4"]]


async def test_other_tasks_run_during_a_scan(
    inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_OBJECTS", 2)
    inventory.add(found(str(n)) for n in range(9))
    for scan in (
        inventory.unhashed_totals(),
        unhashed(inventory, archived=True),
        first_hashed(inventory),
    ):
        others_turns = 0
        task = asyncio.ensure_future(scan)
        while not task.done():
            await asyncio.sleep(0)
            others_turns += 1
        assert others_turns >= 4


async def first_hashed(inventory: Inventory) -> tuple[SourceObject, Checksum] | None:
    return await anext(inventory.hashed(), None)


async def test_a_recorded_object_is_not_returned_again(inventory: Inventory) -> None:
    inventory.add([found("a"), found("b")])
    inventory.record([(found("a"), CHECKSUM)])
    assert await unhashed(inventory) == [[found("b")]]


async def test_an_unchanged_version_keeps_its_checksum(inventory: Inventory) -> None:
    inventory.add([found("a"), found("b", version_id="v2"), found("c", version_id=None)])
    kept = inventory.record_versions((key, "v1", CHECKSUM) for key in ["a", "b", "c", "gone"])
    assert kept == 1
    assert await inventory.unhashed_totals() == (2, 2)


async def test_hashed_leaves_out_checksums_known_before(inventory: Inventory) -> None:
    inventory.add([found("a"), found("b"), found("c")])
    inventory.record([(found("a"), CHECKSUM)])
    inventory.record_known([(found("b"), CHECKSUM)])
    inventory.record_versions([("c", "v1", CHECKSUM)])
    assert [known async for known in inventory.hashed()] == [(found("a"), CHECKSUM)]
    assert await inventory.unhashed_totals() == (0, 0)


def test_entries_name_their_versions(inventory: Inventory) -> None:
    inventory.add([found("a b", version_id="v/1", size_bytes=5)])
    inventory.record([(found("a b"), CHECKSUM)])
    [entry] = inventory.entries()
    assert entry.logical_key == "a b"
    assert entry.physical_key == "s3://raw/runs/a%20b?versionId=v%2F1"
    assert entry.size_bytes == 5
    assert entry.checksum == CHECKSUM


def test_entries_fail_if_a_checksum_is_missing(inventory: Inventory) -> None:
    inventory.add([found("a")])
    with pytest.raises(ValueError, match="'a' is missing"):
        list(inventory.entries())


def selection(*files: str, folders: Sequence[str] = ()) -> Selection:
    return Selection(
        crate="crate",
        etag='"e"',
        version_id="v1",
        files=frozenset(files),
        folders=frozenset(folders),
    )


async def test_objects_that_the_crate_does_not_list_are_left_out() -> None:
    listed = selection("a", "typed-file", folders=["sub"])
    with Inventory(FOLDER, ["sub/*.tmp", "crate"], listed) as inventory:
        keys = ("a", "a-b", "crate", "sub/x/y", "sub/z.tmp", "typed-file/x", "other/sub/x")
        inventory.add(map(found, keys))
        assert [key for key, _ in inventory.sizes()] == ["a", "crate", "sub/x/y", "typed-file/x"]
        assert await inventory.missing_parts() == []


async def test_listed_parts_without_objects_are_missing() -> None:
    listed = selection("a", "b", "excluded", "sub-c", folders=["empty", "sub"])
    with Inventory(FOLDER, ["excluded"], listed) as inventory:
        inventory.add(map(found, ["a", "crate", "sub/x", "sub\0"]))
        assert await inventory.missing_parts() == ["b", "empty", "sub-c"]


async def test_the_whole_folder_misses_no_part(inventory: Inventory) -> None:
    assert await inventory.missing_parts() == []


def test_entries_have_the_metadata_of_the_crate() -> None:
    listed = msgspec.structs.replace(selection("a", "b"), metadata={"a": {"x": 1}})
    with Inventory(FOLDER, (), listed) as inventory:
        inventory.add(map(found, ["a", "b"]))
        inventory.record([(found("a"), CHECKSUM), (found("b"), CHECKSUM)])
        assert [each.metadata for each in inventory.entries()] == [{"x": 1}, None]


def test_excluded_objects_are_left_out() -> None:
    with Inventory(SourceFolder("b", "f/"), exclude=["work/**", "*.tmp"]) as inventory:
        keys = ("f/a", "f/a.tmp", "f/work/x", "f/f/work/y")
        inventory.add(SourceObject(key, 1, "", None) for key in keys)
        assert [key for key, _ in inventory.sizes()] == ["a", "f/work/y"]
