"""Estimates of work that no small job shows."""

import pytest
from quilt_packager_runtime.formats.objects import SourceObject

from quilt_packager.operations.plans.estimates import (
    Estimate,
    Load,
    count_upload_requests,
    estimate,
    hash_seconds,
)
from quilt_packager.operations.plans.prices import USD_OF_A_TRANSITION

TIB = 1024**4


def estimate_of(*, shards: int = 0, memory_mib: int = 2048, objects: int = 1_000_000) -> Estimate:
    requests = {"HeadObject": objects, "ListObjectVersions": objects // 1000}
    return estimate(
        objects=objects,
        requests=requests,
        hashing=hash_seconds(objects, Load()),
        shards=shards,
        memory_mib=memory_mib,
    )


def test_million_stored_checksums_cost_as_documented() -> None:
    # docs/how-to/large-packages.md: LIST $0.005 once, HEAD $0.40, and some cents of Lambda.
    made = estimate_of()
    assert 0.405 < made.usd < 0.43
    assert made.seconds[0] < 362 < made.seconds[1]


def test_large_job_is_faster_and_costs_its_transitions() -> None:
    inline, large = estimate_of(), estimate_of(shards=50)
    assert large.seconds[1] < inline.seconds[1]
    assert large.usd - inline.usd > 50 * 3 * USD_OF_A_TRANSITION


def test_less_than_one_cpu_takes_longer() -> None:
    assert estimate_of(memory_mib=512).seconds[0] > 2 * estimate_of().seconds[0]


@pytest.mark.parametrize(
    ("can_copy", "copies", "reads"), [(True, 0, 6_291_456), (False, 0, 6_291_456)]
)
def test_object_whose_chunks_are_larger_than_a_part_is_read(
    can_copy: bool, copies: int, reads: int
) -> None:
    load = Load()
    load.add(SourceObject("k", 48 * TIB, "", None), can_copy=can_copy)
    assert (load.copies, load.reads) == (copies, reads)


def test_object_of_5_tib_is_copied_in_chunks_of_one_gib() -> None:
    load = Load()
    load.add(SourceObject("k", 5 * TIB, "", None), can_copy=True)
    assert (load.uploads, load.copies, load.reads) == (1, 5120, 0)


def test_large_manifest_is_written_in_parts() -> None:
    assert count_upload_requests(241 * 1024**2)["UploadPart"] == 31
