"""Parallel listing of a folder: concurrent requests, each for a range of its keys.

Each page of a listing names the start of the next one. To list several pages at a time, the starts
of the other ranges have to be guessed: see `key_ranges.py`.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from math import ceil

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.aws.s3_responses import VersionPage, malformed_response
from quilt_packager_runtime.concurrency import task_group
from quilt_packager_runtime.formats.objects import S3Uri, SourceFolder, SourceObject
from quilt_packager_runtime.listing.key_ranges import KeyRange

RANGES_AT_ONCE = 16
FIRST_TRIES = 15
TRIES_PER_PAGE = 2
"""Number of first tries that each page allows, so that a small folder does not use them all."""

PAGES_PER_TRY = 25
"""Number of pages that allow one more try: ranges end at different times."""


async def list_folder(
    s3: S3, folder: SourceFolder, take: Callable[[list[SourceObject]], object]
) -> bool:
    """List the newest versions of a folder's objects, each once. Pages arrive in any order.

    A folder of up to two pages takes no extra requests. Beyond that, the remaining range is split
    at subfolders or at guessed keys, and again whenever a range ends. Each split costs at most one
    extra page, and each query for subfolders one request. After p requests there are at most
    min(15, 2p) + p / 25 of both: 19 extra requests for 100 pages, 57 for a thousand.

    Memory: `RANGES_AT_ONCE` pages of about 1 MB each.

    Args:
        s3: Client to list with.
        folder: Folder to list.
        take: Called with the objects of each page, in S3's order.

    Returns:
        Whether the listing names the algorithms of stored checksums.

    Raises:
        MalformedResponse: S3 returned keys out of order.
        S3Error: A request failed.
        Rejected: The folder cannot be listed.
    """
    async with task_group() as tasks:
        listing = _Listing(s3, folder, take, tasks)
        listing.start(KeyRange(folder.prefix))
    return listing.names_checksums


class _Listing:
    """The ranges that are being listed, and the budget of extra requests."""

    def __init__(
        self,
        s3: S3,
        folder: SourceFolder,
        take: Callable[[list[SourceObject]], object],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._s3 = s3
        self._folder = folder
        self._take = take
        self._tasks = tasks
        self._running: list[KeyRange] = []
        self._querying: set[KeyRange] = set()
        self._requests = 0
        self.names_checksums = False
        self._tries = 0

    def start(self, keys: KeyRange) -> None:
        """Start to list a range."""
        self._running.append(keys)
        self._tasks.create_task(self._list(keys))

    async def _list(self, keys: KeyRange) -> None:
        listing = self._s3.list_version_pages(
            self._folder.bucket, self._folder.prefix, after=keys.after, until=lambda: keys.until
        )
        async with aclosing(listing) as pages:
            async for page in pages:
                self._requests += 1
                self._take(self._advance(keys, page))
                self.names_checksums = self.names_checksums or page.names_checksums
                if keys.is_done:
                    break
                self._spread()
        self._running.remove(keys)
        self._spread()

    async def _query_subfolders(self, keys: KeyRange, folder: str) -> None:
        listing = self._s3.list_version_pages(
            self._folder.bucket, folder, after=keys.position, delimiter="/"
        )
        async with aclosing(listing) as pages:
            page = await anext(pages)
        self._requests += 1
        keys.add_subfolders(folder, page.folders, is_all=page.next_key is None)
        self._querying.remove(keys)
        self._spread()

    def _advance(self, keys: KeyRange, page: VersionPage) -> list[SourceObject]:
        """Advance the range by a page, and return the page's objects that are in the range."""
        listed = [found.key for found in page.objects]
        is_behind = not listed or (listed[0] > keys.after and listed[0] >= keys.position)
        if not is_behind or listed != sorted(set(listed)):
            raise malformed_response(S3Uri(self._folder.bucket, ""), "its keys are not in order")
        return page.objects[: keys.advance(listed, page.next_key)]

    def _spread(self) -> None:
        """Split ranges until `RANGES_AT_ONCE` are running, those with the most pages first."""
        candidates = [keys for keys in self._running if keys.pages and keys not in self._querying]
        for place, keys in enumerate(sorted(candidates, key=lambda each: -each.pages)):
            free = RANGES_AT_ONCE - len(self._running) - len(self._querying)
            share = ceil(free / (len(candidates) - place))
            tries = min(share, self._tries_allowed() - self._tries)
            if tries <= 0:
                return
            folder = keys.folder_to_query()
            if folder is not None:
                self._tries += 1
                self._querying.add(keys)
                self._tasks.create_task(self._query_subfolders(keys, folder))
                continue
            others = keys.divide(1 + tries)
            self._tries += len(others)
            for other in others:
                self.start(other)

    def _tries_allowed(self) -> int:
        first = min(FIRST_TRIES, self._requests * TRIES_PER_PAGE)
        return first + self._requests // PAGES_PER_TRY
