"""The benchmarks work with the engine, the stub and the document. Nothing is timed."""

from itertools import product
from pathlib import Path

import pytest
from quilt_packager_runtime.aws.s3 import S3

from benchmarks import (
    discover_bucket,
    generated,
    package_without_network,
    requests,
    scenarios,
    send_requests,
)
from benchmarks.__main__ import DOCUMENT, choose
from benchmarks.jobs import Side, registry_of, run_job
from benchmarks.list_folder import Way
from benchmarks.listings import list_keys
from benchmarks.manifests import write_entries
from benchmarks.processes import Overdue, run_module
from benchmarks.report import replace_section
from tests.s3_stub import S3Stub, SyntheticBucket
from tests.s3_stub.process import StubProcess

OBJECTS = 3
LIMIT_SECONDS = 60


def test_each_benchmark_has_its_place_in_the_document() -> None:
    document = Path(DOCUMENT).read_text()
    for name in choose(quick=False):
        assert "measured just now" in replace_section(document, name, "measured just now")


def test_both_sides_create_the_same_package_and_their_requests_are_counted() -> None:
    registries = [f"--bucket={registry_of(side, 'stored')}" for side in Side]
    with StubProcess(f"--synthetic=stored={OBJECTS},sha256", *registries) as stub:
        jobs = {side: run_job(stub, side, "stored", limit_seconds=LIMIT_SECONDS) for side in Side}
    assert len({job.top_hash for job in jobs.values()}) == 1
    assert jobs[Side.ENGINE].requests["HeadObject"] == OBJECTS
    assert jobs[Side.QUILT3].requests["GetObject"] > OBJECTS
    assert jobs[Side.ENGINE].cost.cpu_seconds > 0


def test_both_sides_write_the_same_manifest() -> None:
    hashes = {write_entries(side, OBJECTS).top_hash for side in Side}
    assert len(hashes) == 1


async def test_a_discovery_finds_complete_and_incomplete_folders(s3: S3, s3_stub: S3Stub) -> None:
    s3_stub.store.add(SyntheticBucket("raw", 3 * 1000))
    await discover_bucket.write_markers(s3, "raw", 3)
    discovered = await discover_bucket.discover(s3, "raw")
    assert discovered == discover_bucket.Discovered(3005, ready=2, incomplete=1)


def test_each_way_lists_all_keys() -> None:
    with StubProcess(f"--synthetic=stored={OBJECTS}") as stub:
        assert {list_keys(stub, "stored", way).keys for way in Way} == {OBJECTS}


def test_each_way_sends_the_same_requests() -> None:
    with StubProcess(f"--synthetic=stored={OBJECTS},sha256") as stub:
        for method, way in product(send_requests.Method, send_requests.Way):
            stub.reset()
            assert requests.send(stub, method, "stored", way).requests == OBJECTS
            assert stub.usage().counts[f"{method.title()}Object"] == OBJECTS


@pytest.mark.parametrize("route", list(package_without_network.Route))
async def test_a_job_without_network_runs_all_phases(
    route: package_without_network.Route, tmp_path: Path
) -> None:
    worked = await package_without_network.work(route, OBJECTS, tmp_path)
    assert worked.manifest_bytes > 0
    assert len(list(generated.entries(OBJECTS))) == OBJECTS


def test_only_long_jobs_of_quilt3_are_left_out() -> None:
    cells = scenarios.plan([1_000, 100_000])
    assert sum(cell.objects == 1_000 for cell in cells) == 16
    assert sum(cell.objects == 100_000 and cell.side is Side.ENGINE for cell in cells) == 8
    assert sum(cell.objects == 100_000 and cell.side is Side.QUILT3 for cell in cells) == 4


def test_a_process_is_killed_at_its_time_limit() -> None:
    with pytest.raises(Overdue):
        run_module("asyncio", limit_seconds=0.01)


def test_the_error_of_a_failed_process_contains_its_last_output() -> None:
    with pytest.raises(RuntimeError, match="No module named no_such_module"):
        run_module("no_such_module", limit_seconds=LIMIT_SECONDS)
