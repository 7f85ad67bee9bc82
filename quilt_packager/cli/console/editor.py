"""The user's editor."""

import json
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from quilt_packager_runtime.formats.json_documents import read_json
from quilt_packager_runtime.formats.objects import MAX_MESSAGE_BYTES

from quilt_packager.cli.console.errors import Misuse

VARIABLES = ("VISUAL", "EDITOR")
DEFAULT_EDITOR = "vi"


class Draft:
    """A message in a file, which is kept until it is sent.

    Attributes:
        path: The file.
    """

    def __init__(self, body: str) -> None:
        """Write a message to a new file that only its owner may read, indented if it is JSON."""
        self._original = _indent(body)
        handle, name = tempfile.mkstemp(prefix="message-", suffix=".json")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(self._original)
        self.path = Path(name)

    def edit(self) -> str | None:
        """Open the file in the editor; return its text, or None if it is unchanged.

        Raises:
            Misuse: There is no such editor, or it failed.
        """
        editor = next(filter(None, map(os.environ.get, VARIABLES)), DEFAULT_EDITOR)
        try:
            subprocess.run([*shlex.split(editor), str(self.path)], check=True)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise Misuse(
                f"The editor {editor} failed.",
                why=f"Nothing was sent, and {self.path} has the message.",
                remedy="Set VISUAL or EDITOR to the command of an editor that waits.",
            ) from error
        text = self.path.read_text("utf-8")
        return None if text.strip() == self._original.strip() else text.strip()

    def delete(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)


def _indent(body: str) -> str:
    try:
        fields = read_json(body, max_bytes=MAX_MESSAGE_BYTES)
    except ValueError:
        return body
    return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"
