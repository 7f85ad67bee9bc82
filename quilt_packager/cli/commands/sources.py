"""`quilt-packager sources`: event sources and their switches."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.text import Text

from quilt_packager.cli.console.exits import Exit
from quilt_packager.cli.console.options import (
    JsonOption,
    ProfileOption,
    RegionOption,
    StackOption,
    YesOption,
    find,
)
from quilt_packager.cli.console.tables import Cell, Column, Row
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.cli.console.typer_groups import make_group, refuse_options

if TYPE_CHECKING:
    from quilt_packager.operations.jobs.listing import JobList
    from quilt_packager.operations.sources.activity import Activity
    from quilt_packager.operations.sources.sources import Source

HELP = """List, enable or disable the event sources of an engine.

A switch takes effect at once, on the rule in EventBridge, until a deployment changes that rule.
The list shows the differences from the deployment, and how to make each permanent.

Examples:
  quilt-packager sources
  quilt-packager sources disable edp
  quilt-packager sources enable edp --stack prod-packager
"""

app = make_group("sources", HELP, is_command=True)

COLUMNS = (
    Column("SOURCE"),
    Column("NOW"),
    Column("DEPLOYED"),
    Column("24 H", right=True),
    Column("FAILED", right=True),
)


def complete_name(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a source for a shell. On errors from AWS there are no completions."""
    from quilt_packager.operations.sources.sources import list_sources

    options = (context.params.get(name) for name in ("stack", "profile", "region"))
    try:
        names = [each.name for each in list_sources(find(*options))]
    except Exception:  # noqa: BLE001 - completion must not print errors into the command line
        return []
    return [name for name in names if name.startswith(incomplete)]


NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Source, such as omics, wrroc or edp.",
        show_default=False,
        autocompletion=complete_name,
    ),
]


@app.callback()
def sources(
    context: typer.Context,
    *,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """List the event sources of an engine."""
    if context.invoked_subcommand is not None:
        refuse_options(context)
        return Exit.OK
    from quilt_packager.operations.jobs.listing import read_jobs
    from quilt_packager.operations.sources.activity import DAY, count_activity
    from quilt_packager.operations.sources.sources import list_sources

    terminal = Terminal()
    deployment = find(stack, profile, region)
    found = list_sources(deployment)
    now = datetime.now(UTC)
    jobs = read_jobs(deployment, since=now - DAY)
    activity = count_activity(deployment, found, jobs, now=now)
    if as_json:
        for each in found:
            terminal.json(to_json(each, activity[each.name]))
        return Exit.OK
    if not found:
        terminal.hint(f"{deployment.name} has no named event source.")
        return Exit.OK
    rows = [
        Row([each.name, *source_cells(each, activity[each.name])], each.matches) for each in found
    ]
    terminal.table([Column("NAME"), *COLUMNS], rows)
    terminal.gap()
    hint_differences(terminal, found)
    hint_cut_off(terminal, jobs)
    return Exit.OK


@app.command()
def enable(
    name: NameArgument,
    *,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Enable an event source, effective immediately.

    Examples:
      quilt-packager sources enable edp
    """
    return _switch(name, find(stack, profile, region), enabled=True, yes=True, as_json=as_json)


@app.command()
def disable(
    name: NameArgument,
    *,
    yes: YesOption = False,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Disable an event source, after confirmation.

    Events that arrive while it is off are not kept; backfill can find them.

    Examples:
      quilt-packager sources disable edp
      quilt-packager sources disable edp --yes
    """
    return _switch(name, find(stack, profile, region), enabled=False, yes=yes, as_json=as_json)


def source_cells(source: "Source", activity: "Activity") -> Sequence[Cell]:
    """Return the cells of a source for `COLUMNS`."""
    differs = source.differs
    deployed = "-" if source.deployed is None else _on(enabled=source.deployed)
    return [
        source.title,
        Text(_on(enabled=source.enabled), "yellow" if differs else ""),
        Text(f"{deployed:<3}  differs", "yellow") if differs else deployed,
        _count(activity),
        "-" if activity.failed is None else f"{activity.failed:,}",
    ]


def hint_differences(terminal: Terminal, found: Sequence["Source"]) -> None:
    """Write the differences from the deployment, and how to keep each."""
    for each in found:
        if each.differs:
            state = _on(enabled=each.enabled)
            terminal.hint(
                f"{each.title} is {state} until a deployment changes its rule. To keep it {state}:"
            )
            terminal.hint(f"  {each.keep}")  # in its own line, to be copied


def hint_cut_off(terminal: Terminal, jobs: "JobList") -> None:
    """Write a hint if the jobs of the last day were too many to read."""
    if jobs.is_cut_off:
        terminal.hint(f"Too many jobs to count: only {len(jobs):,} were read.")


def to_json(source: "Source", activity: "Activity | None" = None) -> dict[str, Any]:
    """Return a source as JSON."""
    counts: dict[str, Any] = msgspec.to_builtins(activity) if activity else {}
    return {**msgspec.to_builtins(source), "differs": source.differs, **counts}


def _switch(name: str, deployment: Any, *, enabled: bool, yes: bool, as_json: bool) -> int:  # noqa: ANN401 - its type would import boto3
    from quilt_packager.operations.sources.sources import find_source, set_enabled

    terminal = Terminal()
    before = find_source(deployment, name)
    state, other = _on(enabled=enabled), _on(enabled=not enabled)
    if before.enabled == enabled:
        after, summary = before, f"{before.title} is already {state}."
    elif yes or terminal.confirm(
        f"Turn off {before.title}? Events that arrive while it is off are not kept; backfill can "
        "find them."
    ):
        after = set_enabled(deployment, name, enabled=enabled)
        deployed = (
            "" if after.deployed is None else f", and is deployed {_on(enabled=after.deployed)}"
        )
        summary = f"{after.title} is {state} (it was {other}{deployed})."
    else:
        after, summary = before, f"{before.title} stays {other}."
    if as_json:
        terminal.json(to_json(after))
        return Exit.OK
    terminal.write(summary)
    if not after.enabled:
        terminal.hint(
            "Events that arrive while it is off are not kept; backfill can find them later."
        )
    hint_differences(terminal, [after])
    return Exit.OK


def _on(*, enabled: bool) -> str:
    return "on" if enabled else "off"


def _count(activity: "Activity") -> str:
    """Count jobs if known, otherwise events: of uploads, many events become one job."""
    if activity.jobs is not None:
        return f"{activity.jobs:,}"
    return "-" if activity.events is None else f"{activity.events:,} events"
