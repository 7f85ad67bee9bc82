"""The workflows of a registry, for a person who chooses one."""

from typing import Any

import msgspec
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.workflows.gate import CONFIG_KEY, MAX_DOCUMENT_BYTES


class KnownWorkflows(msgspec.Struct, frozen=True):
    """The workflows of a registry.

    Attributes:
        names: Their ids, in the order of the configuration; empty without workflows.
        default: Id of the registry's default; None if it has none.
        is_required: A package must choose one.
    """

    names: tuple[str, ...] = ()
    default: str | None = None
    is_required: bool = False


class _Config(msgspec.Struct):
    workflows: dict[str, Any]
    default_workflow: str | None = None
    is_workflow_required: bool = True


async def find_workflows(s3: S3, registry: str) -> KnownWorkflows:
    """Read the ids of a registry's workflows. Their rules are not read: a job checks them.

    Raises:
        PackagerError: S3 denied it, or failed.
        ValueError: The configuration is too large, or not one of workflows.
    """
    found = await s3.read_if_exists(S3Uri(registry, CONFIG_KEY), max_bytes=MAX_DOCUMENT_BYTES + 1)
    if found is None:
        return KnownWorkflows()
    if found.size_bytes > MAX_DOCUMENT_BYTES:
        raise ValueError(f"{CONFIG_KEY} has more than {MAX_DOCUMENT_BYTES:,} bytes")
    return _read(found.data)


def _read(data: bytes) -> KnownWorkflows:
    import yaml

    try:
        config = yaml.safe_load(data)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{CONFIG_KEY} is not YAML") from error
    try:
        read = msgspec.convert(config, _Config)
    except msgspec.ValidationError as error:
        raise ValueError(f"{CONFIG_KEY} is not a configuration of workflows: {error}") from error
    return KnownWorkflows(tuple(read.workflows), read.default_workflow, read.is_workflow_required)
