"""Compare the CPU time of a request by this engine with that of awscrt alone."""

from itertools import product

import msgspec

from benchmarks.processes import run_module
from benchmarks.progress import Progress
from benchmarks.report import Section
from benchmarks.send_requests import Method, Sent, Way
from benchmarks.tables import to_table
from tests.s3_stub.process import StubProcess

OBJECTS = 20_000
LIMIT_SECONDS = 600
ROUNDS = 5
STEPS = ROUNDS * len(Method) * len(Way)
BUCKET = "stored"


def run(objects: int, progress: Progress) -> Section:
    """Measure the ways alternately, and report the least CPU time of each."""
    found: dict[tuple[Method, Way], list[float]] = {each: [] for each in product(Method, Way)}
    with StubProcess(f"--synthetic={BUCKET}={objects},sha256") as stub:
        for _, method, way in product(range(ROUNDS), Method, Way):
            with progress.step(f"{objects:,} {method}, {way}"):
                sent = send(stub, method, BUCKET, way)
            found[method, way].append(sent.cpu_seconds / sent.requests * 1000)
    rows = [[method, way, f"{min(each):.3f}"] for (method, way), each in found.items()]
    return Section(
        "requests",
        f"{objects:,} requests, least of {ROUNDS} runs.\n\n"
        + to_table(["request", "way", "CPU ms per request"], rows, texts=2),
    )


def send(stub: StubProcess, method: Method, bucket: str, way: Way) -> Sent:
    """Send a request for each of a bucket's generated objects in one way."""
    finished = run_module(
        "benchmarks.send_requests",
        way,
        method,
        bucket,
        limit_seconds=LIMIT_SECONDS,
        environment={"AWS_ENDPOINT_URL": stub.url},
    )
    return msgspec.json.decode(finished.output, type=Sent)
