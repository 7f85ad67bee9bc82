"""The destinations of outcomes, which may refuse calls or kill the function, and SQS around it."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.settings import EXTRA_RECEIVES

from tests.boto_stub import Service

OPERATIONS = {
    "PutEvents": ("events", "put_events"),
    "Publish": ("sns", "publish"),
    "SendMessage": ("sqs", "send_message"),
    "ChangeMessageVisibility": ("sqs", "change_message_visibility"),
}
"""The service and the method of each call that ends a job."""

ANSWERS: dict[str, dict[str, Any]] = {
    "PutEvents": {"FailedEntryCount": 0, "Entries": [{"EventId": "e"}]},
    "Publish": {"MessageId": "n"},
    "SendMessage": {"MessageId": "m"},
    "ChangeMessageVisibility": {},
}
REFUSED_ENTRY = {
    "FailedEntryCount": 1,
    "Entries": [{"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"}],
}


class Killed(BaseException):
    """Lambda killed the function: nothing of it runs any more."""


class Destinations:
    """The bus, the topic and the dead-letter queue of an engine.

    Attributes:
        accepted: The calls that were accepted, in order, as pairs of an operation and its
            parameters.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **services: Service) -> None:
        self.accepted: list[tuple[str, dict[str, Any]]] = []
        self._refusals: dict[str, tuple[str, int | None]] = {}
        self._kill: tuple[str, bool] | None = None
        for service in services.values():
            service.client.meta.events.register("provide-client-params.*.*", self._answer)
            service.client.meta.events.register("after-call.*.*", self._after)
        self._services = services
        monkeypatch.setattr(clients, "REFUSED_ENTRY_PAUSE_SECONDS", 0)

    def refuse(
        self, operation: str, code: str = "AccessDenied", *, times: int | None = None
    ) -> None:
        """Refuse calls: the next ones, or all. The code `FailedEntry` refuses with status 200."""
        self._refusals[operation] = (code, times)

    def accept(self) -> None:
        """Accept all calls from now on."""
        self._refusals.clear()

    def kill(self, operation: str, *, before: bool = False) -> None:
        """Kill the function once, after or before the next call."""
        self._kill = (operation, before)

    def operations(self) -> list[str]:
        """The accepted calls, in order, without those that only delay a message."""
        return [name for name, _ in self.accepted if name != "ChangeMessageVisibility"]

    def letters(self) -> list[dict[str, Any]]:
        return self._of("SendMessage")

    def events(self) -> list[str]:
        """The detail-type of each event."""
        return [asked["Entries"][0]["DetailType"] for asked in self._of("PutEvents")]

    def _of(self, operation: str) -> list[dict[str, Any]]:
        return [params for name, params in self.accepted if name == operation]

    def _answer(self, params: dict[str, Any], model: Any, **_: object) -> None:
        operation: str = model.name
        if self._kill == (operation, True):
            self._kill = None
            raise Killed
        service, method = OPERATIONS[operation]
        script = self._services[service].script
        code, times = self._refusals.get(operation, ("", 0))
        if times is None or times > 0:
            self._refusals[operation] = (code, None if times is None else times - 1)
            if code == "FailedEntry":
                script.add_response(method, REFUSED_ENTRY)
            else:
                script.add_client_error(method, code, "Because.")
            return
        script.add_response(method, ANSWERS[operation])
        self.accepted.append((operation, params))

    def _after(self, model: Any, **_: object) -> None:
        if self._kill == (model.name, False):
            self._kill = None
            raise Killed


def deliver_until_done(deliver: Callable[[int], bool], *, max_attempts: int) -> int | None:
    """Deliver a message as SQS does.

    Args:
        deliver: Delivers the message for the nth time, and returns whether it was acknowledged.
        max_attempts: Maximum number of attempts.

    Returns:
        The number of deliveries; None if SQS itself moved the message.
    """
    for number in range(1, max_attempts + EXTRA_RECEIVES + 1):
        with contextlib.suppress(Killed):  # which acknowledges nothing
            if deliver(number):
                return number
    return None
