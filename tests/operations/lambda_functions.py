"""Functions as CloudFormation makes them, with the environment of the packager's."""

from quilt_packager_runtime.settings import Settings


def lambda_function(handler: str, settings: Settings) -> dict[str, object]:
    """A resource of a template.

    Args:
        handler: The module of the runtime's handlers.
        settings: What its environment says.
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
