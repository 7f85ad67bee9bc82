"""The sources of a message: several folders, and their places in one package."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from quilt_packager_runtime.errors import quote
from quilt_packager_runtime.formats import names
from quilt_packager_runtime.formats.objects import S3Uri, Source
from quilt_packager_runtime.requests.violations import Violations

MAX_SOURCES = 100
MAX_SOURCES_BYTES = 65_536
"""Maximum size of all of them: log lines, events and manifests name them."""


class MessageSource(msgspec.Struct, frozen=True):
    """A folder, and its place in the package."""

    prefix: Annotated[
        str,
        Meta(
            description="The folder, as a percent-encoded S3 URI that ends in /.",
            examples=["s3://raw/runs/42/"],
        ),
    ]
    into: Annotated[
        str,
        Meta(
            description="The folder of the package for its files, which ends in /. Default: the "
            "root of the package.",
            examples=["raw/"],
        ),
    ] = ""


def check_sources(given: Sequence[MessageSource], violations: Violations) -> tuple[Source, ...]:
    """Check the sources of a message, and return those that are valid.

    Args:
        given: The sources.
        violations: Receives all broken rules.
    """
    if not 0 < len(given) <= MAX_SOURCES:
        violations.add("sources", f"it has 1 to {MAX_SOURCES} folders, not {len(given)}")
        return ()
    found: dict[str, Source] = {}
    for number, each in enumerate(given):
        folder = violations.check(f"sources[{number}].prefix", each.prefix, _parse_prefix)
        into = violations.check(f"sources[{number}].into", each.into, _check_into)
        if folder is None or into is None:
            continue
        uri = str(folder)
        if uri in found:
            violations.add("sources", f"{quote(uri)} is there twice")
        found[uri] = msgspec.structs.replace(folder, into=into)
    size_bytes = sum(len(uri) + len(each.into.encode()) for uri, each in found.items())
    if size_bytes > MAX_SOURCES_BYTES:
        violations.add("sources", f"they have at most {MAX_SOURCES_BYTES:,} bytes together")
    return tuple(found.values())


def _parse_prefix(text: str) -> Source:
    folder = names.parse_source_prefix(text)
    if S3Uri.parse(text) != S3Uri(folder.bucket, folder.prefix):
        raise ValueError("a folder of several ends in /, and has no version")
    return Source.whole(folder)


def _check_into(into: str) -> str:
    """Check the prefix of logical keys.

    Example:
        >>> _check_into("raw/")
        'raw/'
    """
    if not into:
        return into
    components = into.split("/")
    if components.pop() or not {"", ".", ".."}.isdisjoint(components):
        raise ValueError('it ends in /, and has no component "", "." or ".."')
    return names.check_key(into)
