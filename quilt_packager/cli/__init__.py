"""The command `quilt-packager`.

Results go to stdout; progress, hints and errors to stderr. What is slow to import is imported
by the command that needs it.
"""

import sys

NEEDED = ("msgspec", "rich", "typer")


def main() -> None:
    """Run the command with the arguments of this process, and exit with its code."""
    try:
        from quilt_packager.cli.app import run
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in NEEDED:
            raise
        # Written by hand: what writes the other errors is what is missing.
        sys.stderr.write(
            f'error: The "cli" extra is not installed.\n'
            f"  why  There is no module {module} in this Python.\n"
            f"  do   pip install 'quilt-packager[cli]'\n"
        )
        sys.exit(3)
    sys.exit(run(sys.argv[1:]))
