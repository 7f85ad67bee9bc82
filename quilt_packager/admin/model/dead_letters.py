"""The dead letters as the page knows them: read when somebody looks, and changed by exact ids."""

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from quilt_packager.admin.model.caching import Answer, Cached
from quilt_packager.operations.dead_letters.queue import (
    Failure,
    Failures,
    OnDone,
    discard,
    read_failures,
    retry,
)
from quilt_packager.operations.deployment.deployments import Deployment

MAX_AGE_SECONDS = 5
"""For how long letters are not read again: reading hides them from others for a moment."""


class Did(NamedTuple):
    """How far an action came.

    Attributes:
        done: How many letters are not there any more.
        sent: Of each message that was sent again, its letter and its new id.
        error: Why it ended on its way; None: it did all that it was asked for.
        kept: How many letters were left, because they cannot be retried.
    """

    done: int
    sent: Sequence[tuple[Failure, str]] = ()
    error: Exception | None = None
    kept: int = 0


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

    def retry(self, ids: Sequence[str]) -> Did:
        """Send messages again that can be, each before its letter is deleted.

        Args:
            ids: The letters' ids.
        """
        sent: list[tuple[Failure, str]] = []
        kept: list[Failure] = []

        def send(letters: Sequence[Failure], on_done: OnDone) -> None:
            done = retry(
                self._deployment,
                letters,
                on_done,
                on_sent=lambda letter, job_id: sent.append((letter, job_id)),
            )
            kept.extend(done.kept)

        return self._do(send, ids)._replace(sent=sent, kept=len(kept))

    def discard(self, ids: Sequence[str]) -> Did:
        """Delete letters for good.

        Args:
            ids: Their ids.
        """

        def delete(letters: Sequence[Failure], on_done: OnDone) -> None:
            discard(self._deployment, letters, on_done)

        return self._do(delete, ids)

    def _do(self, act: Callable[[Sequence[Failure], OnDone], None], ids: Sequence[str]) -> Did:
        done: list[Failure] = []
        try:
            with self._lock, read_failures(self._deployment, ids=ids) as held:
                act(held.pick(ids).found, done.append)
        except Exception as error:  # noqa: BLE001 - told with what was done before it
            return Did(len(done), error=error)
        finally:
            self._read.forget()
        return Did(len(done))

    def _read_all(self) -> Failures:
        with self._lock, read_failures(self._deployment) as held:
            return held
