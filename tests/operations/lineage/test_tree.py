"""Trees of packages, their export, and the index that is made again."""

from typing import Any

import pytest
from openlineage.client import event_v2
from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.formats.outcome import Outcome
from quilt_packager_runtime.lineage.index import LineageIndex
from quilt_packager_runtime.registry.publish import Package
from quilt_packager_runtime.settings import Settings

from quilt_packager.operations.lineage.openlineage import export_events
from quilt_packager.operations.lineage.rebuild import rebuild_index
from quilt_packager.operations.lineage.tree import LineageReader
from tests.lineage_table import LineageTable
from tests.package_requests import package_request, request_of
from tests.s3_stub import Bucket, S3Stub, Version

ON = Settings(lineage_table="lineage")


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> LineageTable:
    table = LineageTable()
    monkeypatch.setattr(clients, "connect", {"dynamodb": table}.__getitem__)
    return table


@pytest.fixture
def index(table: LineageTable) -> LineageIndex:
    return LineageIndex("lineage", table)


@pytest.fixture
def raw(s3_stub: S3Stub) -> Bucket:
    s3_stub.create_bucket("packages")
    return s3_stub.create_bucket("raw")


async def run(s3: S3, folder: str, *inputs: tuple[str, Version], **metadata: Any) -> Outcome:
    uris = [f"s3://raw/{key}?versionId={version.version_id}" for key, version in inputs]
    message = {
        "source_prefix": f"s3://raw/{folder}/",
        "registry": "packages",
        "metadata": {**metadata, "input_uris": uris},
    }
    return await package_request(s3, request_of(message), ON)


@pytest.fixture
async def chain(s3: S3, raw: Bucket, table: LineageTable) -> list[Outcome]:
    """Reads, their alignment, and the variants in it: three packages in a row."""
    outcomes = []
    before: tuple[tuple[str, Version], ...] = ()
    for folder in ("lab/reads", "lab/aligned", "lab/variants"):
        key = f"{folder}/file"
        version = raw.put(key, folder.encode())
        outcomes.append(await run(s3, folder, *before, run_id=folder, workflow_name="wgs"))
        before = ((key, version),)
    return outcomes


async def test_a_tree_goes_up_and_down_from_a_revision(
    s3: S3, index: LineageIndex, chain: list[Outcome]
) -> None:
    reads, aligned, variants = chain
    package = Package("packages", "lab/aligned")
    tree = await LineageReader(s3, index).read(package, aligned.top_hash or "", up=3, down=3)
    assert [each.revision for each in tree.inputs] == [reads.link]
    assert [each.revision for each in tree.users] == [variants.link]
    assert (tree.run.workflow, tree.is_cut) == ("wgs", False)
    assert tree.published is not None


async def test_a_tree_ends_at_its_depth_and_says_so(s3: S3, chain: list[Outcome]) -> None:
    reads, aligned, variants = chain
    package = Package("packages", "lab/variants")
    for up, found in ((1, [aligned.link]), (2, [aligned.link, reads.link])):
        tree = await LineageReader(s3, None).read(package, variants.top_hash or "", up=up)
        assert [each.revision for each in tree.walk()][1:] == found
        assert tree.inputs[0].is_cut == (up == 1)


async def test_the_index_is_made_again_from_the_manifests(
    s3: S3, table: LineageTable, index: LineageIndex, chain: list[Outcome]
) -> None:
    before = {key: {**item, "published": None} for key, item in table.items.items()}
    table.items.clear()
    packages = [each.name async for each in rebuild_index(s3, index, "packages")]
    again = {key: {**item, "published": None} for key, item in table.items.items()}
    assert (packages, again) == (["lab/aligned", "lab/reads", "lab/variants"], before)
    kept = {key: {**item} for key, item in table.items.items()}
    assert [each async for each in rebuild_index(s3, index, "packages")]
    assert table.items == kept


async def test_the_library_of_openlineage_reads_the_export(
    s3: S3, index: LineageIndex, chain: list[Outcome]
) -> None:
    aligned = chain[1]
    package = Package("packages", "lab/aligned")
    tree = await LineageReader(s3, index).read(package, aligned.top_hash or "", up=1, down=1)
    events = [read_event(each) for each in export_events(tree)]
    inputs = {each.name for event in events for each in event.inputs or ()}
    outputs = [each for event in events for each in event.outputs or ()]
    assert inputs == {"lab/reads", "lab/aligned"}
    assert {each.name for each in outputs} == {"lab/reads", "lab/aligned", "lab/variants"}
    assert {each.namespace for each in outputs} == {"quilt+s3://packages"}
    assert {each.job.name for each in events} == {"wgs"}
    again = [read_event(each) for each in export_events(tree)]
    assert [each.run.runId for each in again] == [each.run.runId for each in events]


def read_event(event: dict[str, Any]) -> event_v2.RunEvent:
    """The classes of the library check ids, times and URIs."""
    return event_v2.RunEvent(
        eventTime=event["eventTime"],
        eventType=event_v2.RunState[event["eventType"]],
        producer=event["producer"],
        run=event_v2.Run(**event["run"]),
        job=event_v2.Job(**event["job"]),
        inputs=[event_v2.InputDataset(**each) for each in event["inputs"]],
        outputs=[event_v2.OutputDataset(**each) for each in event["outputs"]],
    )
