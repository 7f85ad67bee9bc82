"""The command `quilt-packager`.

Results go to stdout; progress, hints and errors go to stderr. Commands import slow packages only
when they need them.
"""

import sys

REQUIRED = ("msgspec", "rich", "typer")


def main() -> None:
    """Run the command with the arguments of this process, and exit with its code."""
    try:
        from quilt_packager.cli.app import run
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in REQUIRED:
            raise
        # Written without the packages that format all other errors: one of them is missing.
        sys.stderr.write(
            f'error: The "cli" extra is not installed.\n'
            f"  why  Python has no module {module}.\n"
            f"  do   pip install 'quilt-packager[cli]'\n"
        )
        sys.exit(3)
    sys.exit(run(sys.argv[1:]))
