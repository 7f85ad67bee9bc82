"""Options and arguments that several commands share: engine, credentials, message and format."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from quilt_packager_runtime.formats.names import check_package_name, parse_registry

from quilt_packager.cli.console.errors import Misuse
from quilt_packager.cli.console.usage import sentence

if TYPE_CHECKING:
    from quilt_packager_runtime.formats.objects import SourceFolder

    from quilt_packager.operations.deployment.deployments import Deployment

StackOption = Annotated[
    str | None,
    typer.Option(
        "--stack",
        metavar="NAME",
        help="Stack of the engine, or STACK/ENGINE if the stack has several. Default: the only "
        "engine in the region.",
    ),
]
ProfileOption = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="AWS configuration profile.")
]
RegionOption = Annotated[
    str | None, typer.Option("--region", metavar="NAME", help="AWS region, such as us-east-1.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
MessageArgument = Annotated[
    str,
    typer.Argument(
        metavar="MESSAGE",
        help="Folder, such as s3://bucket/folder/, or message in JSON, or @FILE, or - for stdin.",
        show_default=False,
    ),
]

RegistryOption = Annotated[
    str | None,
    typer.Option(
        "--registry",
        metavar="BUCKET",
        help="Bucket with the package. Default: the engine's registry, if it has one only.",
    ),
]

SourcesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        metavar="URI=PLACE",
        help="Another folder of the package, such as s3://bucket/folder/=place/. Can be repeated; "
        "MESSAGE may have a place too.",
    ),
]

JSON_STARTS = ("{", "[", '"', "")


def find(stack: str | None, profile: str | None, region: str | None) -> "Deployment":
    """Find the engine that the options select. The result remembers the options."""
    from quilt_packager.operations.deployment.deployments import Options, connect, find_deployment

    deployment = find_deployment(connect(profile, region), stack)
    deployment.options = Options(deployment.name if stack else None, profile, region)
    return deployment


def check_name(name: str) -> None:
    """Check the name of a package.

    Raises:
        Misuse: It is not valid.
    """
    try:
        check_package_name(name)
    except ValueError as error:
        raise Misuse(
            f"Invalid package name: {name}",
            why=sentence(str(error)),
            remedy="Correct the name.",
        ) from None


def parse_registry_argument(text: str) -> str:
    """Parse the name of a registry's bucket.

    Raises:
        Misuse: It is not valid.
    """
    try:
        return parse_registry(text)
    except ValueError as error:
        raise Misuse(
            f"Invalid registry: {text}",
            why=sentence(str(error)),
            remedy="Use the name of a bucket.",
        ) from None


def find_registry(
    registry: str | None, stack: str | None, profile: str | None, region: str | None
) -> str:
    """Return the bucket that --registry names; without it, the engine's only registry.

    Raises:
        Misuse: It is not the name of a bucket, or the engine has several.
    """
    if registry is not None:
        return parse_registry_argument(registry)
    from quilt_packager.operations.deployment.configurations import read_configuration

    deployment = find(stack, profile, region)
    found = read_configuration(deployment).registry
    if found is None:
        raise Misuse(
            "No registry selected.",
            why=f"The engine {deployment.name} writes to several buckets.",
            remedy="--registry BUCKET",
        )
    return found


def to_body(message: str, more: Sequence[str] = ()) -> str:
    """Convert a MESSAGE argument to the body of a message.

    Args:
        message: The argument.
        more: Further sources, as `s3://bucket/folder/=place/`.

    Raises:
        Misuse: The message is in JSON, which names its sources itself.

    Example:
        >>> to_body("s3://raw/runs/42/")
        '{"source_prefix": "s3://raw/runs/42/"}'
        >>> to_body('{"source_prefix": "s3://raw/runs/42/"}')
        '{"source_prefix": "s3://raw/runs/42/"}'
    """
    text = message.strip()
    # Text that is not JSON is meant as a folder, so that errors explain the form of folders.
    is_json = text[:1] in JSON_STARTS
    if not more:
        return message if is_json else json.dumps({"source_prefix": text})
    if is_json:
        raise Misuse(
            "--source cannot be combined with a message in JSON.",
            why="The message has its own sources.",
            remedy="Add them to sources in the message.",
        )
    return json.dumps({"sources": [_parse_source(each) for each in (text, *more)]})


def _parse_source(text: str) -> dict[str, str]:
    """Split `s3://bucket/folder/=place/`.

    Example:
        >>> _parse_source("s3://raw/date=2026/=raw/")
        {'prefix': 's3://raw/date=2026/', 'into': 'raw/'}
    """
    prefix, is_placed, into = text.rpartition("/=")
    return {"prefix": f"{prefix}/", "into": into} if is_placed else {"prefix": text}


def parse_folder_argument(text: str) -> "SourceFolder":
    """Parse the URI of a folder, with or without its last `/`.

    Raises:
        Misuse: It is not an S3 URI.
    """
    from quilt_packager.operations.folders.contents import parse_folder

    try:
        return parse_folder(text)
    except ValueError as error:
        raise Misuse(
            f"Invalid folder: {text}",
            why=sentence(str(error)),
            remedy="Give it as s3://bucket/folder/.",
        ) from None
