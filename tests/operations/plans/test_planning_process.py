"""Plans in a child process, with the S3 stub."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest
from quilt_packager_runtime.errors import S3Error
from quilt_packager_runtime.settings import Settings

from quilt_packager.operations.plans.plan import Plan
from quilt_packager.operations.plans.planning_process import PlanNotFinished, plan_in_process
from tests.conftest import CREDENTIALS
from tests.package_requests import request_of
from tests.running import children_of
from tests.s3_stub import S3Stub

MESSAGE = {
    "source_prefix": "s3://raw/runs/1/",
    "metadata": {"é": [2**70, 1e-07, "\u2028"], "none": None},
}


Children = Callable[[], list[int]]


@pytest.fixture(autouse=True)
def endpoint(s3_stub: S3Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stub, as the child finds it in its environment."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_stub.url)


@pytest.fixture
def children() -> Children:
    """The processes that the test started."""
    before = children_of(os.getpid())
    return lambda: [each for each in children_of(os.getpid()) if each not in before]


async def make(**options: Any) -> Plan:
    return await plan_in_process(
        request_of(MESSAGE),
        settings=Settings(registry_buckets=("raw",)),
        memory_mib=2048,
        **options,
    )


async def test_plan_is_that_of_the_planner(s3_stub: S3Stub) -> None:
    s3_stub.create_bucket("raw").put("runs/1/a.txt", b"a")
    made = await make()
    assert (made.package_name, made.revision, made.refusals) == ("runs/1", 1, ())
    assert made.contents is not None
    assert made.contents.objects == 1
    assert made.estimate is not None


async def test_credentials_are_those_of_the_environment(s3_stub: S3Stub) -> None:
    s3_stub.create_bucket("raw").put("runs/1/a.txt", b"a")
    await make()
    used = {each.access_key for each in s3_stub.requests}
    assert used == {CREDENTIALS["AWS_ACCESS_KEY_ID"]}


async def test_error_of_s3_is_raised(s3_stub: S3Stub) -> None:
    s3_stub.create_bucket("raw").put("runs/1/a.txt", b"a")
    s3_stub.on("ListObjectVersions").answer(400, "InvalidRequest")
    with pytest.raises(S3Error, match="InvalidRequest"):
        await make()


async def test_plan_that_takes_too_long_is_killed(s3_stub: S3Stub, children: Children) -> None:
    s3_stub.create_bucket("raw")
    s3_stub.on("*").pause_before()
    with pytest.raises(PlanNotFinished, match=r"more than 0\.1 s"):
        await make(limit_seconds=0.1)
    assert not children()


async def test_cancelled_plan_leaves_no_child(s3_stub: S3Stub, children: Children) -> None:
    s3_stub.create_bucket("raw")
    pause = s3_stub.on("*").pause_before()
    making = asyncio.create_task(make())
    await pause.reached()
    assert len(children()) == 1
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert not children()


async def test_killed_child_is_an_error(s3_stub: S3Stub, children: Children) -> None:
    s3_stub.create_bucket("raw")
    pause = s3_stub.on("*").pause_before()
    making = asyncio.create_task(make())
    await pause.reached()
    (child,) = children()
    os.kill(child, 9)
    with pytest.raises(PlanNotFinished, match="ended with code -9"):
        await making
