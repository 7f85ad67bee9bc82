"""The options of many commands: which engine, by whose credentials, and for whom to write."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

StackOption = Annotated[
    str | None,
    typer.Option(
        "--stack",
        metavar="NAME",
        help="The engine's stack; of several engines in one, STACK/ENGINE. Default: the only "
        "engine that there is.",
    ),
]
ProfileOption = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="A profile of AWS's configuration.")
]
RegionOption = Annotated[
    str | None, typer.Option("--region", metavar="NAME", help="The AWS region, as us-east-1.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON, for a program.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def find(stack: str | None, profile: str | None, region: str | None) -> "Deployment":
    """Find the engine that a command is about; it knows by which options.

    Args:
        stack: As `StackOption`.
        profile: As `ProfileOption`.
        region: As `RegionOption`.
    """
    from quilt_packager.operations.deployment.deployments import Options, connect, find_deployment

    deployment = find_deployment(connect(profile, region), stack)
    deployment.options = Options(deployment.name if stack else None, profile, region)
    return deployment
