import sqlite3
from pathlib import Path

import pytest
from quilt_packager_runtime.disk_space import translate_disk_full
from quilt_packager_runtime.errors import DiskFull

FULL_DEVICE = Path("/dev/full")


@pytest.fixture
def small_database() -> sqlite3.Connection:
    database = sqlite3.connect("")
    database.execute("PRAGMA max_page_count = 4")
    database.execute("CREATE TABLE things (thing)")
    return database


def fill(database: sqlite3.Connection) -> None:
    database.executemany("INSERT INTO things VALUES (?)", (("x" * 1000,) for _ in range(100)))


def test_a_full_database_is_a_full_disk(small_database: sqlite3.Connection) -> None:
    with pytest.raises(DiskFull, match=r"Increase ephemeral_storage_size"), translate_disk_full():
        fill(small_database)


@pytest.mark.skipif(not FULL_DEVICE.exists(), reason="/dev/full does not exist")
def test_a_file_that_cannot_grow_is_a_full_disk() -> None:
    with (
        pytest.raises(DiskFull, match=r"temporary folder .* is full: .* MiB"),
        translate_disk_full(),
    ):
        write_to_full_device()


def write_to_full_device() -> None:
    with FULL_DEVICE.open("wb", buffering=0) as file:
        file.write(b"x")


@pytest.mark.parametrize("error", [sqlite3.OperationalError("locked"), PermissionError(13, "no")])
def test_other_errors_propagate(error: Exception) -> None:
    with pytest.raises(type(error)), translate_disk_full():
        raise error
