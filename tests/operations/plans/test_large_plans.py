"""A plan of a large job, compared with the job."""

import asyncio

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.handlers import invocations

from quilt_packager.operations.plans.planner import plan
from quilt_packager.operations.plans.prices import count_kinds
from tests.large_job_functions import BODY, LargeJobs
from tests.package_requests import request_of
from tests.s3_stub import S3Stub


def test_shards_and_requests_are_those_of_the_job(
    large_jobs: LargeJobs, s3: S3, s3_stub: S3Stub
) -> None:
    made = asyncio.run(
        plan(request_of(BODY), settings=invocations.load_settings(), s3=s3, exact=True)
    )
    s3_stub.forget_requests()
    state = large_jobs.hand_off()
    large_jobs.hash_shards(state)
    large_jobs.publish(state)
    assert made.route is not None
    assert made.route.shards == len(large_jobs.items(state))
    assert made.estimate is not None
    assert made.estimate.requests == count_kinds(s3_stub.counts)
