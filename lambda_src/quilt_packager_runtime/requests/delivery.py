"""One delivery of a message: from the queue to its outcome, in one invocation or in several."""

import math
import time

import msgspec

from quilt_packager_runtime.requests.package_request import PackageRequest, UnresolvedRequest


class Delivery(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One delivery of a message, and its request as far as it is known.

    The handler fills in the request while it reads the message. A large job stores the delivery,
    so that later invocations go on with the complete request.

    Attributes:
        body: The message's body.
        message_id: The message's id, which identifies the job.
        number: The number of this delivery of the message, from 1.
        sent_seconds: The time when the message was sent, in seconds since 1970; None if unknown.
        started_seconds: The time when the job began, in seconds since 1970.
        request: The request: None before the message is read, complete once its file is read.
        is_last_attempt: No attempt follows a failure.
        will_be_redelivered: The message, or the step, comes back after an error, if only to report
            the outcome.
        is_announced: The event of the job's failure is published, and its message could not be
            moved to the dead-letter queue.
    """

    body: str
    message_id: str
    number: int = 1
    sent_seconds: float | None = None
    started_seconds: float
    request: UnresolvedRequest | PackageRequest | None = None
    is_last_attempt: bool = False
    will_be_redelivered: bool = True
    is_announced: bool = False

    @property
    def complete_request(self) -> PackageRequest:
        """The request of a delivery that is stored with a large job."""
        if not isinstance(self.request, PackageRequest):
            raise TypeError(f"The request of message {self.message_id} is not complete")
        return self.request

    @property
    def age_seconds(self) -> float:
        """Age of the message; infinite if unknown. The clock of SQS may be ahead of ours."""
        return math.inf if self.sent_seconds is None else max(0, time.time() - self.sent_seconds)

    @property
    def seconds(self) -> float:
        """Duration of the job so far."""
        return max(0, time.time() - self.started_seconds)
