"""Functions as CloudFormation creates them, with the environment of the packager."""

from quilt_packager_runtime.settings import Settings


def lambda_function(handler: str, settings: Settings) -> dict[str, object]:
    """Make a resource of a template.

    Args:
        handler: Module of the handlers of the runtime.
        settings: Settings in its environment.
    """
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.13",
            "Handler": f"quilt_packager_runtime.handlers.{handler}.handler",
            "Role": "arn:aws:iam::123456789012:role/packager",
            "Code": {"ZipFile": "def handler(event, context): ..."},
            "MemorySize": 4096,
            "Environment": {"Variables": settings.to_environment()},
        },
    }
