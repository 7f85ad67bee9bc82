"""Flags of the last deployment that a new deployment drops, as `-c` lasts for one deployment."""

import json
from collections.abc import Mapping
from typing import Any

from aws_cdk import Annotations, Token

from quilt_packager import contract
from quilt_packager.app.flags import DEFAULTS
from quilt_packager.app.stack import PackagingEngineStack

CONNECT_SECONDS = 2
READ_SECONDS = 5
WARNING_ID = "quilt-packager:dropped-flags"


def warn_of_dropped_flags(stack: PackagingEngineStack) -> None:
    """Warn of flags that the deployed stack has and this synthesis does not.

    Without boto3, credentials, an answer of AWS or a deployed stack there is no warning. Commands
    that deploy nothing, such as `cdk list`, ask for nothing.
    """
    if not stack.bundling_required:
        return
    deployed = _read_deployed_flags(stack.stack_name, stack.region)
    dropped = find_dropped(deployed, stack.flags.differing())
    if dropped:
        lines = ",\n".join(
            f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in dropped.items()
        )
        Annotations.of(stack).add_warning_v2(
            WARNING_ID,
            f"{stack.stack_name} was deployed with flags that this deployment resets. A flag that "
            f"is given by -c lasts for one deployment. To keep them, set in the context of "
            f"cdk.json:\n{lines}",
        )


def find_dropped(deployed: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Find deployed flags that are the defaults now, or lack some of their items.

    Args:
        deployed: Flags of the last deployment that were not the defaults.
        given: Flags of this synthesis that are not the defaults.

    Example:
        >>> find_dropped(
        ...     {"quilt:source_buckets": ["raw", "runs"], "quilt:omics": False},
        ...     {"quilt:source_buckets": ["runs"]},
        ... )
        {'quilt:source_buckets': ['raw', 'runs'], 'quilt:omics': False}
    """
    known = {contract.FLAG_PREFIX + name for name in DEFAULTS.__struct_fields__}
    return {
        name: value
        for name, value in deployed.items()
        if name in known and (name not in given or _lacks_items(given[name], value))
    }


def _lacks_items(given: object, deployed: object) -> bool:
    if isinstance(given, list | dict) and isinstance(deployed, list | dict):
        return not set(deployed) <= set(given)
    return False


def _read_deployed_flags(stack_name: str, region: str) -> dict[str, Any]:
    """Read the flags of a deployed stack; an empty result if they are not to be had."""
    try:
        import boto3  # noqa: PLC0415 - an optional dependency
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    except ImportError:
        return {}
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": 1},
    )
    known_region = None if Token.is_unresolved(region) else region
    try:
        client = boto3.client("cloudformation", region_name=known_region, config=config)
        template = client.get_template(StackName=stack_name)["TemplateBody"]
    except (BotoCoreError, ClientError):
        return {}
    # boto3 parses the JSON that the CDK deploys. A stack of YAML is not this app's.
    metadata = template.get("Metadata", {}) if isinstance(template, dict) else {}
    flags: dict[str, Any] = metadata.get(contract.FLAGS_METADATA) or {}
    return flags
