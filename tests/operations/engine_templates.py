"""Engines of a template that is not deployed."""

import json
from typing import Any

from quilt_packager.operations.deployment.engines import Engine, Resource, read_engines


def read_template(template: dict[str, Any]) -> list[Engine]:
    """Read the engines of a template; ids stand for the values of a deployment.

    Args:
        template: The template.
    """
    outputs = {key: json.dumps(each["Value"]) for key, each in template["Outputs"].items()}
    resources = [
        Resource(key, each["Type"], each.get("Properties", {}).get("LogGroupName", key))
        for key, each in template["Resources"].items()
    ]
    return read_engines(outputs, resources)
