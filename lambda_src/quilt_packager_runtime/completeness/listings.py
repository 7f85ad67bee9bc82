"""Files of a folder that list others: read within bounds, to the paths that they name."""

from collections.abc import Callable

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.cpu_limits import CpuLimitExceeded, cpu_limit
from quilt_packager_runtime.errors import InvalidMetadata, quote
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.requests.ro_crates import MAX_CRATE_BYTES

MAX_LISTING_BYTES = MAX_CRATE_BYTES
MAX_LISTING_CPU_SECONDS = 10
"""Maximum CPU time to read a listing. One of `MAX_LISTING_BYTES` takes about a second."""


async def read_listing(s3: S3, uri: S3Uri, parse: Callable[[bytes], list[str]]) -> list[str] | None:
    """Read a file that lists others.

    Args:
        s3: Client to read with.
        uri: The file.
        parse: Parses at most `MAX_LISTING_BYTES`, and one byte more of a larger file.

    Returns:
        What the file lists; None if it does not exist.

    Raises:
        InvalidMetadata: It cannot be parsed.
    """
    body = await s3.read_if_exists(uri, max_bytes=MAX_LISTING_BYTES + 1)
    if body is None:
        return None
    try:
        with cpu_limit(MAX_LISTING_CPU_SECONDS):
            return parse(body.data)
    except CpuLimitExceeded:
        raise _unusable(uri, f"it takes more than {MAX_LISTING_CPU_SECONDS} s to read") from None
    except ValueError as error:
        raise _unusable(uri, str(error)) from error


def normalize(path: str) -> str | None:
    """Remove the empty components of a path; None if it leaves the folder.

    Example:
        >>> normalize("./a//b/"), normalize("../a")
        ('a/b', None)
    """
    components = [each for each in path.split("/") if each not in {"", "."}]
    return None if ".." in components else "/".join(components)


def _unusable(uri: S3Uri, reason: str) -> InvalidMetadata:
    return InvalidMetadata(
        f"{quote(str(uri))} cannot be used: {reason}.",
        why="The message or its event source requires the files that it lists.",
        remedy="Correct it, or correct require.",
    )
