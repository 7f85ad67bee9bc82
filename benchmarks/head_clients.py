"""Cost of a HEAD with its stored checksum for the client: boto3 beside awscrt under asyncio.

Run: `python -m benchmarks.head_clients`. Each client runs in a process of its own, in turn.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from functools import partial
from statistics import median

import msgspec

from benchmarks.processes import run_module
from benchmarks.tables import to_table
from tests.s3_stub.process import StubProcess
from tests.s3_stub.synthetic import key_of

WARM_UP = 500
ROUNDS = 3
LIMIT_SECONDS = 300
BUCKET = "raw"


class Client(StrEnum):
    """The client."""

    BOTO3 = "boto3, one thread"
    BOTO3_THREADS = "boto3, 64 threads"
    AWSCRT = "awscrt, asyncio, 128 at once"


class Measured(msgspec.Struct, frozen=True):
    """The cost of the HEADs, without imports and warm-up.

    Attributes:
        cpu_seconds: Of all threads.
        wall_seconds: On the clock.
    """

    cpu_seconds: float
    wall_seconds: float


def prepare_boto3(threads: int) -> Callable[[range], None]:
    """HEADs by boto3 from so many threads."""
    import boto3  # noqa: PLC0415 - each process pays for its own client alone
    from botocore.config import Config  # noqa: PLC0415

    client = boto3.client("s3", config=Config(max_pool_connections=threads))

    def ask(index: int) -> None:
        answer = client.head_object(Bucket=BUCKET, Key=key_of(index), ChecksumMode="ENABLED")
        if "ChecksumSHA256" not in answer:
            raise RuntimeError("no checksum came")

    def ask_all(indices: range) -> None:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(ask, indices):
                pass

    return ask_all


def prepare_awscrt() -> Callable[[range], None]:
    """HEADs by the runtime's S3."""
    from quilt_packager_runtime.aws.s3 import S3  # noqa: PLC0415
    from quilt_packager_runtime.concurrency import for_each  # noqa: PLC0415
    from quilt_packager_runtime.formats.objects import S3Uri  # noqa: PLC0415

    s3 = S3.from_environment(os.environ)

    async def ask(index: int) -> None:
        head = await s3.head_object(S3Uri(BUCKET, key_of(index)))
        if head.stored.sha256 is None:
            raise RuntimeError("no checksum came")

    return lambda indices: asyncio.run(for_each(indices, ask, at_once=128))


PREPARE: dict[Client, Callable[[], Callable[[range], None]]] = {
    Client.BOTO3: partial(prepare_boto3, 1),
    Client.BOTO3_THREADS: partial(prepare_boto3, 64),
    Client.AWSCRT: prepare_awscrt,
}


def measure(client: Client, heads: int) -> Measured:
    """Ask, in this process."""
    ask_all = PREPARE[client]()
    ask_all(range(WARM_UP))
    cpu_seconds, wall_seconds = time.process_time(), time.perf_counter()
    ask_all(range(heads))
    return Measured(time.process_time() - cpu_seconds, time.perf_counter() - wall_seconds)


def compare(heads: int) -> str:
    """Let the clients take turns, and report the medians."""
    found: dict[Client, list[Measured]] = {client: [] for client in Client}
    with StubProcess("--synthetic", f"{BUCKET}={heads},sha256") as stub:
        for _ in range(ROUNDS):
            for client in Client:
                finished = run_module(
                    "benchmarks.head_clients",
                    f"--client={client}",
                    f"--heads={heads}",
                    limit_seconds=LIMIT_SECONDS,
                    environment={"AWS_ENDPOINT_URL": stub.url},
                )
                found[client].append(msgspec.json.decode(finished.output, type=Measured))
    rows = [
        [
            client,
            f"{median(each.cpu_seconds for each in measured) / heads * 1000:.3f}",
            f"{heads / median(each.wall_seconds for each in measured):,.0f}",
        ]
        for client, measured in found.items()
    ]
    return to_table(["client", "CPU ms a HEAD", "HEADs a second"], rows)


def main() -> None:
    """Compare, or be one of those that are compared."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.head_clients", description=__doc__)
    parser.add_argument("--heads", type=int, default=10_000, help="how many; default: 10,000")
    parser.add_argument("--client", type=Client, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client is None:
        sys.stdout.write(compare(options.heads) + "\n")
    else:
        result = measure(options.client, options.heads)
        sys.stdout.write(msgspec.json.encode(result).decode())


if __name__ == "__main__":
    main()
