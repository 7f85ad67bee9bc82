"""Translation of the errors of SQLite and of the system for a full disk."""

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
    """Raise DiskFull if the body fills the disk."""
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
        f"The temporary folder {folder} is full: {size_bytes // MIB:,} MiB.",
        why="It holds the list of a job's objects and its manifest: 430 bytes for each object, and "
        "3.2 times the size of its key, and the metadata that a crate gives to files.",
        remedy="Increase ephemeral_storage_size, up to 10,240 MiB, and deploy; or split the folder "
        "into several packages.",
    )
