"""Run one side's job on the S3 stub, and measure its cost and its requests."""

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
        cost: Cost of its process.
        requests: Number of S3 requests by operation.
        stub_cpu_seconds: CPU time of the stub; a value close to the job's wall time means that
            the stub was the bottleneck.
        top_hash: Top hash of the package.
    """

    cost: Cost
    requests: dict[str, int]
    stub_cpu_seconds: float
    top_hash: str


def registry_of(side: Side, bucket: str) -> str:
    """Return the registry of a side for the packages of a bucket.

    A manifest's key is the hash of its contents, so equal buckets would overwrite each other's
    manifests in a shared registry.
    """
    return f"{side.name.lower()}-registry-for-{bucket}"


def run_job(stub: StubProcess, side: Side, bucket: str, *, limit_seconds: float) -> Job:
    """Package a bucket's generated objects into its `registry_of`.

    Raises:
        Overdue: The job exceeded its time limit.
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
