"""The folders and files that an event source leaves out, and the files that it waits for."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
from quilt_packager_runtime.settings.requirements import required_globs, required_listings
from quilt_packager_runtime.settings.source_options import SourceOptions

from quilt_packager.operations import formats
from quilt_packager.operations.sources.patterns import is_about_objects
from quilt_packager.operations.sources.sources import Source

if TYPE_CHECKING:
    from quilt_packager_runtime.settings.upload_settings import UploadSettings

LISTINGS = {
    "crate": "each part that the crate lists",
    "healthomics_outputs": "each output that the run names",
    "checksum_lists": "each file that a checksum list names",
}
"""Requirements in words."""


class Treatment(msgspec.Struct, frozen=True):
    """The options of an event source in words.

    Attributes:
        only: Globs of folders, if no others are packaged.
        leaves_out: Globs and prefixes of folders and files.
        waits_for: Conditions.
    """

    only: tuple[str, ...] = ()
    leaves_out: tuple[str, ...] = ()
    waits_for: tuple[str, ...] = ()


def describe_treatment(
    source: Source, options: Sequence[SourceOptions], uploads: "Sequence[UploadSettings]"
) -> Treatment:
    """Describe the options of a source.

    Args:
        source: The source.
        options: Options of all sources of the engine.
        uploads: Settings of its coalescers.
    """
    own = [each for each in options if each.kind == source.kind and each.sender == source.sender]
    announced = [each for each in uploads if each.source == source.sender]
    ignored = [prefix for each in announced for prefix in each.ignore_prefixes]
    conditions = [_describe_quiet(each) for each in announced if is_about_objects(source.pattern)]
    for each in own:
        ignored += [*each.ignore_prefixes, *each.exclude]
        conditions += _describe_conditions(each)
    return Treatment(
        _unique(prefix for each in own for prefix in each.include_prefixes),
        _unique(ignored),
        _unique(conditions),
    )


def _unique(words: "Iterator[str] | Sequence[str]") -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def _describe_quiet(settings: "UploadSettings") -> str:
    age = formats.age(settings.threshold_duration_seconds)
    if settings.ready_when:
        return f"{age} after that file"
    return f"{age} without an upload, or {formats.count(settings.threshold_event_count, 'upload')}"


def _describe_conditions(options: SourceOptions) -> Iterator[str]:
    if options.settle_seconds:
        yield f"an age of {formats.age(options.settle_seconds)} of the event"
    required = [LISTINGS[each] for each in required_listings(options.require)]
    required += required_globs(options.require)
    if required:
        limit = formats.age(options.require_timeout_seconds)
        yield f"{', '.join(required)}, at most {limit}"
