"""How commands become those of the program: in order, with their examples, each in one line."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import typer
from typer.core import TyperGroup

from quilt_packager.cli.console.errors import Misuse

Command: TypeAlias = Callable[..., int] | typer.Typer
"""A command, or a group of them; its docstring, or its `help`, ends in examples."""

EXAMPLES = "\nExamples:\n"

Function = TypeVar("Function", bound=Callable[..., int])

_with_negative_numbers: set[Command] = set()


def takes_negative_numbers(command: Function) -> Function:
    """Let arguments of a command be `-1` and its like, which are options otherwise.

    Args:
        command: The command, which has to refuse options that it does not know.
    """
    _with_negative_numbers.add(command)
    return command


def make_group(name: str, text: str, *, does_something: bool = False) -> typer.Typer:
    """Make a group of commands.

    Args:
        name: What it is called by.
        text: Its help, which ends in examples.
        does_something: Whether it does something by itself, in its callback.
    """
    return typer.Typer(
        name=name,
        help=text,
        invoke_without_command=does_something,
        rich_markup_mode=None,
    )


def refuse_options(context: typer.Context) -> None:
    """Refuse options that stand between a group and its command: they would be lost.

    Args:
        context: That of the group.

    Raises:
        Misuse: There are some.
    """
    if any(was_given(context, name) for name in context.params):
        called = f"{context.command_path} {context.invoked_subcommand}"
        raise Misuse(
            f"Options of {called} stand after it.",
            why="Some stand before it.",
            remedy=f"{called} --help",
        )


def was_given(context: typer.Context, name: str) -> bool:
    """Whether a user typed an option, be it with its default.

    Args:
        context: That of the command.
        name: The parameter of its function.
    """
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def register(app: typer.Typer, commands: Sequence[Command]) -> None:
    """Make commands those of the program, in their order.

    Args:
        app: The program.
        commands: The commands.
    """
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
        # Typer has commands first, and groups after them.
        def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 - Typer's own
            return names

    app.info.cls = InOrder


def name_of(command: Command) -> str:
    """What a command is called by.

    Args:
        command: The command.
    """
    return str(command.info.name) if isinstance(command, typer.Typer) else command.__name__


def help_of(command: Command) -> str:
    """The help of a command as it was written.

    Args:
        command: The command.
    """
    if isinstance(command, typer.Typer):
        return str(command.info.help)
    return inspect.getdoc(command) or ""


def first_example(text: str) -> str:
    r"""The first example of a help text, with the lines that it goes on with.

    Args:
        text: The help.

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
    """Mark the examples of a help text: Typer leaves alone what follows a backspace.

    Args:
        text: The help, which ends in its examples.
    """
    return inspect.cleandoc(text).replace(EXAMPLES, f"\n\b{EXAMPLES}")
