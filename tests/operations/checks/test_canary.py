"""Canaries: their folder, their routes, and their removal. The demo sends one through an engine."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.settings import Settings
from quilt_packager_runtime.settings.requirements import RequiredFiles
from quilt_packager_runtime.settings.source_options import SourceOptions
from quilt_packager_runtime.settings.upload_settings import UploadSettings

from quilt_packager.local.errors import LocalError
from quilt_packager.operations.checks import canary
from quilt_packager.operations.checks.behaviours import Behaviour
from quilt_packager.operations.checks.canary_folder import CanaryFolder, choose_folder, upload
from quilt_packager.operations.checks.canary_routes import Route, find_unsafe, send
from quilt_packager.operations.checks.finding import Finding, Status
from quilt_packager.operations.checks.inspection import Inspection
from quilt_packager.operations.deployment.configurations import (
    Configuration,
    read_upload_settings,
)
from quilt_packager.operations.deployment.deployments import Deployment
from quilt_packager.operations.folders.verdicts import Judge
from quilt_packager.operations.jobs.job import Job, State
from quilt_packager.operations.sources.sources import set_enabled

NOW = datetime.now(UTC)
H = "ab" * 32


def depth(*numbers: int, count: int = 20) -> list[UploadSettings]:
    return [UploadSettings(prefix_depth=each, threshold_event_count=count) for each in numbers]


@pytest.mark.parametrize(
    ("below", "uploads", "components"),
    [
        ("canary/", [], 2),
        ("", depth(2), 2),
        ("canary/", depth(2), 2),
        ("canary/", depth(4), 4),
        ("a/b/", depth(3, 3), 3),
    ],
)
def test_the_folder_is_the_one_that_uploads_announce(
    below: str, uploads: list[UploadSettings], components: int
) -> None:
    chosen = choose_folder(SourceFolder("raw", below), uploads)
    assert chosen is not None
    assert chosen.folder.prefix.startswith(below)
    assert chosen.folder.prefix.endswith(f"/{chosen.id}/")
    assert chosen.folder.prefix.count("/") == components


def test_a_folder_that_uploads_share_with_others_is_refused() -> None:
    assert choose_folder(SourceFolder("raw", "a/b/"), depth(2)) is None
    assert choose_folder(SourceFolder("raw", "a/"), depth(2, 3)) is None


@pytest.mark.parametrize(("count", "files"), [(1, 4), (20, 20), (1000, 200)])
def test_files_reach_the_threshold_of_uploads(count: int, files: int) -> None:
    chosen = choose_folder(SourceFolder("raw", "a/"), depth(2, count=count))
    assert chosen is not None
    assert chosen.files == files


@pytest.fixture
def inspection(engine: Deployment) -> Inspection:
    return Inspection(engine)


@pytest.fixture
def folder(inspection: Inspection) -> CanaryFolder:
    below = SourceFolder(inspection.source_buckets[0], "canary/")
    chosen = choose_folder(below, read_upload_settings(inspection.deployment))
    assert chosen is not None
    return chosen


@pytest.mark.parametrize(
    ("options", "unsafe"),
    [
        (SourceOptions(kind="health_omics", package_name="runs/{run_id}"), []),
        (SourceOptions(kind="health_omics", package_name="runs/{run_status}"), ["health_omics"]),
        (SourceOptions(kind="objects_ready", package_name="all/{bucket}"), ["objects_ready"]),
        (SourceOptions(kind="objects_ready", package_name="all/{folder}"), []),
        # Without a run id in the crate, the package is named after the folder.
        (SourceOptions(kind="workflow_run_crate", package_name="runs/{run_id}"), []),
    ],
)
def test_a_source_that_would_revise_another_package_is_unsafe(
    inspection: Inspection, folder: CanaryFolder, options: SourceOptions, unsafe: list[str]
) -> None:
    inspection.configuration = Configuration(Settings(sources=(options,)))
    assert find_unsafe(inspection, folder) == unsafe


def send_all(inspection: Inspection, folder: CanaryFolder) -> tuple[list[Route], list[Finding]]:
    deployment = inspection.deployment
    upload(deployment.s3, folder)
    judge = Judge(deployment, (), read_upload_settings(deployment))
    sent = list(send(inspection, folder, judge))
    routes = [each for each in sent if isinstance(each, Route)]
    return routes, [each for each in sent if isinstance(each, Finding)]


def test_every_enabled_source_is_a_route(inspection: Inspection, folder: CanaryFolder) -> None:
    routes, findings = send_all(inspection, folder)
    assert [(each.name, each.kind) for each in routes] == [
        ("message", "message"),
        ("lab/omics", "health_omics"),
        ("lab/wrroc", "workflow_run_crate"),
        ("lab/edp", "objects_ready"),
        ("lab/uploads", "objects_ready"),
    ]
    assert [(each.subject, each.status) for each in findings] == [
        ("lab/omics", Status.OK),
        ("lab/CustomEvents", Status.UNCONFIRMED),
    ]
    assert findings[0].behaviours == (Behaviour.EVENTS_PATTERN,)
    assert "its delivery is not confirmed" in findings[0].text


def test_files_that_sources_may_require_are_uploaded(
    inspection: Inspection, folder: CanaryFolder
) -> None:
    s3 = inspection.deployment.s3
    upload(s3, folder)
    bucket, prefix = folder.folder.bucket, folder.folder.prefix
    found = s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    paths = {each["Key"].removeprefix(prefix): each["ETag"].strip('"') for each in found}
    assert len(paths) == folder.files
    assert {"logs/outputs.json", "ro-crate-metadata.json"} < paths.keys()
    listed = s3.get_object(Bucket=bucket, Key=f"{prefix}md5sum.txt")["Body"].read().decode()
    lines = (line.split("  ") for line in listed.splitlines())
    assert {path: digest for digest, path in lines}.items() < paths.items()


def test_a_source_that_requires_other_files_is_no_route(
    inspection: Inspection, folder: CanaryFolder
) -> None:
    required = SourceOptions(kind="health_omics", require=(RequiredFiles(("RTAComplete.txt",)),))
    inspection.configuration = Configuration(Settings(sources=(required,)))
    routes, findings = send_all(inspection, folder)
    assert "lab/omics" not in [each.name for each in routes]
    assert findings[0].status is Status.UNCONFIRMED
    assert '"RTAComplete.txt"' in findings[0].text


def test_a_source_that_is_off_is_no_route(inspection: Inspection, folder: CanaryFolder) -> None:
    set_enabled(inspection.deployment, "lab/edp", enabled=False)
    routes, _ = send_all(inspection, folder)
    assert "lab/edp" not in [each.name for each in routes]


class FakeWatch:
    """A log with the jobs of the routes."""

    jobs: list[Job]

    def __init__(self, *_: object, **__: object) -> None:
        """Nothing."""

    def poll_tolerating_outages(self) -> None:
        """Nothing."""


MakeJobs = Callable[..., None]


@pytest.fixture
def make_jobs(monkeypatch: pytest.MonkeyPatch) -> MakeJobs:
    """Answer two routes, a message and crates, with jobs."""

    def make(*outcomes: State, name: str = "canary/{id}", **fields: Any) -> None:
        def send_two(_: object, chosen: CanaryFolder, __: object) -> Iterator[Route]:
            routes = [
                Route("message", "message", message_id="0"),
                Route("wrroc", "workflow_run_crate"),
            ]
            FakeWatch.jobs = [
                Job(
                    id=str(number),
                    outcome=outcome,
                    started=NOW,
                    updated=NOW + timedelta(seconds=1),
                    trigger=route.kind,
                    source=str(chosen.folder),
                    registry=chosen.folder.bucket,
                    package_name=name.format(id=chosen.id),
                    top_hash=H,
                    final=True,
                    **fields,
                )
                for number, (route, outcome) in enumerate(zip(routes, outcomes, strict=False))
            ]
            yield from routes

        monkeypatch.setattr(canary, "send", send_two)
        monkeypatch.setattr(canary, "Watch", FakeWatch)

    return make


def run(
    engine: Deployment, open_package: Callable[[str, str], str] = lambda *_: H
) -> dict[str, Finding]:
    below = SourceFolder(Inspection(engine).source_buckets[0], "canary/")
    found = canary.run_canary(engine, below, open_package, wait_seconds=0)
    return {each.subject.partition("-")[0]: each for each in found}


def keys(engine: Deployment, prefix: str = "canary/") -> list[str]:
    bucket = Inspection(engine).source_buckets[0]
    listed = engine.s3.list_object_versions(Bucket=bucket, Prefix=prefix)
    return [each["Key"] for each in listed.get("Versions", [])]


def test_every_route_is_verified_and_everything_is_removed(
    engine: Deployment, make_jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_jobs(State.CREATED, State.UNCHANGED)
    monkeypatch.setattr(Inspection, "on_aws", True)
    found = run(engine)
    assert {each.status for each in found.values()} == {Status.OK}
    assert found["message"].behaviours == (Behaviour.EVENTS_OUTCOMES,)
    assert found["wrroc"].behaviours == (Behaviour.EVENTS_DELIVERY, Behaviour.EVENTS_OUTCOMES)
    assert found["canary/canary"].text == "quilt3 opened the package and verified every byte."
    assert keys(engine) == []


def test_only_aws_confirms_a_delivery(engine: Deployment, make_jobs: MakeJobs) -> None:
    make_jobs(State.CREATED, State.UNCHANGED)
    assert run(engine)["wrroc"].status is Status.UNCONFIRMED


def test_a_failed_route_is_wrong(engine: Deployment, make_jobs: MakeJobs) -> None:
    make_jobs(State.REJECTED, State.REJECTED, code="AccessDenied", happened="No.", remedy="Allow.")
    found = run(engine)["wrroc"]
    assert (found.status, found.text, found.remedy) == (Status.WRONG, "AccessDenied: No.", "Allow.")


def test_a_missing_job_is_wrong_and_keeps_the_folder(
    engine: Deployment, make_jobs: MakeJobs
) -> None:
    make_jobs(State.CREATED)
    found = run(engine)
    assert found["wrroc"].status is Status.WRONG
    assert found["wrroc"].remedy.startswith("quilt-packager explain s3://")
    (kept,) = (each for name, each in found.items() if name.startswith("s3://"))
    assert kept.remedy.startswith("aws s3 rm --recursive s3://")
    assert keys(engine) != []


def test_a_package_that_quilt3_refuses_is_wrong(engine: Deployment, make_jobs: MakeJobs) -> None:
    def refuse(_registry: str, _name: str) -> str:
        raise LocalError("It does not verify.", why="A hash.", remedy="Compare.")

    make_jobs(State.CREATED, State.UNCHANGED)
    found = run(engine, refuse)["canary/canary"]
    assert (found.status, found.text) == (Status.WRONG, "It does not verify.")


def test_another_package_is_never_removed(engine: Deployment, make_jobs: MakeJobs) -> None:
    make_jobs(State.CREATED, State.UNCHANGED, name="lab/real")
    bucket = Inspection(engine).source_buckets[0]
    pointer = ".quilt/named_packages/lab/real/latest"
    engine.s3.put_object(Bucket=bucket, Key=pointer, Body=H.encode())
    run(engine)
    assert keys(engine, ".quilt/") == [pointer]
