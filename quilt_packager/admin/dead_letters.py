"""The dead letters as the page knows them: read when somebody looks, and changed by exact ids."""

import threading
from collections.abc import Callable, Sequence

from quilt_packager.admin.caching import Answer, Cached
from quilt_packager.operations.deployments import Deployment
from quilt_packager.operations.failures import (
    Done,
    Failure,
    Failures,
    discard,
    read_failures,
    retry,
)

MAX_AGE_SECONDS = 5
"""For how long letters are not read again: reading hides them from others for a moment."""


class DeadLetters:
    """The dead letters of an engine. Threads may share it: one at a time holds letters.

    Args:
        deployment: The engine.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._lock = threading.Lock()
        self._read = Cached(self._read_all)

    def read(self) -> Answer[Failures]:
        """The letters: asked of SQS by receiving them, so never for a poll."""
        return self._read.get(MAX_AGE_SECONDS)

    def knows(self) -> bool:
        """Whether `read` would answer at once."""
        return self._read.is_fresh(MAX_AGE_SECONDS)

    def recall(self, ids: Sequence[str]) -> dict[str, Failure]:
        """What was known of letters when they were last read, by their ids; not all may be.

        Args:
            ids: Their ids.
        """
        known = self._read.peek().value
        wanted = frozenset(ids)
        return {each.id: each for each in known.letters if each.id in wanted} if known else {}

    def retry(self, ids: Sequence[str]) -> Done:
        """Send messages again, each before its letter is deleted.

        Args:
            ids: The letters' ids.
        """
        return self._do(retry, ids)

    def discard(self, ids: Sequence[str]) -> Done:
        """Delete letters for good.

        Args:
            ids: Their ids.
        """
        return self._do(discard, ids)

    def _do(self, act: Callable[..., Done], ids: Sequence[str]) -> Done:
        try:
            with self._lock, read_failures(self._deployment, ids=ids) as held:
                return act(self._deployment, held.pick(ids).found)
        finally:
            self._read.forget()

    def _read_all(self) -> Failures:
        with self._lock, read_failures(self._deployment) as held:
            return held
