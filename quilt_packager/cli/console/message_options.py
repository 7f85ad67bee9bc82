"""Options that describe a package, for the commands that take a MESSAGE."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from quilt_packager_runtime.errors import InvalidMessage

from quilt_packager.cli.console.errors import Misuse
from quilt_packager.cli.console.options import to_body

NameOption = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="Name of the package.")
]
MetadataOption = Annotated[
    list[str] | None,
    typer.Option(
        "--metadata",
        metavar="KEY=VALUE",
        help="Field of the package's metadata. A value such as 42 or true is read as JSON, "
        "any other as text. Can be repeated.",
    ),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="GLOB",
        help="Leave out objects with a matching path. Can be repeated.",
    ),
]
TargetOption = Annotated[
    str | None,
    typer.Option("--registry", metavar="BUCKET", help="Bucket that gets the package."),
]
WorkflowOption = Annotated[
    str | None,
    typer.Option("--workflow", metavar="NAME", help="Workflow of the registry. '' means none."),
]


class MessageFields(NamedTuple):
    """The values of the options that describe a package."""

    name: str | None = None
    metadata: Sequence[str] | None = None
    exclude: Sequence[str] | None = None
    registry: str | None = None
    workflow: str | None = None


def read_body(message: str, more: Sequence[str] | None, options: MessageFields) -> str:
    """Return the body of a message from the arguments of a command.

    Args:
        message: Folder, message in JSON, `@` and the name of its file, or `-` for stdin.
        more: Further sources.
        options: Fields of the message, which replace those that it has.

    Raises:
        Misuse: The file cannot be read, an option is not valid, or the message takes none.
    """
    from quilt_packager_runtime.requests.messages import read_fields, with_fields

    body = to_body(_read_argument(message), more or ())
    fields = _fields_of(options)
    if not fields:
        return body
    try:
        if "metadata" in fields:
            present = read_fields(body).get("metadata")
            if isinstance(present, dict):
                fields["metadata"] = {**present, **fields["metadata"]}
        return with_fields(body, fields)
    except InvalidMessage as error:
        raise Misuse(
            "Options that describe a package need a folder, or a message in JSON.",
            why=error.why,
            remedy="Correct the message.",
        ) from error


def _read_argument(message: str) -> str:
    if message == "-":
        return sys.stdin.read()
    if not message.startswith("@"):
        return message
    try:
        return Path(message[1:]).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = "It is not UTF-8." if isinstance(error, UnicodeDecodeError) else f"{error.strerror}."
        raise Misuse(
            f"The file {message[1:]} cannot be read.",
            why=why,
            remedy="Give @ and the name of a file with a message in JSON.",
        ) from error


def _fields_of(options: MessageFields) -> dict[str, Any]:
    fields = {
        "package_name": options.name,
        "metadata": _parse_metadata(options.metadata) if options.metadata else None,
        "exclude": list(options.exclude) if options.exclude else None,
        "registry": options.registry,
        "workflow": options.workflow,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _parse_metadata(texts: Sequence[str]) -> dict[str, Any]:
    """Parse `KEY=VALUE`.

    Example:
        >>> _parse_metadata(["run=42", "batch=007", "note=a=b", 'tags=["x"]'])
        {'run': 42, 'batch': '007', 'note': 'a=b', 'tags': ['x']}
    """
    metadata: dict[str, Any] = {}
    for text in texts:
        key, is_pair, value = text.partition("=")
        if not (key and is_pair):
            raise Misuse(
                f"Invalid --metadata: {text}",
                why="It has no key, or no = after its key.",
                remedy="--metadata run=42",
            )
        try:
            metadata[key] = json.loads(value)
        except ValueError:
            metadata[key] = value
    return metadata
