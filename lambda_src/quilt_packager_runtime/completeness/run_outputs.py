"""The outputs of a HealthOmics run that its own summary lists.

WDL and CWL runs write one when they end:
https://docs.aws.amazon.com/omics/latest/dev/workflows-run-outputs.html
"""

from collections.abc import AsyncIterator, Iterable
from urllib.parse import unquote

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.completeness.listings import (
    MAX_LISTING_BYTES,
    normalize,
    read_listing,
)
from quilt_packager_runtime.concurrency import slices
from quilt_packager_runtime.formats.json_documents import read_json
from quilt_packager_runtime.formats.objects import S3Uri, key_of
from quilt_packager_runtime.listing.inventory import Inventory

SUMMARIES = ("logs/outputs.json", "logs/output.json")
"""Paths of the summary below the folder of the run, or below a folder of its UUID.

The documentation of HealthOmics has both names, and both folders.
"""

PATHS_AT_ONCE = 1000


async def find_run_outputs(s3: S3, inventory: Inventory) -> AsyncIterator[Iterable[str]]:
    """Yield the logical keys of a run's outputs, if the first source has a summary of them.

    Raises:
        InvalidMetadata: The summary is not a JSON object.
    """
    source = inventory.sources[0]
    for path in await _find_summaries(inventory, source.into):
        summary = S3Uri(source.bucket, source.prefix + path)
        uris = await read_listing(s3, summary, _parse)
        if uris is not None:
            yield (key for uri in uris if (key := _path_of(uri, inventory)))
            return


async def _find_summaries(inventory: Inventory, into: str) -> list[str]:
    """Return the paths in the first source at which there may be a summary."""
    found = [
        path for path in SUMMARIES if inventory.has(into + path) or inventory.excludes(into + path)
    ]
    if found:
        return found
    async for rows in slices(inventory.paths(), PATHS_AT_ONCE):
        keys = map(key_of, (path for path, _ in rows))
        paths = (key.removeprefix(into) for key in keys if key.startswith(into))
        found += (path for path in paths if path.partition("/")[2] in SUMMARIES)
    return found


def _parse(document: bytes) -> list[str]:
    """Return the S3 URIs of a summary: values of WDL, or locations of CWL, at any depth."""
    summary = read_json(document, max_bytes=MAX_LISTING_BYTES)
    if not isinstance(summary, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - the file is wrong, not the call
    found: dict[str, None] = {}
    left: list[object] = [summary]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
        elif isinstance(value, str) and value.startswith("s3://"):
            found[value] = None
    return sorted(found)


def _path_of(uri: str, inventory: Inventory) -> str | None:
    """Return the logical key of an output; None if it is in no source."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    found = next(inventory.logical_keys(bucket, key), None)
    path = found and normalize(found)
    # The documentation does not say whether URIs are percent-encoded.
    return path if not path or inventory.has(path) else unquote(path)
