"""Scripted trouble: which requests, and what happens to them instead of a plain answer."""

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

import msgspec

from tests.s3_stub.pauses import Pause
from tests.s3_stub.protocol import Refusal, Request, Response


class Action(msgspec.Struct, frozen=True):
    """What happens to a request. Without any field set, a plain answer.

    Attributes:
        delay_seconds: Before anything else.
        pause_before: Stops the request before it is applied.
        refusal: Answered instead of applying.
        drops_connection: Closed, nothing applied.
        pause_after: Stops the request after it was applied, before it is answered.
        loses_reply: Applied, then the connection is closed without an answer.
        rewrite: Changes the answer; `Content-Length` follows the body.
        cut_after_bytes: The connection is closed when so much of the body was sent.
    """

    delay_seconds: float = 0.0
    pause_before: Pause | None = None
    refusal: Refusal | None = None
    drops_connection: bool = False
    pause_after: Pause | None = None
    loses_reply: bool = False
    rewrite: Callable[[Response], Response] | None = None
    cut_after_bytes: int | None = None


class Rule:
    """Which requests an action is for. Each method that names one sets it.

    Attributes:
        hits: How many requests it was applied to.
    """

    def __init__(
        self,
        *,
        operation: str,
        bucket: str,
        key: str,
        access_key: str | None,
        nth: int,
        times: int | None,
    ) -> None:
        self.hits = 0
        self.action = Action()
        self._operation = operation
        self._bucket = bucket
        self._key = key
        self._access_key = access_key
        self._skip = nth - 1
        self._times = times

    def answer(
        self,
        status: int,
        code: str = "InternalError",
        message: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> "Rule":
        """Answer with an error and apply nothing. Status 200 makes the infamous error in a 200."""
        return self._do(Action(refusal=Refusal(status, code, message, headers)))

    def drop_connection(self) -> "Rule":
        """Close the connection and apply nothing."""
        return self._do(Action(drops_connection=True))

    def lose_reply(self) -> "Rule":
        """Apply the request, then close the connection without an answer."""
        return self._do(Action(loses_reply=True))

    def cut_body(self, after_bytes: int) -> "Rule":
        """Announce the whole body, send so much of it, and close the connection."""
        return self._do(Action(cut_after_bytes=after_bytes))

    def rewrite_body(self, change: Callable[[bytes], bytes]) -> "Rule":
        """Send another body, with a `Content-Length` that fits it."""

        def rewrite(response: Response) -> Response:
            body = response.body
            if not isinstance(body, bytes):
                body = body.read(*(response.body_range or (0, body.size_bytes)))
            return Response(response.status, response.headers, change(body))

        return self._do(Action(rewrite=rewrite))

    def rewrite_headers(self, changes: Mapping[str, str | None]) -> "Rule":
        """Send other headers; None leaves one out, and an empty `Date` that header."""

        def rewrite(response: Response) -> Response:
            merged = {**response.headers, **changes}
            headers = {name: value for name, value in merged.items() if value is not None}
            return Response(response.status, headers, response.body, response.body_range)

        return self._do(Action(rewrite=rewrite))

    def delay(self, seconds: float) -> "Rule":
        """Answer later than asked."""
        return self._do(Action(delay_seconds=seconds))

    def pause_before(self) -> Pause:
        """Stop each request before it is applied."""
        pause = Pause()
        self._do(Action(pause_before=pause))
        return pause

    def pause_after(self) -> Pause:
        """Stop each request after it was applied, before it is answered."""
        pause = Pause()
        self._do(Action(pause_after=pause))
        return pause

    def matches(self, request: Request) -> bool:
        """Whether it is this rule's turn for a request; counts the ones that it skips."""
        fits = (
            fnmatchcase(request.operation, self._operation)
            and fnmatchcase(request.bucket, self._bucket)
            and fnmatchcase(request.key, self._key)
            and self._access_key in (None, request.access_key)
        )
        if not fits or self.hits == self._times:
            return False
        if self._skip:
            self._skip -= 1
            return False
        self.hits += 1
        return True

    def open(self) -> None:
        """Release what its pauses hold."""
        for pause in (self.action.pause_before, self.action.pause_after):
            if pause is not None:
                pause.open()

    def _do(self, action: Action) -> "Rule":
        self.action = action
        return self


class Faults:
    """The script: rules in the order in which they were added; the first that fits acts."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def on(
        self,
        operation: str = "*",
        *,
        bucket: str = "*",
        key: str = "*",
        access_key: str | None = None,
        nth: int = 1,
        times: int | None = 1,
    ) -> Rule:
        """Begin a rule; a method of what is returned says what happens.

        Args:
            operation: A pattern such as `PutObject` or `List*`.
            bucket: A pattern.
            key: A pattern.
            access_key: Of one client, where two share the stub.
            nth: The first request to act on, counted among those that fit.
            times: How many requests to act on; None for every one.
        """
        rule = Rule(
            operation=operation,
            bucket=bucket,
            key=key,
            access_key=access_key,
            nth=nth,
            times=times,
        )
        self.rules.append(rule)
        return rule

    def find(self, request: Request) -> Action | None:
        """What is to happen to a request."""
        return next((rule.action for rule in self.rules if rule.matches(request)), None)

    def clear(self) -> None:
        """Forget the script, and release what it holds."""
        for rule in self.rules:
            rule.open()
        self.rules.clear()
