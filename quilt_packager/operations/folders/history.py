"""Everything that an engine knows about a folder: sources, jobs, failures, revisions."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from quilt_packager_runtime.errors import PackagerError
from quilt_packager_runtime.formats.names import infer_package_name
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.registry.publish import LATEST, Package

from quilt_packager.operations.dead_letters.queue import Failure, read_failures
from quilt_packager.operations.deployment.configurations import (
    read_configuration,
    read_upload_settings,
)
from quilt_packager.operations.errors import OperationError
from quilt_packager.operations.folders.contents import Contents, read_contents
from quilt_packager.operations.folders.verdicts import Judge, SourceVerdict
from quilt_packager.operations.jobs.job import Job
from quilt_packager.operations.jobs.listing import read_jobs
from quilt_packager.operations.revisions.revisions import Revision, RevisionLookup
from quilt_packager.operations.sources.sources import list_sources

if TYPE_CHECKING:
    from quilt_packager_runtime.aws.s3 import S3

    from quilt_packager.operations.deployment.deployments import Deployment


class FolderFailure(msgspec.Struct, frozen=True):
    """A dead letter of a folder: the fields that explain it."""

    id: str
    code: str
    happened: str
    why: str
    remedy: str
    sent: datetime


class FolderHistory(msgspec.Struct, frozen=True, kw_only=True):
    """A folder, and what the engine did with it.

    Attributes:
        folder: URI of the folder.
        contents: Its objects.
        sources: Decisions of the event sources.
        jobs: Its jobs, those that started last first.
        covered_by: Jobs of folders that contain it, or that have it as a further source.
        failures: Its dead letters.
        package_name: Name of its package: that of the last job, or that of a folder without one.
        registry: Registry of the package.
        revision: Newest revision of the package; None if there is none, or it cannot be read.
        since: Time since when jobs were searched.
    """

    folder: str
    contents: Contents
    sources: tuple[SourceVerdict, ...]
    jobs: tuple[Job, ...]
    covered_by: tuple[Job, ...]
    failures: tuple[FolderFailure, ...]
    package_name: str
    registry: str
    revision: Revision | None
    since: datetime


async def read_history(
    deployment: "Deployment", folder: SourceFolder, s3: "S3", *, since: datetime
) -> FolderHistory:
    """Read the history of a folder.

    Args:
        deployment: The engine.
        folder: The folder.
        s3: Client for the registry.
        since: Start of the time to search for jobs.
    """
    uri = str(folder)
    settings = read_configuration(deployment).settings
    contents = read_contents(deployment, folder)
    judge = Judge(deployment, settings.sources, read_upload_settings(deployment))
    found = read_jobs(deployment, since=since)
    jobs = [each for each in found if each.source == uri]
    failures = _find_failures(deployment, uri)
    name, registry = _find_package(jobs, failures)
    package = Package(
        registry or settings.default_registry or folder.bucket,
        name or infer_package_name(folder.prefix),
    )
    return FolderHistory(
        folder=uri,
        contents=contents,
        sources=tuple(judge.judge(each, folder, contents) for each in list_sources(deployment)),
        jobs=tuple(jobs),
        covered_by=tuple(
            each
            for each in found
            if each.source != uri and any(map(uri.startswith, _sources_of(each)))
        ),
        failures=tuple(
            FolderFailure(each.id, each.code, each.happened, each.why, each.remedy, each.sent)
            for each in failures
        ),
        package_name=package.name,
        registry=package.registry,
        revision=await _find_revision(s3, package),
        since=found.since,
    )


def _sources_of(job: Job) -> list[str]:
    if job.sources is not None:
        return [each.prefix for each in job.sources]
    return [job.source] if job.source else []


def _find_failures(deployment: "Deployment", uri: str) -> list[Failure]:
    with read_failures(deployment) as failures:
        return [each for each in failures.letters if each.source == uri]


def _find_package(
    jobs: Sequence[Job], failures: Sequence[Failure]
) -> tuple[str | None, str | None]:
    names = [(each.package_name, each.registry) for each in jobs]
    names += [(each.package_name, each.registry) for each in failures]
    return next((each for each in names if each[0]), (None, None))


async def _find_revision(s3: "S3", package: Package) -> Revision | None:
    try:
        return await RevisionLookup(s3, package).find(LATEST)
    except (OperationError, PackagerError):
        return None
