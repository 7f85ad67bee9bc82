"""Registration of commands with Typer: their order, examples and special options."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import typer
from typer.core import TyperGroup

from quilt_packager.cli.console.errors import Misuse

Command: TypeAlias = Callable[..., int] | typer.Typer
"""A command or a group of commands, whose docstring or `help` ends in examples."""

EXAMPLES = "\nExamples:\n"

Function = TypeVar("Function", bound=Callable[..., int])

_with_negative_numbers: set[Command] = set()


def takes_negative_numbers(command: Function) -> Function:
    """Let a command take arguments such as `-1`, which are options otherwise.

    The command has to reject unknown options itself.
    """
    _with_negative_numbers.add(command)
    return command


def make_group(name: str, text: str, *, is_command: bool = False) -> typer.Typer:
    """Create a group of commands. With `is_command`, its callback is a command too."""
    return typer.Typer(
        name=name,
        help=text,
        invoke_without_command=is_command,
        rich_markup_mode=None,
    )


def refuse_options(context: typer.Context) -> None:
    """Reject options between a group and its command, which would be ignored.

    Raises:
        Misuse: There are such options.
    """
    if any(was_given(context, name) for name in context.params):
        called = f"{context.command_path} {context.invoked_subcommand}"
        raise Misuse(
            f"Options of {called} go after it.",
            why="Some were given before it.",
            remedy=f"{called} --help",
        )


def was_given(context: typer.Context, name: str) -> bool:
    """Return True if the user typed an option, even with its default value."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def register(app: typer.Typer, commands: Sequence[Command]) -> None:
    """Add commands to the program in order."""
    names = []
    for command in commands:
        names.append(name_of(command))
        text = keep_examples(help_of(command))
        if not isinstance(command, typer.Typer):
            settings = {"ignore_unknown_options": command in _with_negative_numbers}
            app.command(help=text, context_settings=settings)(command)
            continue
        for each in command.registered_commands:
            each.help = keep_examples(each.help or inspect.getdoc(each.callback) or "")
        app.add_typer(command, help=text)

    class InOrder(TyperGroup):
        # Typer lists all commands before all groups.
        def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 - Typer's own
            return names

    app.info.cls = InOrder


def name_of(command: Command) -> str:
    """Return the name of a command."""
    return str(command.info.name) if isinstance(command, typer.Typer) else command.__name__


def help_of(command: Command) -> str:
    """Return the help text of a command as it is in the source."""
    if isinstance(command, typer.Typer):
        return str(command.info.help)
    return inspect.getdoc(command) or ""


def first_example(text: str) -> str:
    r"""Return the first example of a help text, including its continuation lines.

    Example:
        >>> first_example("Do it.\n\nExamples:\n  quilt-packager do 1\n  quilt-packager do 2")
        '  quilt-packager do 1'
    """
    first, *others = inspect.cleandoc(text).partition(EXAMPLES)[2].splitlines()
    rest = []
    for line in others:
        if not line.startswith("   "):
            break
        rest.append(line)
    return "\n".join([first, *rest])


def keep_examples(text: str) -> str:
    """Protect the examples of a help text: Typer does not reflow a paragraph after a backspace."""
    return inspect.cleandoc(text).replace(EXAMPLES, f"\n\b{EXAMPLES}")
