import pytest
from quilt_packager_runtime.settings import Settings

from quilt_packager.operations.deployment.configurations import Configuration, read_configuration
from quilt_packager.operations.deployment.deployments import Deployment, connect, find_deployment
from tests.embedded_aws import CreateStack
from tests.operations.lambda_functions import lambda_function

SETTINGS = Settings(registry_buckets=("packages",), max_inline_objects=7)


def test_settings_are_those_of_the_packager(create_stack: CreateStack) -> None:
    create_stack(
        "lab",
        {
            "EngineChecksumFunctionA64EB9CB": lambda_function("checksum", Settings()),
            "EnginePackagerFunction729271DB": lambda_function("packager", SETTINGS),
        },
    )
    assert read_configuration(find_deployment(connect())) == Configuration(SETTINGS, 4096)


def test_engine_without_a_packager_has_the_defaults(deployment: Deployment) -> None:
    assert read_configuration(deployment) == Configuration()


@pytest.mark.parametrize(
    ("settings", "registry"),
    [
        (Settings(), None),
        (Settings(default_registry="a", registry_buckets=("a", "b")), "a"),
        (Settings(registry_buckets=("a",)), "a"),
        (Settings(registry_buckets=("a", "b")), None),
    ],
)
def test_registry_is_known_if_there_is_only_one(settings: Settings, registry: str | None) -> None:
    assert Configuration(settings).registry == registry
