"""Cost of a job: requests, seconds and dollars.

Requests are counted as the runtime sends them. Seconds are a range, because the speed of S3 varies.
"""

from collections import Counter
from collections.abc import Mapping
from math import ceil
from typing import Self

import msgspec
from quilt_packager_runtime.formats.checksums import MIN_CHUNK_BYTES, chunk_size_bytes, count_chunks
from quilt_packager_runtime.formats.objects import SourceObject
from quilt_packager_runtime.handlers.invocations import DEADLINE_MARGIN_SECONDS, HAND_OFF_SECONDS
from quilt_packager_runtime.hashing.range_reader import RANGE_BYTES
from quilt_packager_runtime.hashing.server_side_copy import MAX_PART_BYTES

from quilt_packager.contract import DEFAULT_CHECKSUM_CONCURRENCY, DEFAULT_TIMEOUT_SECONDS
from quilt_packager.operations.plans.prices import (
    MIB_OF_ONE_CPU,
    USD_OF_A_GB_SECOND,
    USD_OF_A_TRANSITION,
    count_kinds,
    price_requests_usd,
)

PARTS_A_PAGE = 1000
"""Maximum number of parts in one response of GetObjectAttributes."""

UPLOAD_PART_BYTES = 8 * 1024 * 1024
"""Part size with which awscrt writes a manifest."""

TRANSITIONS_A_SHARD = 3
TRANSITIONS_A_JOB = 10

INVOCATION_SECONDS = DEFAULT_TIMEOUT_SECONDS - DEADLINE_MARGIN_SECONDS - HAND_OFF_SECONDS
"""Duration after which the packager's handler hands over the rest of a job."""

Range = tuple[float, float]
"""Lower and upper bound of a likely value."""


class Rates(msgspec.Struct, frozen=True):
    """Speed of one function with 2 GiB.

    The fast rates are the limits of S3 and of the CPU: 5,500 HEAD or GET a second for a prefix, and
    the CPU time of listing in docs/performance.md. The slow rates are its durations of a million
    objects on a busy machine. Nothing has been measured in AWS: docs/how-to/large-packages.md has
    the fast rate of reading, and the slow one is half of it; the rate of copying is an estimate.

    Attributes:
        objects: Objects listed, sorted and written into the manifest, a second.
        requests: HEAD requests, or GET requests of small objects, a second.
        read_bytes: Bytes read and hashed, a second.
        copied_bytes: Bytes copied inside S3, a second.
        other_seconds: Start of the function, and requests of every job.
        hand_off_seconds: Start of the state machine and of its functions.
    """

    objects: float
    requests: float
    read_bytes: float
    copied_bytes: float
    other_seconds: float
    hand_off_seconds: float


FAST = Rates(60_000, 5_500, 80e6, 5e9, 1, 10)
SLOW = Rates(40_000, 2_750, 40e6, 0.8e9, 4, 60)


class Load(msgspec.Struct):
    """Work of computing checksums.

    Attributes:
        objects: Number of objects.
        size_bytes: Their total size.
        reads: Number of GET requests.
        read_bytes: Bytes that these read.
        uploads: Number of multipart uploads to copy into.
        copies: Number of copied chunks.
        copied_bytes: Total size of these chunks.
    """

    objects: int = 0
    size_bytes: int = 0
    reads: int = 0
    read_bytes: int = 0
    uploads: int = 0
    copies: int = 0
    copied_bytes: int = 0

    def add(self, found: SourceObject, *, can_copy: bool) -> None:
        """Add an object that is not empty; `can_copy` if there is a scratch bucket.

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
            # A chunk has the size of 1, 2, 4, … ranges.
            self.reads += ceil(size_bytes / RANGE_BYTES)
            self.read_bytes += size_bytes

    def add_load(self, other: Self) -> None:
        """Add another load."""
        self.objects += other.objects
        self.size_bytes += other.size_bytes
        self.reads += other.reads
        self.read_bytes += other.read_bytes
        self.uploads += other.uploads
        self.copies += other.copies
        self.copied_bytes += other.copied_bytes

    def plus_share(self, other: Self, share: float) -> Self:
        """Add a share, between 0 and 1, of another load."""
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return type(self)(*(mine + round(its * share) for mine, its in pairs))

    def requests(self) -> Counter[str]:
        """Count the requests by name of the S3 operation."""
        return Counter(
            {
                "GetObject": self.reads,
                "CreateMultipartUpload": self.uploads,
                "UploadPartCopy": self.copies,
                "AbortMultipartUpload": self.uploads,
            }
        )


class Estimate(msgspec.Struct, frozen=True):
    """Estimated cost of a job.

    Attributes:
        requests: Requests to S3 by billed kind: HEAD, LIST, GET, PUT, COPY, DELETE.
        seconds: Likely duration.
        usd: Price of requests, functions and state transitions.
    """

    requests: dict[str, int]
    seconds: Range
    usd: float


def count_part_requests(found: SourceObject) -> int:
    """Count the requests that list the parts of an object, which was uploaded in parts."""
    return ceil(count_chunks(found.size_bytes) / PARTS_A_PAGE)


def count_upload_requests(size_bytes: int) -> Counter[str]:
    """Count the requests that write a file.

    Example:
        >>> count_upload_requests(10)
        Counter({'PutObject': 1})
    """
    parts = ceil(size_bytes / UPLOAD_PART_BYTES)
    if parts <= 1:
        return Counter({"PutObject": 1})
    return Counter({"CreateMultipartUpload": 1, "UploadPart": parts, "CompleteMultipartUpload": 1})


def hash_seconds(heads: int, load: Load) -> Range:
    """Estimate the time in which one function finds checksums.

    Args:
        heads: Number of objects that are queried with HEAD.
        load: Checksums to compute.
    """
    least, most = (
        (heads + load.reads) / rates.requests
        + load.read_bytes / rates.read_bytes
        + load.copied_bytes / rates.copied_bytes
        for rates in (FAST, SLOW)
    )
    return least, most


def estimate(
    *, objects: int, requests: Mapping[str, int], hashing: Range, shards: int, memory_mib: int
) -> Estimate:
    """Estimate the cost of a job.

    Args:
        objects: Number of objects.
        requests: Number of requests by name of the S3 operation.
        hashing: Seconds in which one function would find the checksums.
        shards: Number of shards of a large job; 0 for an inline job.
        memory_mib: Memory of the functions.
    """
    # CPU grows with memory. The job gains little from more than one CPU.
    slowness = max(1.0, MIB_OF_ONE_CPU / memory_mib)
    seconds: list[float] = []
    billed: list[float] = []
    for rates, hashing_alone in zip((FAST, SLOW), hashing, strict=True):
        listing = objects * slowness / rates.objects
        alone = rates.other_seconds + listing + hashing_alone * slowness
        if not shards:
            seconds.append(alone)
            billed.append(alone)
            continue
        # The request rate of S3 limits all workers together.
        heads_and_gets = requests.get("HeadObject", 0) + requests.get("GetObject", 0)
        shared = hashing_alone * slowness / min(shards, DEFAULT_CHECKSUM_CONCURRENCY)
        shared = max(shared, heads_and_gets / FAST.requests)
        # A large job lists the folder twice.
        seconds.append(rates.other_seconds + 2 * listing + shared + rates.hand_off_seconds)
        billed.append(alone + listing + shards * rates.other_seconds)
    transitions = shards * TRANSITIONS_A_SHARD + TRANSITIONS_A_JOB if shards else 0
    usd = (
        price_requests_usd(requests)
        + sum(billed) / 2 * memory_mib / 1024 * USD_OF_A_GB_SECOND
        + transitions * USD_OF_A_TRANSITION
    )
    kinds = {kind: count for kind, count in count_kinds(requests).items() if count}
    return Estimate(requests=kinds, seconds=(seconds[0], seconds[1]), usd=usd)
