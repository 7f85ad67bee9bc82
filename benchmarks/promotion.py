"""Promotions with copies: many small objects, and one that is copied in parts."""

from benchmarks.goals import Goal
from benchmarks.jobs import Job, Side, registry_of, run_job
from benchmarks.processes import run_module
from benchmarks.progress import Progress
from benchmarks.report import Section
from benchmarks.tables import JOB_COLUMNS, job_row, to_table
from tests.s3_stub.process import StubProcess

GOAL_OBJECTS = 10_000
LARGE_GIB = 6
PART_BYTES = 8 * 2**20
GOAL_REQUESTS_PER_OBJECT = 2.01
GOAL_REPEATED_REQUESTS_PER_OBJECT = 1.02
LIMIT_SECONDS = 900
SMALL, LARGE, TARGET = "small", "large", "production"
STEPS = 4


def run(objects: int, progress: Progress) -> Section:
    """Promote both packages, each twice."""
    registries = [f"--bucket={registry_of(Side.ENGINE, each)}" for each in (SMALL, LARGE)]
    large = f"--synthetic={LARGE}=1,sha256,size={LARGE_GIB * 2**30},part={PART_BYTES}"
    small = f"--synthetic={SMALL}={objects},sha256"
    jobs: dict[str, Job] = {}
    with StubProcess(small, large, f"--bucket={TARGET}", *registries) as stub:
        for bucket, what in ((SMALL, f"{objects:,} objects"), (LARGE, f"{LARGE_GIB} GiB")):
            run_job(stub, Side.ENGINE, bucket, limit_seconds=LIMIT_SECONDS)
            for how in ("copied", "repeated"):
                with progress.step(f"promotion of {what}, {how}"):
                    jobs[f"{what}, {how}"] = promote(stub, bucket)
    first, repeated = (sum(job.requests.values()) / objects for job in list(jobs.values())[:2])
    elsewhere = "" if objects == GOAL_OBJECTS else f"with {objects:,} objects"
    return Section(
        "promotion",
        to_table(
            ["promotion", *JOB_COLUMNS], [[name, *job_row(job)] for name, job in jobs.items()]
        ),
        [
            Goal("requests per object", GOAL_REQUESTS_PER_OBJECT, first, elsewhere=elsewhere),
            Goal(
                "requests per object, repeated",
                GOAL_REPEATED_REQUESTS_PER_OBJECT,
                repeated,
                elsewhere=elsewhere,
            ),
        ],
    )


def promote(stub: StubProcess, bucket: str) -> Job:
    """Promote the package of a bucket's generated objects."""
    stub.reset()
    finished = run_module(
        "benchmarks.promote_package",
        registry_of(Side.ENGINE, bucket),
        f"bench/{bucket}",
        TARGET,
        limit_seconds=LIMIT_SECONDS,
        environment={"AWS_ENDPOINT_URL": stub.url},
    )
    usage = stub.usage()
    return Job(finished.cost, usage.counts, usage.cpu_seconds, finished.output.decode())
