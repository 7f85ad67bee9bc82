"""A step of the state machine that promotes: an event of a created package in, an outcome out."""

import asyncio
import os
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from quilt_packager_runtime.errors import DeadlineExceeded, PromotionStopped, Rejected, quote
from quilt_packager_runtime.handlers import invocations
from quilt_packager_runtime.handlers.invocations import StateError
from quilt_packager_runtime.promotion.copy_objects import Unfinished
from quilt_packager_runtime.promotion.event_promotions import CreatedEvent, EventPromotion
from quilt_packager_runtime.promotion.promote import NotWanted
from quilt_packager_runtime.reporting.log_events import PromotionContinues, PromotionSkipped
from quilt_packager_runtime.reporting.telemetry import log
from quilt_packager_runtime.settings.promotion_settings import PromotionSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@cache
def load_settings() -> PromotionSettings:
    """Return the rule's settings, read once per execution environment."""
    return PromotionSettings.from_environment(os.environ)


class Step(msgspec.Struct, frozen=True):
    """The input of the function.

    Attributes:
        event: The event.
        error: The error after the last attempt; None to promote.
    """

    event: CreatedEvent
    error: StateError | None = None


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, object]:
    """Promote a revision, or report that the promotion failed.

    Returns:
        `goes_on`: the promotion has more to copy; `failed`: it was rejected, and is reported.
    """
    step = msgspec.convert(event, Step)
    deadline = invocations.deadline_of(context)
    promotion = EventPromotion(step.event, load_settings(), invocations.connect())
    if step.error is not None:
        promotion.report_failure(_stopped(step.error))
        return {"goes_on": False, "failed": True}
    return asyncio.run(_promote(promotion, deadline))


async def _promote(promotion: EventPromotion, deadline: float) -> dict[str, object]:
    try:
        async with invocations.until(deadline, promotion.request.source.name):
            outcome = await promotion.run(invocations.hand_off_time(deadline))
        promotion.report(outcome)
    except NotWanted:
        log(msgspec.convert(promotion.origin, PromotionSkipped))
    except Unfinished as unfinished:
        counts = unfinished.counts
        if not counts.copied:
            raise _too_large(promotion) from None
        fields = {**promotion.origin, "copied": counts.copied, "present": counts.present}
        log(msgspec.convert(fields, PromotionContinues))
        return {"goes_on": True, "failed": False}
    except Rejected as rejection:
        promotion.report_failure(rejection)
        return {"goes_on": False, "failed": True}
    except Exception as error:  # noqa: BLE001 - raised again
        failure = invocations.as_failure(error)
        promotion.log_failure(failure, final=False)
        raise failure from failure.__cause__
    return {"goes_on": False, "failed": False}


def _too_large(promotion: EventPromotion) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"{promotion.request.source.name} cannot be copied in steps of one invocation.",
        why="An invocation passed in which no object was finished: one is too large, or the "
        "copies that exist already are too many to compare.",
        remedy="Promote it by quilt-packager promote, which has no deadline.",
    )


def _stopped(error: StateError) -> PromotionStopped:
    return PromotionStopped(
        f"The promotion failed on every attempt: {quote(error.error)}.",
        why=f"Its cause is {quote(error.cause)}.",
        remedy="Correct it, and promote by quilt-packager promote.",
    )
