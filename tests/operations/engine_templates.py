"""Engines as a template has them that is deployed nowhere."""

import json
from typing import Any

from quilt_packager.operations.deployment.engines import Engine, Resource, read_engines


def read_template(template: dict[str, Any]) -> list[Engine]:
    """The engines of a template, its own words in place of what they would be once deployed.

    Args:
        template: The template.
    """
    outputs = {key: json.dumps(each["Value"]) for key, each in template["Outputs"].items()}
    resources = [
        Resource(key, each["Type"], each.get("Properties", {}).get("LogGroupName", key))
        for key, each in template["Resources"].items()
    ]
    return read_engines(outputs, resources)
