"""Looks up entries of a manifest by reading small ranges of it.

The lines of the packager's manifests are in order, so that a search halves the range that is left:
an entry of ten million takes about 16 requests.
"""

from quilt_packager_runtime.aws.s3 import S3, ObjectBody
from quilt_packager_runtime.formats.manifest import is_ours
from quilt_packager_runtime.formats.manifest_lines import ManifestLine, decode_line
from quilt_packager_runtime.formats.objects import S3Uri, sort_key

STEP_BYTES = 64 * 1024


class ManifestSearch:
    """A manifest in which entries are searched.

    Args:
        s3: S3.
        uri: The manifest.
    """

    def __init__(self, s3: S3, uri: S3Uri) -> None:
        self._s3 = s3
        self._uri = uri
        self._first: ObjectBody | None = None

    async def find(self, logical_key: str) -> ManifestLine | None:
        """Return an entry; None if there is none, or if another program wrote the manifest.

        Raises:
            PackagerError: The manifest could not be read.
            ValueError: It is malformed.
        """
        first = self._first
        if first is None:
            first = await self._s3.read_if_exists(self._uri, max_bytes=STEP_BYTES)
            self._first = first
        if first is None or not is_ours(first.metadata):
            return None
        wanted = sort_key(logical_key)
        # The line of the entry begins at `low` or later, and before `high`.
        low, high = first.data.find(b"\n") + 1, first.size_bytes
        while high - low > STEP_BYTES:
            middle = (low + high) // 2
            begin, line = await self._line_after(middle, first)
            if line is not None and sort_key(line.logical_key) <= wanted:
                low = begin
            else:
                high = middle + 1
        for line in await self._lines(low, high, first):
            if line.logical_key == logical_key:
                return line
        return None

    async def _line_after(self, offset: int, first: ObjectBody) -> tuple[int, ManifestLine | None]:
        """Return the first whole line that begins behind an offset, and where it begins."""
        step_bytes = STEP_BYTES
        while True:
            data = await self._read(offset, offset + step_bytes, first)
            begin = data.find(b"\n") + 1
            end = data.find(b"\n", begin)
            if begin and end >= 0:
                return offset + begin, decode_line(data[begin:end])
            if offset + step_bytes >= first.size_bytes:
                return first.size_bytes, None
            step_bytes *= 4

    async def _lines(self, low: int, high: int, first: ObjectBody) -> list[ManifestLine]:
        """Return the lines that begin in a range, the last of which may end behind it."""
        step_bytes = STEP_BYTES
        while True:
            end = min(high + step_bytes, first.size_bytes)
            data = await self._read(low, end, first)
            last = data.find(b"\n", high - low - 1)
            if last >= 0 or end == first.size_bytes:
                lines = data[: last if last >= 0 else None].split(b"\n")
                return [decode_line(line) for line in lines if line]
            step_bytes *= 4

    async def _read(self, begin: int, end: int, first: ObjectBody) -> bytes:
        if end <= len(first.data):
            return first.data[begin:end]
        last_byte = min(end, first.size_bytes) - 1
        body = await self._s3.get_object(
            self._uri, first_byte=begin, last_byte=last_byte, if_match=first.etag
        )
        return body.data
