"""The MESSAGE that a command takes: a message's JSON, or only the folder's URI."""

import json
from typing import Annotated

import typer

MessageArgument = Annotated[
    str,
    typer.Argument(
        metavar="MESSAGE",
        help="A folder, as s3://bucket/folder/, or a message as JSON.",
        show_default=False,
    ),
]

JSON_STARTS = ("{", "[", '"', "")


def to_body(message: str) -> str:
    """The body that a message would have in the queue.

    Args:
        message: What the user typed.

    Example:
        >>> to_body("s3://raw/runs/42/")
        '{"source_prefix": "s3://raw/runs/42/"}'
        >>> to_body('{"source_prefix": "s3://raw/runs/42/"}')
        '{"source_prefix": "s3://raw/runs/42/"}'
    """
    text = message.strip()
    # What is no JSON was meant as a folder: its errors then tell how folders are written.
    return message if text[:1] in JSON_STARTS else json.dumps({"source_prefix": text})
