"""Decides for each event source of an engine if it packages a folder, and why."""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from quilt_packager_runtime.formats.objects import REGISTRY_PREFIX, SourceFolder
from quilt_packager_runtime.formats.recognisers import completion_globs, find_completed
from quilt_packager_runtime.requests.events import CRATE_NAME
from quilt_packager_runtime.settings.requirements import required_globs, required_listings
from quilt_packager_runtime.settings.source_options import SourceOptions, find_options
from quilt_packager_runtime.uploads.upload_events import Upload
from quilt_packager_runtime.uploads.windows import find_folder

from quilt_packager.operations import formats
from quilt_packager.operations.folders.contents import Contents
from quilt_packager.operations.sources.patterns import is_about_objects
from quilt_packager.operations.sources.sample_events import matches, upload_event

if TYPE_CHECKING:
    from quilt_packager_runtime.settings.upload_settings import UploadSettings

    from quilt_packager.operations.deployment.deployments import Deployment
    from quilt_packager.operations.sources.sources import Source


class Verdict(StrEnum):
    """Decision of an event source."""

    PACKAGES = "packages"
    """An event of the folder, as it is now, starts a job."""
    WAITS = "waits"
    """A certain event would start a job."""
    IGNORES = "ignores"
    """No event of the folder starts a job."""
    OFF = "off"


class SourceVerdict(msgspec.Struct, frozen=True):
    """The decision of an event source on a folder.

    Attributes:
        name: Name of the source.
        title: Headline of the source.
        verdict: Decision.
        why: Reason, as a sentence.
        remedy: Change that makes the source package the folder; empty if there is none.
    """

    name: str
    title: str
    verdict: Verdict
    why: str
    remedy: str = ""


class _Decision(NamedTuple):
    verdict: Verdict
    why: str
    remedy: str = ""


class Judge:
    """Judges folders by the sources of one engine.

    Args:
        deployment: The engine.
        options: Options of its event sources.
        uploads: Settings of its coalescers.
    """

    def __init__(
        self,
        deployment: "Deployment",
        options: Sequence[SourceOptions],
        uploads: "Sequence[UploadSettings]",
    ) -> None:
        self._deployment = deployment
        self._options = options
        self._uploads = {each.source: each for each in uploads}

    def judge(self, source: "Source", folder: SourceFolder, contents: Contents) -> SourceVerdict:
        """Decide if a source packages a folder."""
        verdict, why, remedy = self._decide(source, folder, contents)
        if not source.enabled and verdict is not Verdict.IGNORES:
            verdict, why = Verdict.OFF, f"It is off. {why}"
            remedy = self._deployment.command("sources", "enable", source.name)
        return SourceVerdict(source.name, source.title, verdict, why, remedy)

    def _decide(self, source: "Source", folder: SourceFolder, contents: Contents) -> _Decision:
        if folder.prefix.startswith(REGISTRY_PREFIX):
            return _Decision(Verdict.IGNORES, f"{REGISTRY_PREFIX} is the registry itself.")
        match source.kind:
            case "workflow_run_crate":
                return self._decide_crates(source, folder)
            case "objects_ready" if is_about_objects(source.pattern):
                settings = self._uploads.get(source.sender or "")
                if settings is not None and settings.ready_when:
                    return self._decide_completed(source, folder, settings)
                return self._decide_uploads(source, folder, contents.newest_key)
            case _:
                return self._decide_others(source, folder)

    def _decide_crates(self, source: "Source", folder: SourceFolder) -> _Decision:
        event = upload_event(self._deployment, folder.bucket, folder.prefix + CRATE_NAME)
        if not matches(self._deployment, source.pattern, event):
            return _unmatched(source, folder)
        options = find_options(self._options, "workflow_run_crate", folder.bucket)
        if refused := options.refuse(folder):
            return _refused(refused)
        if not _exists(self._deployment, folder, CRATE_NAME):
            return _Decision(
                Verdict.WAITS,
                f"The folder has no {CRATE_NAME}.",
                "Let the pipeline write it last, for example with the plugin nf-prov.",
            )
        return _Decision(Verdict.PACKAGES, f"The folder has a {CRATE_NAME}.{_notes(options)}")

    def _decide_uploads(
        self, source: "Source", folder: SourceFolder, newest_key: str | None
    ) -> _Decision:
        settings = self._uploads.get(source.sender or "")
        if newest_key is None or settings is None:
            return _Decision(Verdict.WAITS, "Nothing was uploaded to the folder.")
        event = upload_event(self._deployment, folder.bucket, newest_key)
        if not matches(self._deployment, source.pattern, event):
            return _unmatched(source, folder)
        announced = find_folder(Upload(folder.bucket, newest_key, "", 1), settings)
        if announced is None:
            return _Decision(Verdict.IGNORES, "Uploads to the root of a bucket are not packaged.")
        if announced != folder:
            why = (
                f"Uploads here are packaged as {announced} (prefix_depth {settings.prefix_depth})."
            )
            command = self._deployment.command("explain", str(announced))
            return _Decision(Verdict.IGNORES, why, command)
        options = find_options(self._options, "objects_ready", folder.bucket, source.sender)
        if refused := options.refuse(folder):
            return _refused(refused)
        count, age = settings.threshold_event_count, settings.threshold_duration_seconds
        why = f"After {count:,} uploads, or {formats.age(age)} without one.{_notes(options)}"
        return _Decision(Verdict.PACKAGES, why)

    def _decide_completed(
        self, source: "Source", folder: SourceFolder, settings: "UploadSettings"
    ) -> _Decision:
        """Decide for uploads that wait for the file that completes a folder."""
        markers = completion_globs(settings.ready_when)
        names = " or ".join(markers)
        found = _find_marker(self._deployment, folder, settings)
        example = folder.prefix + (found or markers[0].replace("*", "x"))
        event = upload_event(self._deployment, folder.bucket, example)
        is_ignored = folder.prefix.startswith(settings.ignore_prefixes)
        if is_ignored or not matches(self._deployment, source.pattern, event):
            return _unmatched(source, folder)
        options = find_options(self._options, "objects_ready", folder.bucket, source.sender)
        if refused := options.refuse(folder):
            return _refused(refused)
        if found is None:
            return _Decision(
                Verdict.WAITS, f"The folder has no {names}, which completes it.", "Upload it last."
            )
        age = formats.age(settings.threshold_duration_seconds)
        why = f"{age} after the upload of {found}.{_notes(options)}"
        return _Decision(Verdict.PACKAGES, why)

    def _decide_others(self, source: "Source", folder: SourceFolder) -> _Decision:
        """Decide for a source whose events name their folder themselves."""
        refusals = [
            refused
            for options in self._options
            if options.kind == source.kind
            and options.sender is None
            and (refused := options.refuse(folder))
        ]
        if refusals:
            return _refused(refusals[0])
        return _Decision(Verdict.WAITS, f"{source.matches} The event names the folder.")


def _unmatched(source: "Source", folder: SourceFolder) -> _Decision:
    watched = source.pattern.get("detail", {}).get("bucket", {}).get("name", [])
    names = [each for each in watched if isinstance(each, str)]
    if folder.bucket not in names:
        return _Decision(
            Verdict.IGNORES,
            f"It does not watch {folder.bucket}, only {', '.join(names)}.",
            f"Add {folder.bucket} to the buckets of the source, such as quilt:source_buckets.",
        )
    return _Decision(
        Verdict.IGNORES,
        "Its pattern leaves out this folder: it is below ignore_prefixes, or the root.",
        "Change ignore_prefixes or allow_bucket_root of the source.",
    )


def _refused(reason: str) -> _Decision:
    text = f"{reason[:1].upper()}{reason[1:]}."
    return _Decision(Verdict.IGNORES, text, "Change the options of the source, and deploy.")


def _notes(options: SourceOptions) -> str:
    notes = f" It leaves out {', '.join(options.exclude)}." if options.exclude else ""
    if options.settle_seconds:
        notes += f" It waits until the event is {formats.age(options.settle_seconds)} old."
    if options.require:
        required = ", ".join(
            [*required_listings(options.require), *required_globs(options.require)]
        )
        notes += f" It requires {required}."
    return notes


def _exists(deployment: "Deployment", folder: SourceFolder, name: str) -> bool:
    key = folder.prefix + name
    found = deployment.s3.list_objects_v2(Bucket=folder.bucket, Prefix=key, MaxKeys=1)
    return any(each["Key"] == key for each in found.get("Contents", []))


def _find_marker(
    deployment: "Deployment", folder: SourceFolder, settings: "UploadSettings"
) -> str | None:
    """Return the path of a file that completes a folder."""
    for marker in completion_globs(settings.ready_when):
        literal = re.split(r"[*?\[]", marker)[0]
        found = deployment.s3.list_objects_v2(Bucket=folder.bucket, Prefix=folder.prefix + literal)
        for each in found.get("Contents", []):
            if find_completed(each["Key"], settings.ready_when) == folder.prefix:
                return each["Key"].removeprefix(folder.prefix)
    return None
