"""Write a manifest with its top hash with one side.

Run: `python -m benchmarks.write_manifest SIDE ENTRIES`. It prints the CPU seconds, without the
generation of the entries, and the top hash.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from quilt_packager_runtime.formats.manifest import Header, write_manifest
from quilt_packager_runtime.formats.objects import Entry

from benchmarks import generated
from benchmarks.jobs import Side

MESSAGE = "Benchmark"


class Written(msgspec.Struct, frozen=True):
    """The manifest of a side.

    Attributes:
        cpu_seconds: Time from entries to manifest and top hash.
        manifest_bytes: Size of the manifest.
        top_hash: The top hash.
    """

    cpu_seconds: float
    manifest_bytes: int
    top_hash: str


def write_with_engine(entries: Sequence[Entry], path: Path) -> Callable[[], str]:
    """Prepare the measured function."""

    def write() -> str:
        with path.open("wb") as file:
            return write_manifest(Header(None, MESSAGE), entries, file.write)

    return write


def write_with_quilt3(entries: Sequence[Entry], path: Path) -> Callable[[], str]:
    """Prepare the measured function, which does the work of `push` after hashing."""
    import quilt3  # noqa: PLC0415 - only one side's libraries are loaded
    from quilt3.packages import PackageEntry  # noqa: PLC0415
    from quilt3.util import PhysicalKey  # noqa: PLC0415

    package = quilt3.Package()
    package.set_meta(None)
    package._set_commit_message(MESSAGE)  # noqa: SLF001 - as `push` does
    for entry in entries:
        checksum = {"type": entry.checksum.type, "value": entry.checksum.value}
        physical_key = PhysicalKey.from_url(entry.physical_key)
        package.set(entry.logical_key, PackageEntry(physical_key, entry.size_bytes, checksum, None))

    def write() -> str:
        top_hash: str = package.top_hash
        with path.open("w", encoding="utf-8") as file:
            package.dump(file)
        return top_hash

    return write


PREPARE = {Side.ENGINE: write_with_engine, Side.QUILT3: write_with_quilt3}


def main() -> None:
    """Write a manifest, and print the cost."""
    side, count = sys.argv[1:]
    with TemporaryDirectory() as folder:
        path = Path(folder, "manifest.jsonl")
        write = PREPARE[Side(side)](list(generated.entries(int(count))), path)
        started = time.process_time()
        top_hash = write()
        written = Written(time.process_time() - started, path.stat().st_size, top_hash)
    sys.stdout.buffer.write(msgspec.json.encode(written))


if __name__ == "__main__":
    main()
