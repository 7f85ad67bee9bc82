"""Links to jobs."""

from botocore.stub import Stubber
from quilt_packager_runtime.settings import Settings

from quilt_packager.operations.deployment.deployments import Deployment, connect, find_deployment
from quilt_packager.operations.jobs import links
from quilt_packager.operations.jobs.job import Job, State
from tests.embedded_aws import CreateStack
from tests.operations.job_lines import NOW
from tests.operations.lambda_functions import lambda_function
from tests.operations.state_machines import LARGE_JOBS

CATALOG = "https://catalog.example.com/"
PACKAGE = f"https://catalog.example.com/b/packages/packages/runs/1/tree/{'ab' * 32}"


def job(execution: str | None = None, top_hash: str | None = "ab" * 32) -> Job:
    return Job(
        id="51c0",
        outcome=State.CREATED,
        started=NOW,
        updated=NOW,
        package_name="runs/1",
        registry="packages",
        top_hash=top_hash,
        execution=execution,
    )


def test_catalog_shows_the_revision() -> None:
    assert job().catalog_link(CATALOG) == PACKAGE


def test_without_a_revision_or_a_catalog_there_is_no_catalog_link() -> None:
    assert job(top_hash=None).catalog_link(CATALOG) is None
    assert job().catalog_link(None) is None


def test_a_url_that_runs_code_in_a_browser_is_no_catalog() -> None:
    assert job().catalog_link("javascript:alert(1)//") is None


def test_only_large_jobs_have_an_execution_link(create_stack: CreateStack) -> None:
    create_stack("lab", LARGE_JOBS)
    deployment = find_deployment(connect(), "lab")
    assert links.execution_link(deployment, job()) is None
    link = links.execution_link(deployment, job("51c0"))
    assert link is not None
    machine = (deployment.state_machine_arn or "").rpartition(":")[2]
    assert link.endswith(f"arn:aws:states:us-east-1:123456789012:execution:{machine}:51c0")


def test_the_catalog_is_that_of_the_configuration(create_stack: CreateStack) -> None:
    packager = lambda_function("packager", Settings(catalog_url=CATALOG))
    create_stack("lab", {"EnginePackagerFunction729271DB": packager})
    deployment = find_deployment(connect(), "lab")
    assert links.find_links(deployment, job()) == (PACKAGE, None)
    with Stubber(deployment.functions) as functions:
        functions.add_client_error("get_function_configuration", "AccessDeniedException")
        assert links.find_links(deployment, job()) == (None, None)


def test_without_a_configuration_there_are_no_links(deployment: Deployment) -> None:
    assert links.find_links(deployment, job("51c0")) == (None, None)
