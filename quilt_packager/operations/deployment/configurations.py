"""The configuration of a deployed engine."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

import msgspec
from quilt_packager_runtime.settings import Settings
from quilt_packager_runtime.settings.upload_settings import UploadSettings

from quilt_packager.contract import COALESCER_FUNCTION, DEFAULT_MEMORY_MEBIBYTES

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

SCRATCH_BUCKET = "scratch-bucket"
STATE_MACHINE = "large-jobs"
"""Placeholders for resources of an engine that does not exist: no request goes there."""


class Configuration(msgspec.Struct, frozen=True):
    """Configuration of an engine.

    Attributes:
        settings: Settings of the functions.
        memory_mib: Memory of the functions.
    """

    settings: Settings = Settings()
    memory_mib: int = DEFAULT_MEMORY_MEBIBYTES

    @classmethod
    def usual(cls, environment: Mapping[str, str]) -> Self:
        """Assume an engine without props, for plans without an engine.

        Args:
            environment: Environment variables, which may override settings.
        """
        given = Settings.from_environment(environment)
        return cls(
            msgspec.structs.replace(
                given,
                scratch_bucket=given.scratch_bucket or SCRATCH_BUCKET,
                state_machine_arn=given.state_machine_arn or STATE_MACHINE,
            )
        )

    @property
    def registry(self) -> str | None:
        """The registry, if there is only one."""
        settings = self.settings
        if settings.default_registry is not None:
            return settings.default_registry
        if len(settings.registry_buckets) == 1:
            return settings.registry_buckets[0]
        return None


def read_configuration(deployment: "Deployment") -> Configuration:
    """Read the configuration of an engine; the default one if its function was not found."""
    if deployment.packager is None:
        return Configuration()
    answer = deployment.functions.get_function_configuration(FunctionName=deployment.packager)
    variables = answer.get("Environment", {}).get("Variables", {})
    return Configuration(Settings.from_environment(variables), answer["MemorySize"])


def read_upload_settings(deployment: "Deployment") -> list[UploadSettings]:
    """Read the settings of the coalescers of an engine: one for each source of uploads."""
    client = deployment.functions
    environments = (
        client.get_function_configuration(FunctionName=each.physical_id).get("Environment", {})
        for each in deployment.resources
        if each.type == "AWS::Lambda::Function" and COALESCER_FUNCTION in each.logical_id
    )
    return [
        UploadSettings.from_environment(environment.get("Variables", {}))
        for environment in environments
    ]
