"""The options of event sources: their rules, and their events."""

from typing import Any

import pytest
from quilt_packager_runtime.settings.requirements import RequiredFiles
from quilt_packager_runtime.settings.source_options import (
    SourceOptions,
    check_sources,
    find_options,
)

UPLOADS = "quilt.packager.uploads"
EDP = "com.quiltdata.edp"


def crates(*only: str, **options: Any) -> SourceOptions:
    return SourceOptions(kind="workflow_run_crate", only=only, **options)


def ready(sender: str | None = None, **options: Any) -> SourceOptions:
    return SourceOptions(kind="objects_ready", sender=sender, **options)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"package_name": "{workflow_id}/{run_id}"}, "workflow_id"),
        ({"exclude": ("/work",)}, "exclude: a glob"),
        ({"verify_checksums": ("/a.md5",)}, "verify_checksums: a glob"),
        ({"verify_checksums": True}, 'verify_checksums: it is "auto"'),
        ({"include_prefixes": ("",)}, "include_prefixes: a glob"),
        ({"ignore_prefixes": ("a/",)}, "ignore_prefixes: a glob"),
        ({"settle_seconds": 901}, "settle_seconds is 901; 0 to 900"),
        ({"require": (RequiredFiles(("a/",)),)}, "require: a glob"),
        ({"settle_seconds": -1}, "settle_seconds is -1; 0 to 900"),
    ],
)
def test_options_that_cannot_be_applied_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        crates(**options)


def test_an_event_without_a_source_has_the_defaults() -> None:
    other = SourceOptions(kind="health_omics", metadata=False)
    assert find_options([other], "workflow_run_crate", "raw") == crates()


def test_an_event_has_the_options_of_its_bucket() -> None:
    raw, rest = crates("raw", exclude=("a",)), crates("b", "c", exclude=("b",))
    assert find_options([raw, rest], "workflow_run_crate", "c") is rest


@pytest.mark.parametrize("only", [(), ("raw",), ("x", "raw")])
def test_sources_that_disagree_on_an_event_are_refused(only: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="same workflow_run_crate events"):
        check_sources([crates("raw"), crates(*only, metadata=False)])


def test_sources_that_agree_or_differ_in_events_are_accepted() -> None:
    check_sources([crates("raw"), crates("raw", "b"), crates("c", metadata=False)])
    check_sources([crates(), SourceOptions(kind="health_omics", metadata=False)])
    check_sources([ready(settle_seconds=60), ready(UPLOADS), ready(EDP, exclude=("a",))])


@pytest.mark.parametrize("only", [(), ("raw",)])
def test_announcements_have_the_options_of_their_sender(only: tuple[str, ...]) -> None:
    uploads, others = ready(UPLOADS, only=only), ready(settle_seconds=600)
    for sources in ([uploads, others], [others, uploads]):
        assert find_options(sources, "objects_ready", "raw", UPLOADS) is uploads
        assert find_options(sources, "objects_ready", "raw", EDP) is others
        assert find_options(sources, "objects_ready", "raw", None) is others


def test_announcements_of_other_buckets_are_not_the_uploads_of_this_engine() -> None:
    uploads, others = ready(UPLOADS, only=("raw",)), ready(settle_seconds=600)
    assert find_options([uploads, others], "objects_ready", "other", UPLOADS) is others


def test_the_options_of_a_sender_apply_to_it_alone() -> None:
    uploads = ready(UPLOADS, settle_seconds=600)
    assert find_options([uploads], "objects_ready", "raw", EDP) == ready()


def test_two_sources_of_one_sender_must_agree() -> None:
    with pytest.raises(ValueError, match="same objects_ready events"):
        check_sources([ready(UPLOADS), ready(UPLOADS, only=("raw",), settle_seconds=1)])


def test_a_sender_alone_is_a_default() -> None:
    assert not ready(UPLOADS, only=("raw",)).is_special
