"""Generated buckets: a million objects that cost no memory, beside what is put into them."""

import re
from collections.abc import Iterator, Sequence
from heapq import merge

from tests.s3_stub.bodies import Pattern
from tests.s3_stub.store import NULL, Bucket, Store, Versioning
from tests.s3_stub.versions import Version

PREFIX = "data/"
_PER_FOLDER = 1000
_KEY = re.compile(r"data/d(\d{5})/f(\d{3})\.csv")
_LAST_MODIFIED = 1767225600.0


class SyntheticBucket(Bucket):
    """N objects `data/d00000/f000.csv` and on, each a function of its index.

    Args:
        name: The bucket's name.
        objects: How many.
        versioning: Of the bucket.
        stored: The checksums that S3 has stored.
        size_bytes: Of each object; None for small ones that differ, 64 bytes to 2 KB.
        part_sizes: As if written by multipart uploads.
        versions_per_key: The newest and its noncurrent ones.
    """

    def __init__(
        self,
        name: str,
        objects: int,
        *,
        versioning: Versioning = Versioning.ENABLED,
        stored: Sequence[str] = ("CRC64NVME",),
        size_bytes: int | None = None,
        part_sizes: Sequence[int] = (),
        versions_per_key: int = 1,
    ) -> None:
        super().__init__(name, versioning, lambda: _LAST_MODIFIED)
        self.objects = objects
        self._stored = tuple(stored)
        self._size_bytes = size_bytes
        self._part_sizes = tuple(part_sizes)
        self._versions_per_key = versions_per_key

    def versions(self, key: str) -> Sequence[Version]:
        """Versions that were put, above the generated ones."""
        put = super().versions(key)
        match = _KEY.fullmatch(key)
        index = int(match[1]) * _PER_FOLDER + int(match[2]) if match else self.objects
        if index >= self.objects:
            return put
        generated = [self._generate(key, index, age) for age in range(self._versions_per_key)]
        return [*put, *generated] if put else generated

    def iterate(self, prefix: str = "", start: str = "") -> Iterator[str]:
        """Every key with the prefix, from `start` on, in S3's order."""
        generated = self._iterate_generated(prefix, start)
        if not self._keys:
            yield from generated
            return
        last = None
        for key in merge(super().iterate(prefix, start), generated):
            if key != last:
                yield key
            last = key

    def _iterate_generated(self, prefix: str, start: str) -> Iterator[str]:
        for index in range(self._lower_bound(max(prefix, start)), self.objects):
            key = key_of(index)
            if not key.startswith(prefix):
                return
            yield key

    def _lower_bound(self, text: str) -> int:
        low, high = 0, self.objects
        while low < high:
            middle = (low + high) // 2
            if key_of(middle) < text:
                low = middle + 1
            else:
                high = middle
        return low

    def _generate(self, key: str, index: int, age: int) -> Version:
        size_bytes = 64 + index * 37 % 1960 if self._size_bytes is None else self._size_bytes
        is_versioned = self.versioning is not Versioning.OFF
        return Version(
            f"v{age}.{index:08d}.Nx7kQ2ZrT5wYbH9cJ4mP" if is_versioned else NULL,
            Pattern(size_bytes, f"{key}.{age}"),
            stored=self._stored,
            part_sizes=self._part_sizes,
            etag=f"{(index * 0x9E3779B97F4A7C15 + age) & (1 << 128) - 1:032x}",
            last_modified=_LAST_MODIFIED - age,
        )


def create_synthetic_bucket(store: Store, text: str) -> Bucket:
    """Make the bucket that a command line asks for.

    Args:
        store: Takes it in.
        text: `NAME=N[,option…]`; options are `sha256`, `crc64nvme`, `none` (stored checksums),
            `unversioned`, `v<K>` (versions of each key) and `size=<bytes>`, `part=<bytes>`.

    Raises:
        ValueError: An unknown option.
    """
    name, _, rest = text.partition("=")
    count, *options = rest.split(",")
    stored: list[str] = []
    versioning = Versioning.ENABLED
    size_bytes: int | None = None
    part_sizes: list[int] = []
    versions_per_key = 1
    for option in options:
        word, _, value = option.partition("=")
        if word in ("sha256", "crc64nvme"):
            stored.append(word.upper())
        elif word == "unversioned":
            versioning = Versioning.OFF
        elif word == "size":
            size_bytes = int(value)
        elif word == "part" and size_bytes:
            whole, rest_bytes = divmod(size_bytes, int(value))
            part_sizes = [int(value)] * whole + [rest_bytes] * (rest_bytes > 0)
        elif re.fullmatch(r"v\d+", word):
            versions_per_key = int(word[1:])
        elif word != "none":
            raise ValueError(f"unknown option {option!r} in {text!r}")
    return store.add(
        SyntheticBucket(
            name,
            int(count),
            versioning=versioning,
            stored=stored,
            size_bytes=size_bytes,
            part_sizes=part_sizes,
            versions_per_key=versions_per_key,
        )
    )


def key_of(index: int) -> str:
    """The key of a generated object."""
    folder, file = divmod(index, _PER_FOLDER)
    return f"data/d{folder:05d}/f{file:03d}.csv"
