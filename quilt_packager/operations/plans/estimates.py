"""How much work hashing is, and what that takes: requests, seconds and dollars.

Requests are counted as the runtime makes them. Seconds are a range, since nobody knows how fast S3
will be.
"""

from collections import Counter
from collections.abc import Mapping
from math import ceil
from typing import Self

import msgspec
from quilt_packager_runtime.formats.checksums import MIN_CHUNK_BYTES, chunk_size_bytes, count_chunks
from quilt_packager_runtime.formats.objects import SourceObject
from quilt_packager_runtime.hashing.range_reader import RANGE_BYTES
from quilt_packager_runtime.hashing.server_side_copy import MAX_PART_BYTES

from quilt_packager.operations.plans.prices import (
    MIB_OF_ONE_CPU,
    USD_OF_A_GB_SECOND,
    USD_OF_A_TRANSITION,
    count_kinds,
    price_requests_usd,
)

PARTS_A_PAGE = 1000
"""How many parts of an object GetObjectAttributes tells at a time."""

UPLOAD_PART_BYTES = 8 * 1024 * 1024
"""How much of a manifest awscrt writes with one request."""

WORKERS = 20
"""How many workers of a large job there are at a time, unless the construct says otherwise."""

TRANSITIONS_A_SHARD = 3
TRANSITIONS_A_JOB = 10

INVOCATION_SECONDS = 15 * 60 - 70
"""When an invocation hands over what is left: see the packager's handler."""

Range = tuple[float, float]
"""The least and the most that is likely."""


class Rates(msgspec.Struct, frozen=True):
    """How fast one function with 2 GiB is.

    The fast rates are what S3 and the CPU allow: 5,500 HEAD or GET a second for a prefix, and what
    docs/performance.md measured of listing in CPU time. The slow ones are what it measured on the
    clock, of a million objects on a busy machine. Nothing has been measured in AWS: how fast bytes
    are read is as docs/how-to/large-packages.md has it, and half of that; how fast they are copied
    is an estimate.

    Attributes:
        objects: Listed, sorted and written into the manifest, a second.
        requests: HEAD or GET of small objects, a second.
        read_bytes: Read and hashed, a second.
        copies: Chunks copied inside S3, a second.
        copied_bytes: Bytes of them, a second.
        other_seconds: The start of the function, and the requests that each job makes.
        hand_over_seconds: The start of the state machine and of its functions.
    """

    objects: float
    requests: float
    read_bytes: float
    copies: float
    copied_bytes: float
    other_seconds: float
    hand_over_seconds: float


FAST = Rates(60_000, 5_500, 80e6, 1_000, 5e9, 1, 10)
SLOW = Rates(40_000, 2_750, 40e6, 100, 1e9, 4, 60)


class Load(msgspec.Struct):
    """What there is to do to compute the checksums of objects.

    Attributes:
        objects: How many there are.
        size_bytes: How large they are.
        reads: GETs.
        read_bytes: What these read.
        uploads: Multipart uploads that are made to be copied into.
        copies: The chunks that are.
        copied_bytes: What these have.
    """

    objects: int = 0
    size_bytes: int = 0
    reads: int = 0
    read_bytes: int = 0
    uploads: int = 0
    copies: int = 0
    copied_bytes: int = 0

    def add(self, found: SourceObject, *, can_copy: bool) -> None:
        """Take on an object.

        Args:
            found: The object, not an empty one.
            can_copy: There is a scratch bucket.

        Example:
            >>> load = Load()
            >>> load.add(SourceObject("k", 9 * 1024 * 1024, "", None), can_copy=True)
            >>> load.add(SourceObject("k", 5, "", None), can_copy=True)
            >>> load.copies, load.reads
            (2, 1)
        """
        size_bytes = found.size_bytes
        self.objects += 1
        self.size_bytes += size_bytes
        if (
            can_copy
            and size_bytes >= MIN_CHUNK_BYTES
            and chunk_size_bytes(size_bytes) <= MAX_PART_BYTES
        ):
            self.uploads += 1
            self.copies += count_chunks(size_bytes)
            self.copied_bytes += size_bytes
        else:
            # A chunk is as large as one range, or as two, four, and so on.
            self.reads += ceil(size_bytes / RANGE_BYTES)
            self.read_bytes += size_bytes

    def plus(self, other: Self, share: float) -> Self:
        """This, and a share of another.

        Args:
            other: The other.
            share: Between 0 and 1.
        """
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return type(self)(*(mine + round(its * share) for mine, its in pairs))

    def requests(self) -> Counter[str]:
        """The requests that it takes, by S3's name of the operation."""
        return Counter(
            {
                "GetObject": self.reads,
                "CreateMultipartUpload": self.uploads,
                "UploadPartCopy": self.copies,
                "AbortMultipartUpload": self.uploads,
            }
        )


class Estimate(msgspec.Struct, frozen=True):
    """What a job would take.

    Attributes:
        requests: Requests to S3 by what they are billed as: HEAD, LIST, GET, PUT, COPY, DELETE.
        seconds: The least and the most that it would take on the clock.
        usd: The price: requests, functions, and states.
    """

    requests: dict[str, int]
    seconds: Range
    usd: float


def ask_parts(found: SourceObject) -> int:
    """How many requests tell the parts of an object.

    Args:
        found: An object that was uploaded in parts.
    """
    return ceil(count_chunks(found.size_bytes) / PARTS_A_PAGE)


def put_file(size_bytes: int) -> Counter[str]:
    """The requests that write a file.

    Args:
        size_bytes: The file's size.

    Example:
        >>> put_file(10)
        Counter({'PutObject': 1})
    """
    parts = ceil(size_bytes / UPLOAD_PART_BYTES)
    if parts <= 1:
        return Counter({"PutObject": 1})
    return Counter({"CreateMultipartUpload": 1, "UploadPart": parts, "CompleteMultipartUpload": 1})


def hash_seconds(heads: int, load: Load) -> Range:
    """How long one function takes to find checksums.

    Args:
        heads: How many objects are asked for.
        load: What has to be computed.
    """
    least, most = (
        (heads + load.reads) / rates.requests
        + load.read_bytes / rates.read_bytes
        + max(load.copies / rates.copies, load.copied_bytes / rates.copied_bytes)
        for rates in (FAST, SLOW)
    )
    return least, most


def estimate(
    *, objects: int, requests: Mapping[str, int], hashing: Range, shards: int, memory_mib: int
) -> Estimate:
    """Say what a job would take.

    Args:
        objects: How many there are.
        requests: All requests of the job, by S3's name of the operation.
        hashing: How long one function would take to find the checksums.
        shards: Among how many workers a large job is shared; 0 for a job that is not large.
        memory_mib: The memory of the functions.
    """
    # More memory buys more CPU, and less takes it away; beyond one CPU little is gained.
    slowness = max(1.0, MIB_OF_ONE_CPU / memory_mib)
    ends: list[float] = []
    billed: list[float] = []
    for rates, hash_most in zip((FAST, SLOW), hashing, strict=True):
        around = rates.other_seconds + objects * slowness / rates.objects
        seconds = around + hash_most * slowness
        if not shards:
            ends.append(seconds)
            billed.append(seconds)
            continue
        listing = objects * slowness / rates.objects
        fastest = sum(requests.get(name, 0) for name in ("HeadObject", "GetObject")) / FAST.requests
        shared = max(hash_most * slowness / min(shards, WORKERS), fastest)
        ends.append(around + listing + shared + rates.hand_over_seconds)
        billed.append(seconds + listing + shards * rates.other_seconds)
    transitions = shards * TRANSITIONS_A_SHARD + TRANSITIONS_A_JOB if shards else 0
    usd = (
        price_requests_usd(requests)
        + sum(billed) / 2 * memory_mib / 1024 * USD_OF_A_GB_SECOND
        + transitions * USD_OF_A_TRANSITION
    )
    kinds = {kind: count for kind, count in count_kinds(requests).items() if count}
    return Estimate(requests=kinds, seconds=(ends[0], ends[1]), usd=usd)
