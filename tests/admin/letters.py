"""Scripted dead letters for tests of the page, and a record of the actions on them."""

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from quilt_packager.admin.model import dead_letters
from quilt_packager.operations.dead_letters.queue import ActionResult, Failure, Failures, Origin
from tests.admin.engine import ago


def make_letter(letter_id: str = "m1", code: str = "AccessDenied", **facts: Any) -> Failure:
    """Make a letter of an hour ago, unless `facts` differ."""
    sent = facts.pop("sent", ago(hours=1))
    known: dict[str, Any] = {
        "job_id": f"job-{letter_id}",
        "happened": f"The packager may not read s3://raw/{letter_id}/.",
        "why": "Its role is not allowed to.",
        "remedy": "Allow it, deploy, and retry.",
        "package_name": f"wgs/{letter_id}",
        "registry": "quilt-prod",
        "source": f"s3://raw/{letter_id}/",
        "body": f'{{"source_prefix": "s3://raw/{letter_id}/"}}',
        "expires": sent + timedelta(days=14),
        "origin": Origin.PACKAGER,
        "receipt_handle": "r",
        "held_until": 0.0,
        **facts,
    }
    return Failure(id=letter_id, code=code, sent=sent, **known)


class Letters:
    """The scripted answers of SQS; `letters` may be an error instead.

    `stop` is the error of an action after `stop_after` letters.
    """

    def __init__(self) -> None:
        self.letters: list[Failure] | Exception = []
        self.in_flight = 0
        self.is_complete = True
        self.stop: Exception | None = None
        self.stop_after = 0
        self.reads = 0
        self.sent: list[str] = []
        self.decisions: list[str | None] = []
        self.discarded: list[str] = []

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Replace the operations that the page uses."""
        patch.setattr(dead_letters, "read_failures", self._read)
        patch.setattr(dead_letters, "retry", self._act(self.sent))
        patch.setattr(dead_letters, "discard", self._act(self.discarded))

    @contextlib.contextmanager
    def _read(self, _: object, *, ids: Collection[str] | None = None) -> Iterator[Failures]:
        self.reads += 1
        if isinstance(self.letters, Exception):
            raise self.letters
        letters = tuple(
            sorted(
                (each for each in self.letters if ids is None or each.id in ids),
                key=lambda each: each.expires,
            )
        )
        total = len(self.letters) + self.in_flight
        yield Failures(letters, total, self.in_flight, self.is_complete)

    def _act(self, done: list[str]) -> Callable[..., ActionResult]:
        def act(
            _: object,
            failures: Iterable[Failure],
            on_done: Callable[[Failure], object],
            *,
            on_sent: Callable[[Failure, str], object] = lambda *_: None,
            on_foreign_revision: str | None = None,
        ) -> ActionResult:
            self.decisions.append(on_foreign_revision)
            kept: list[Failure] = []
            acted_on: list[Failure] = []
            sent: list[tuple[Failure, str]] = []
            for each in failures:
                if done is self.sent and not each.can_retry:
                    kept.append(each)
                    continue
                if self.stop is not None and len(done) == self.stop_after:
                    raise self.stop
                assert isinstance(self.letters, list)
                on_sent(each, f"new-{each.id}")
                sent.append((each, f"new-{each.id}"))
                acted_on.append(each)
                done.append(each.id)
                self.letters = [letter for letter in self.letters if letter is not each]
                on_done(each)
            return ActionResult(
                tuple(acted_on), sent=tuple(sent) if done is self.sent else (), kept=tuple(kept)
            )

        return act
