"""Lists a folder by concurrent requests, each for a range of its keys.

A listing is a chain: each page names the start of the next. For concurrent pages, `key_ranges` has
to guess where others may start.
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
"""Number of the first tries for each page: a small folder is not worth all of them."""

PAGES_PER_TRY = 25
"""Number of pages after which another try is allowed: ranges end at different times."""


async def list_folder(
    s3: S3, folder: SourceFolder, take: Callable[[list[SourceObject]], object]
) -> None:
    """List the newest versions of a folder's objects, each once, in no order of pages.

    A folder of up to two pages costs two requests. Then the rest is split at subfolders, or at
    points that are guessed from the keys, and again when ranges end. Each further range may cost
    an additional page, and each listing of subfolders is a request; after p requests there are at
    most min(15, 2p) + p / 25 of both. So 100 pages cost at most 19 additional requests, a thousand
    57.

    Memory: `RANGES_AT_ONCE` pages, of some 1 MB each.

    Args:
        s3: S3.
        folder: The folder.
        take: Called with the objects of each page, in S3's order.

    Raises:
        MalformedResponse: The keys are not in S3's order.
        S3Error: S3 failed.
        Rejected: The folder cannot be listed.
    """
    async with task_group() as tasks:
        _Listing(s3, folder, take, tasks).start(KeyRange(folder.prefix))


class _Listing:
    """The ranges that are being listed, and their tasks."""

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
        self._asking: set[KeyRange] = set()
        self._requests = 0
        self._tries = 0

    def start(self, keys: KeyRange) -> None:
        """Start to list a range."""
        self._running.append(keys)
        self._tasks.create_task(self._list(keys))

    async def _list(self, keys: KeyRange) -> None:
        is_empty = True
        listing = self._s3.list_version_pages(
            self._folder.bucket, self._folder.prefix, after=keys.after, until=lambda: keys.until
        )
        async with aclosing(listing) as pages:
            async for page in pages:
                self._requests += 1
                own = self._own(keys, page)
                is_empty = is_empty and not own
                self._take(own)
                if keys.is_done:
                    break
                self._spread()
        self._running.remove(keys)
        if is_empty:
            for neighbour in self._running:
                neighbour.end_is_unknown |= neighbour.until == keys.after
        self._spread()

    async def _ask(self, keys: KeyRange, level: str) -> None:
        listing = self._s3.list_version_pages(
            self._folder.bucket, level, after=keys.position, delimiter="/"
        )
        async with aclosing(listing) as pages:
            page = await anext(pages)
        self._requests += 1
        keys.learn(level, page.folders, is_all=page.next_key is None)
        self._asking.remove(keys)
        self._spread()

    def _own(self, keys: KeyRange, page: VersionPage) -> list[SourceObject]:
        """Add a page to a range, and return its objects in the range."""
        listed = [found.key for found in page.objects]
        is_behind = not listed or (listed[0] > keys.after and listed[0] >= keys.position)
        if not is_behind or listed != sorted(set(listed)):
            raise malformed_response(S3Uri(self._folder.bucket, ""), "its keys are not in order")
        return page.objects[: keys.advance(listed, page.next_key)]

    def _spread(self) -> None:
        """Split ranges until all requests are in use, those with the most pages first."""
        candidates = [keys for keys in self._running if keys.pages and keys not in self._asking]
        for place, keys in enumerate(sorted(candidates, key=lambda each: -each.pages)):
            free = RANGES_AT_ONCE - len(self._running) - len(self._asking)
            share = ceil(free / (len(candidates) - place))
            tries = min(share, self._tries_allowed() - self._tries)
            if tries <= 0:
                return
            level = keys.level_to_ask_for()
            if level is not None:
                self._tries += 1
                self._asking.add(keys)
                self._tasks.create_task(self._ask(keys, level))
                continue
            others = keys.divide(1 + tries)
            self._tries += len(others)
            for other in others:
                self.start(other)

    def _tries_allowed(self) -> int:
        first = min(FIRST_TRIES, self._requests * TRIES_PER_PAGE)
        return first + self._requests // PAGES_PER_TRY
