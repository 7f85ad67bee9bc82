"""A full disk, told as what it is: SQLite and the system each have words of their own for it."""

import errno
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from quilt_packager_runtime.errors import DiskFull

MIB = 1024 * 1024
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def translate_disk_full() -> Iterator[None]:
    """Tell of work inside that filled the disk.

    Raises:
        DiskFull: It did.
    """
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_FULL:
            raise
        raise _disk_full() from error
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise _disk_full() from error


def _disk_full() -> DiskFull:
    folder = tempfile.gettempdir()
    size_bytes = shutil.disk_usage(folder).total
    return DiskFull(
        f"There is no room left in {folder}, which has {size_bytes // MIB:,} MiB.",
        why="A job keeps its objects and its manifest there: 430 bytes for each object, and 3.2 "
        "times the bytes of its key.",
        remedy="Raise ephemeral_storage_size, up to 10,240 MiB, and deploy; or make several "
        "packages of the folder.",
    )
