"""What Lambda tells a function of its invocation."""

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


class _Context:
    def __init__(self, remaining_seconds: float) -> None:
        self._remaining_seconds = remaining_seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self._remaining_seconds * 1000)


def invocation(remaining_seconds: float = 900) -> "LambdaContext":
    """An invocation that has so much time left."""
    return cast("LambdaContext", _Context(remaining_seconds))
