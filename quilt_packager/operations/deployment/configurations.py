"""How a deployed engine does its jobs: what its construct was given."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

import msgspec
from quilt_packager_runtime.settings import Settings

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

MEMORY_MIB = 2048
"""The memory of a function, unless the construct says otherwise."""

SCRATCH_BUCKET = "scratch-bucket"
STATE_MACHINE = "large-jobs"
"""Names for what each engine has, where there is none: nothing is sent there."""


class Configuration(msgspec.Struct, frozen=True):
    """What an engine does its jobs with.

    Attributes:
        settings: Its settings.
        memory_mib: The memory of its functions.
    """

    settings: Settings = Settings()
    memory_mib: int = MEMORY_MIB

    @classmethod
    def usual(cls, environment: Mapping[str, str]) -> Self:
        """What an engine has that was given no props, for plans without one.

        Args:
            environment: May hold settings, by the names that the packager knows them by.
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
        """The bucket that packages go to, if it can only be one."""
        settings = self.settings
        if settings.default_registry is not None:
            return settings.default_registry
        if len(settings.registry_buckets) == 1:
            return settings.registry_buckets[0]
        return None


def read_configuration(deployment: "Deployment") -> Configuration:
    """Ask a deployed engine how it does its jobs.

    Args:
        deployment: The engine.

    Returns:
        Its configuration; that of an engine with no props if its packager is not found.
    """
    if deployment.packager is None:
        return Configuration()
    answer = deployment.functions.get_function_configuration(FunctionName=deployment.packager)
    variables = answer.get("Environment", {}).get("Variables", {})
    return Configuration(Settings.from_environment(variables), answer["MemorySize"])
