"""Plans a package in a child process, which can be killed whatever it is doing.

In a thread, a pattern or a document that takes years would hold up all other threads, and nothing
could end it: the limits of `cpu_limits` apply in the main thread only, which the child has.
"""

import asyncio
import signal
import sys
from contextlib import suppress
from math import ceil

import msgspec
from quilt_packager_runtime import errors
from quilt_packager_runtime.errors import ExplainedError, Explanation, PackagerError
from quilt_packager_runtime.requests.package_request import UnresolvedRequest
from quilt_packager_runtime.settings import Settings

from quilt_packager.operations.deployment.credentials import connect_s3
from quilt_packager.operations.errors import OperationError
from quilt_packager.operations.plans.plan import Plan
from quilt_packager.operations.plans.planner import plan

LIMIT_SECONDS = 120
"""Time for a plan: enough to list some million objects."""


_running: set[asyncio.subprocess.Process] = set()


class PlanNotFinished(OperationError):
    """The plan took too long, or its process ended without an answer."""


class Order(msgspec.Struct, frozen=True):
    """A plan to make.

    Attributes:
        request: Packaging request.
        settings: Settings of the engine.
        memory_mib: Memory of the engine's functions.
        profile: Profile of the AWS configuration; None for that of the environment.
        region: Region; None for that of the AWS configuration.
        limit_seconds: Time after which the child ends by itself, if its parent cannot end it.
    """

    request: UnresolvedRequest
    settings: Settings
    memory_mib: int
    profile: str | None
    region: str | None
    limit_seconds: float


class _Planned(msgspec.Struct, tag=True):
    plan: Plan


class _Failed(msgspec.Struct, tag=True):
    error: Explanation


async def plan_in_process(
    request: UnresolvedRequest,
    *,
    settings: Settings,
    memory_mib: int,
    profile: str | None = None,
    region: str | None = None,
    limit_seconds: float = LIMIT_SECONDS,
) -> Plan:
    """Plan the package of a request as `planner.plan` does. The child ends if the task does.

    The child reads the order from its standard input: arguments and variables are visible to
    other programs, and the order has metadata. Its AWS configuration is that of this process.

    Raises:
        PackagerError: S3 failed.
        PlanNotFinished: There was no plan in time.
    """
    order = Order(request, settings, memory_mib, profile, region, limit_seconds)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", __name__),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # Ctrl-C in a terminal reaches the page alone, which ends the child.
        start_new_session=True,
    )
    _running.add(process)
    try:
        async with asyncio.timeout(limit_seconds):
            answer, _ = await process.communicate(msgspec.json.encode(order))
    except TimeoutError:
        raise _not_finished(f"It took more than {limit_seconds:g} s") from None
    finally:
        _running.discard(process)
        _kill(process)
        await process.wait()
    return _read(answer, process.returncode)


def end_plans() -> None:
    """Kill all children, before this process ends."""
    for process in _running:
        _kill(process)


def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()


def _read(answer: bytes, exit_code: int | None) -> Plan:
    try:
        read = msgspec.json.decode(answer, type=_Planned | _Failed)
    except msgspec.DecodeError:
        raise _not_finished(f"Its process ended with code {exit_code}") from None
    if isinstance(read, _Planned):
        return read.plan
    failure = read.error
    kind: type[ExplainedError] = getattr(errors, failure.code)
    raise kind(failure.happened, why=failure.why, remedy=failure.remedy)


def _not_finished(why: str) -> PlanNotFinished:
    return PlanNotFinished(
        "The plan was not finished.",
        why=f"{why}: the folder is very large, S3 is slow, or rules of the registry take too long.",
        remedy="Run quilt-packager plan in a terminal, which has no time limit.",
    )


def answer_order() -> None:
    """Read an order from standard input, and write the plan to standard output."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    if hasattr(signal, "alarm"):
        signal.alarm(ceil(order.limit_seconds))
    made = asyncio.run(_answer(order))
    sys.stdout.buffer.write(msgspec.json.encode(made))


async def _answer(order: Order) -> _Planned | _Failed:
    try:
        made = await plan(
            order.request,
            settings=order.settings,
            s3=connect_s3(order.profile, order.region),
            memory_mib=order.memory_mib,
        )
    except PackagerError as error:
        return _Failed(error.explanation)
    return _Planned(made)


if __name__ == "__main__":
    answer_order()
