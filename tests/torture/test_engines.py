"""Engines with different settings, which package one folder into one registry."""

import msgspec
import pytest
from quilt_packager_runtime.settings import ChecksumAlgorithm

from tests.torture.kills import FOLDER
from tests.torture.world import SETTINGS, World, message, pointers_of

SHA256, CRC64NVME = ChecksumAlgorithm


@pytest.mark.parametrize(
    ("first", "second", "revisions"),
    [
        ((SHA256, CRC64NVME), (CRC64NVME, SHA256), 1),
        ((CRC64NVME, SHA256), (SHA256,), 2),
        ((SHA256,), (CRC64NVME,), 6),
    ],
    ids=["both accept both", "one accepts both", "disjoint"],
)
def test_engines_settle_if_one_accepts_the_checksums_of_the_other(
    first: tuple[ChecksumAlgorithm, ...], second: tuple[ChecksumAlgorithm, ...], revisions: int
) -> None:
    with World() as world:
        for name in ("a.txt", "b.txt"):
            world.raw.put(FOLDER + name, name, stored=[])
        for algorithms in (first, second) * 3:
            world.settings = msgspec.structs.replace(SETTINGS, checksum_algorithms=algorithms)
            world.now += 10
            assert world.deliver(message())
        *pointers, latest = pointers_of(world.raw)["runs/42"]
    assert latest == pointers[-1]
    assert len(pointers) == revisions
