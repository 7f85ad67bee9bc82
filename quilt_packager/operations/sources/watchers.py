"""Finds the event sources that package what is written to a folder."""

from typing import TYPE_CHECKING

from quilt_packager.operations.deployment.configurations import read_upload_settings
from quilt_packager.operations.sources.patterns import is_about_objects
from quilt_packager.operations.sources.sample_events import matches, upload_event
from quilt_packager.operations.sources.sources import list_sources

if TYPE_CHECKING:
    from quilt_packager_runtime.formats.objects import SourceFolder

    from quilt_packager.operations.deployment.deployments import Deployment

ANY_NAME = "object"
"""Name of an object that completes no folder: sources that wait for certain files ignore it."""


def find_watchers(deployment: "Deployment", folder: "SourceFolder") -> list[str]:
    """List the names of the enabled sources that any upload to a folder reaches."""
    watching = [
        each for each in list_sources(deployment) if each.enabled and is_about_objects(each.pattern)
    ]
    if not watching:
        return []
    ignored = {each.source: each.ignore_prefixes for each in read_upload_settings(deployment)}
    event = upload_event(deployment, folder.bucket, folder.prefix + ANY_NAME)
    return [
        each.name
        for each in watching
        if not folder.prefix.startswith(ignored.get(each.sender or "", ()))
        and matches(deployment, each.pattern, event)
    ]
