"""The template of a deployed stack."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment


def read_template(deployment: "Deployment") -> dict[str, Any]:
    """Read the template of the stack of an engine, as it was deployed."""
    answer = deployment.cloudformation.get_template(StackName=deployment.stack_name)
    body: object = answer["TemplateBody"]
    # boto3 parses JSON, which the CDK deploys, but not YAML.
    return _read_yaml(body) if isinstance(body, str) else dict(body)  # type: ignore[call-overload]


def _read_yaml(text: str) -> dict[str, Any]:
    import yaml

    class Loader(yaml.SafeLoader):
        """Reads the short forms of CloudFormation functions that are used here."""

    def read_function(_: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any] | None:
        match name, node.value:
            case "Ref", str(logical_id):
                return {"Ref": logical_id}
            case "GetAtt", str(path):
                return {"Fn::GetAtt": path.split(".")}
        return None

    Loader.add_multi_constructor("!", read_function)
    read: dict[str, Any] = yaml.load(text, Loader)  # noqa: S506 - a safe loader's
    return read
