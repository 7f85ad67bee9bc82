"""Options of event sources in words."""

from typing import Any

from quilt_packager_runtime.formats.event_names import UPLOADS_SOURCE
from quilt_packager_runtime.settings.requirements import RequiredFiles
from quilt_packager_runtime.settings.source_options import SourceOptions
from quilt_packager_runtime.settings.upload_settings import UploadSettings

from quilt_packager.operations.sources.sources import Source
from quilt_packager.operations.sources.treatment import Treatment, describe_treatment


def source(kind: str, **facts: Any) -> Source:
    return Source(
        name=kind,
        kind=kind,
        title=kind,
        matches="",
        enabled=True,
        deployed=True,
        rule=kind,
        event_bus="default",
        description="",
        **{"pattern": {}, **facts},
    )


UPLOADS = source("objects_ready", pattern={"source": ["aws.s3"]}, sender=UPLOADS_SOURCE)


def test_source_without_options_leaves_out_nothing_and_waits_for_nothing() -> None:
    assert describe_treatment(source("health_omics"), [], []) == Treatment()


def test_options_of_several_buckets_are_joined() -> None:
    options = [
        SourceOptions(kind="workflow_run_crate", only=("a",), exclude=("work/**",)),
        SourceOptions(
            kind="workflow_run_crate",
            only=("b",),
            ignore_prefixes=("tmp",),
            exclude=("work/**",),
            settle_seconds=60,
            require=("crate", RequiredFiles(("Done.txt",))),
        ),
    ]
    found = describe_treatment(source("workflow_run_crate"), options, [])
    assert found.leaves_out == ("work/**", "tmp")
    assert found.waits_for == (
        "an age of 1 min of the event",
        "each part that the crate lists, Done.txt, at most 15 min",
    )


def test_options_of_other_sources_are_not_named() -> None:
    options = [
        SourceOptions(kind="objects_ready", exclude=("edp/**",)),
        SourceOptions(kind="objects_ready", sender=UPLOADS_SOURCE, exclude=("up/**",)),
    ]
    found = describe_treatment(UPLOADS, options, [])
    assert found.leaves_out == ("up/**",)
    assert describe_treatment(source("objects_ready"), options, []).leaves_out == ("edp/**",)


def test_uploads_wait_until_a_folder_is_quiet() -> None:
    settings = UploadSettings(ignore_prefixes=("tmp/",), threshold_duration_seconds=600)
    found = describe_treatment(UPLOADS, [], [settings])
    assert found.leaves_out == ("tmp/",)
    assert found.waits_for == ("10 min without an upload, or 20 uploads",)


def test_uploads_wait_for_the_file_that_completes_a_folder() -> None:
    found = describe_treatment(UPLOADS, [], [UploadSettings(ready_when=("illumina",))])
    assert found.waits_for == ("5 min after that file",)
