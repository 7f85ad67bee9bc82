"""One job on the S3 stub, done by one side: what it cost, and what it asked of S3."""

from enum import StrEnum

import msgspec

from benchmarks.processes import Cost, run_module
from tests.s3_stub.process import StubProcess
from tests.s3_stub.synthetic import PREFIX


class Side(StrEnum):
    """The engine or quilt3."""

    ENGINE = "this engine"
    QUILT3 = "quilt3"


MODULES = {
    Side.ENGINE: "benchmarks.package_with_engine",
    Side.QUILT3: "benchmarks.package_with_quilt3",
}


class Job(msgspec.Struct, frozen=True):
    """A finished job.

    Attributes:
        cost: Of the process that did it.
        requests: Number of requests at S3, by operation.
        stub_cpu_seconds: CPU time of the stub; where it comes near the job's time on the
            clock, the stub was the bottleneck.
        top_hash: Of the package.
    """

    cost: Cost
    requests: dict[str, int]
    stub_cpu_seconds: float
    top_hash: str


def registry_of(side: Side, bucket: str) -> str:
    """Return the registry of a side for the packages of a bucket.

    Each has its own: a manifest's key is the hash of contents alone, so of two buckets with the
    same contents, the second would overwrite the manifest of the first.
    """
    return f"{side.name.lower()}-registry-for-{bucket}"


def run_job(stub: StubProcess, side: Side, bucket: str, *, limit_seconds: float) -> Job:
    """Package a bucket's generated objects into `registry_of` it.

    Args:
        stub: S3, with the bucket and the registries in it.
        side: The engine or quilt3.
        bucket: The source bucket, after which the package is named.
        limit_seconds: Maximum duration.

    Raises:
        Overdue: It took longer than that.
    """
    stub.reset()
    finished = run_module(
        MODULES[side],
        bucket,
        PREFIX,
        registry_of(side, bucket),
        f"bench/{bucket}",
        limit_seconds=limit_seconds,
        environment={"AWS_ENDPOINT_URL": stub.url},
    )
    usage = stub.usage()
    return Job(
        cost=finished.cost,
        requests=usage.counts,
        stub_cpu_seconds=usage.cpu_seconds,
        top_hash=finished.output.decode(),
    )
