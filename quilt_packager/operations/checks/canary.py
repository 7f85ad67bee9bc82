"""Sends a small folder through every enabled route of an engine, and verifies the packages.

The outcome of a job is read from the log. A job succeeds only after the bus has accepted its
outcome event, so its success confirms the event, too. To receive the event itself, a rule and a
queue would have to be created in the account.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from quilt_packager_runtime.errors import ExplainedError
from quilt_packager_runtime.formats.objects import SourceFolder

from quilt_packager.operations import formats
from quilt_packager.operations.checks.behaviours import Behaviour
from quilt_packager.operations.checks.canary_folder import (
    CanaryFolder,
    choose_folder,
    remove,
    upload,
)
from quilt_packager.operations.checks.canary_routes import MESSAGE, Route, find_unsafe, send
from quilt_packager.operations.checks.finding import (
    Finding,
    judge,
    notice,
    ok,
    unconfirmed,
    wrong,
)
from quilt_packager.operations.checks.inspection import Inspection
from quilt_packager.operations.deployment.configurations import read_upload_settings
from quilt_packager.operations.folders.verdicts import Judge
from quilt_packager.operations.jobs.job import Job
from quilt_packager.operations.jobs.watch import OVERLAP_OF_ONE, Watch

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

WAIT_SECONDS = 300.0
POLL_SECONDS = 2.0

OpenPackage = Callable[[str, str], str]
"""Opens a package of a registry with quilt3, verifies it, and returns its top hash."""

OnStep = Callable[[str], object]
"""Receives the current step in words."""


def run_canary(
    deployment: "Deployment",
    below: SourceFolder,
    open_package: OpenPackage,
    *,
    on_step: OnStep = lambda _: None,
    wait_seconds: float = WAIT_SECONDS,
    poll_seconds: float = POLL_SECONDS,
) -> list[Finding]:
    """Send a folder through an engine, and remove it and its packages.

    Args:
        deployment: The engine.
        below: Folder below which the files are uploaded.
        open_package: Opens and verifies a package.
        on_step: Called with each step.
        wait_seconds: Maximum time to wait for all jobs.
        poll_seconds: Interval between two looks into the log.

    Returns:
        The findings, the worst first.
    """
    engine = Inspection(deployment)
    uploads = read_upload_settings(deployment)
    # Completion markers have any depth.
    canary = choose_folder(below, [each for each in uploads if not each.ready_when])
    if canary is None:
        text = "Uploads there belong to a folder with other files: prefix_depth is too small."
        return [unconfirmed(str(below), text, "Choose a --canary with fewer components.")]
    if unsafe := find_unsafe(engine, canary):
        text = f"The package of the folder would be a revision of another package: {unsafe}."
        return [unconfirmed(str(below), text, "Use {folder} in package_name of the source.")]
    started = datetime.now(UTC)
    on_step(f"uploading {formats.count(canary.files, 'file')}")
    upload(deployment.s3, canary)
    sources = Judge(deployment, engine.configuration.settings.sources, uploads)
    sent = list(send(engine, canary, sources))
    routes = [each for each in sent if isinstance(each, Route)]
    watch = Watch(deployment, since=started - OVERLAP_OF_ONE)
    deadline = time.monotonic() + wait_seconds
    jobs = _find_ended(watch, routes, canary)
    while len(jobs) < len(routes) and time.monotonic() < deadline:
        missing = [each.name for each in routes if each.name not in jobs]
        on_step(f"waiting for {', '.join(missing)}")
        time.sleep(poll_seconds)
        jobs = _find_ended(watch, routes, canary)
    on_step("opening the packages with quilt3")
    findings = [
        *(each for each in sent if isinstance(each, Finding)),
        *(_judge_route(engine, each, jobs.get(each.name), canary) for each in routes),
        *_open_packages(list(jobs.values()), open_package),
    ]
    if len(jobs) == len(routes):
        findings += _remove(deployment, canary, list(jobs.values()))
    else:
        # A job that is late would find nothing, and become a dead letter.
        findings.append(_keep(str(canary.folder), "It is kept, because jobs of it may follow."))
    return judge(findings, on_aws=engine.on_aws)


def _find_ended(watch: Watch, routes: Sequence[Route], canary: CanaryFolder) -> dict[str, Job]:
    watch.poll_tolerating_outages()
    folder = str(canary.folder)
    return {
        route.name: job
        for route in routes
        for job in watch.jobs
        if job.is_over and route.is_of(job, folder)
    }


def _judge_route(
    engine: Inspection, route: Route, job: Job | None, canary: CanaryFolder
) -> Finding:
    # A message in the queue has no event that EventBridge delivered.
    behaviours = [] if route.message_id else [Behaviour.EVENTS_DELIVERY]
    if job is None:
        return wrong(
            route.name,
            "No job of the folder ended in time.",
            engine.deployment.command("explain", str(canary.folder)),
            *behaviours,
        )
    if job.code is not None:
        return wrong(
            route.name,
            f"{job.code}: {job.happened or job.reason or ''}",
            job.remedy or engine.deployment.command("jobs", "show", job.id),
            *behaviours,
        )
    if engine.configuration.settings.event_bus:
        behaviours.append(Behaviour.EVENTS_OUTCOMES)
    duration = formats.duration(job.seconds or 0.0)
    how = "A message" if route.name == MESSAGE else "An event"
    return ok(
        route.name, f"{how} led to the package {job.package_name} in {duration}.", *behaviours
    )


def _open_packages(jobs: Sequence[Job], open_package: OpenPackage) -> Iterator[Finding]:
    made = dict.fromkeys((job.registry, job.package_name) for job in jobs if job.top_hash)
    for registry, name in made:
        if registry is None or name is None:
            continue
        known = {job.top_hash for job in jobs if job.package_name == name}
        try:
            top_hash = open_package(registry, name)
        except ExplainedError as error:
            yield wrong(name, error.happened, error.remedy)
            continue
        if top_hash in known:
            yield ok(name, "quilt3 opened the package and verified every byte.")
        else:
            text = f"quilt3 opened the revision {top_hash}, which no job of the canary published."
            yield wrong(name, text, "Another program writes this package.")


def _remove(
    deployment: "Deployment", canary: CanaryFolder, jobs: Sequence[Job]
) -> Iterator[Finding]:
    packages = [
        (job.registry, job.package_name, job.top_hash)
        for job in jobs
        if job.registry and job.package_name and job.top_hash
    ]
    for uri in remove(deployment.s3, canary, packages):
        yield _keep(uri, "Your permissions do not allow removing it.")


def _keep(uri: str, text: str) -> Finding:
    return notice(uri, text, f"aws s3 rm --recursive {uri}")
