"""The dead letters of the page: read only on request, and changed by exact ids."""

import threading
from collections.abc import Callable, Sequence

from quilt_packager_runtime.settings.source_options import OnForeignRevision

from quilt_packager.admin.model.caching import Answer, Cached
from quilt_packager.operations.dead_letters.queue import (
    ActionResult,
    Failure,
    Failures,
    discard,
    read_failures,
    retry,
)
from quilt_packager.operations.deployment.deployments import Deployment

MAX_AGE_SECONDS = 5
"""Time before letters are read again: reading hides them from other readers for a moment."""


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
        """Read the letters. SQS is asked by receiving them, so never poll this."""
        return self._read.get(MAX_AGE_SECONDS)

    def is_fresh(self) -> bool:
        """Return True if `read` would make no request."""
        return self._read.is_fresh(MAX_AGE_SECONDS)

    def last_read(self) -> Answer[Failures]:
        """Return the last answer without a request."""
        return self._read.peek()

    def recall(self, ids: Sequence[str]) -> list[Failure]:
        """Return the letters with these ids, as they were last read; some may be missing."""
        last = self.last_read().value
        wanted = frozenset(ids)
        return [each for each in last.letters if each.id in wanted] if last else []

    def retry(
        self, ids: Sequence[str], *, on_foreign_revision: OnForeignRevision | None = None
    ) -> ActionResult:
        """Send messages again where possible, each before its letter is deleted."""
        done: list[Failure] = []
        sent: list[tuple[Failure, str]] = []
        return self._act(
            ids,
            lambda letters: retry(
                self._deployment,
                letters,
                done.append,
                on_sent=lambda letter, job_id: sent.append((letter, job_id)),
                on_foreign_revision=on_foreign_revision,
            ),
            lambda error: ActionResult(tuple(done), sent=tuple(sent), error=error),
        )

    def discard(self, ids: Sequence[str]) -> ActionResult:
        """Delete letters permanently."""
        done: list[Failure] = []
        return self._act(
            ids,
            lambda letters: discard(self._deployment, letters, done.append),
            lambda error: ActionResult(tuple(done), error=error),
        )

    def _act(
        self,
        ids: Sequence[str],
        act: Callable[[Sequence[Failure]], ActionResult],
        stopped: Callable[[Exception], ActionResult],
    ) -> ActionResult:
        try:
            with self._lock, read_failures(self._deployment, ids=ids) as held:
                return act(held.pick(ids).found)
        except Exception as error:  # noqa: BLE001 - shown with the part that is done
            return stopped(error)
        finally:
            self._read.invalidate()

    def _read_all(self) -> Failures:
        with self._lock, read_failures(self._deployment) as held:
            return held
