"""`quilt-packager explain`: the reasons why a folder was packaged, or was not."""

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from quilt_packager.cli.commands.job_rows import COLUMNS, job_row
from quilt_packager.cli.commands.jobs import read_since
from quilt_packager.cli.commands.jobs import to_json as job_to_json
from quilt_packager.cli.console.exits import Exit
from quilt_packager.cli.console.options import (
    JsonOption,
    ProfileOption,
    RegionOption,
    StackOption,
    find,
    parse_folder_argument,
)
from quilt_packager.cli.console.tables import Row
from quilt_packager.cli.console.terminal import Terminal

if TYPE_CHECKING:
    from quilt_packager.operations.folders.answer import Answer
    from quilt_packager.operations.folders.history import FolderHistory

MAX_JOBS = 5


def explain(
    folder: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER", help="Folder, such as s3://bucket/folder/.", show_default=False
        ),
    ],
    *,
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="Start of the search for jobs: an age or a date.")
    ] = "7d",
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Explain why a folder was packaged, or was not.

    Shows which event sources package it, and what the others leave out; its jobs and dead letters;
    and the newest revision of its package. The dead letters are hidden for a moment. Nothing is
    changed.

    Examples:
      quilt-packager explain s3://raw/runs/42/
      quilt-packager explain s3://raw/runs/42/ --since 30d --json
    """
    from quilt_packager.operations.deployment.credentials import connect_s3
    from quilt_packager.operations.folders.answer import answer
    from quilt_packager.operations.folders.history import read_history

    terminal = Terminal()
    wanted, moment = parse_folder_argument(folder), read_since(since)
    deployment = find(stack, profile, region)
    s3 = connect_s3(profile, region)
    history = asyncio.run(read_history(deployment, wanted, s3, since=moment))
    found = answer(deployment, history)
    if as_json:
        fields = msgspec.to_builtins(history, builtin_types=(datetime,))
        jobs = [job_to_json(each) for each in history.jobs]
        terminal.json({"answer": msgspec.to_builtins(found), **fields, "jobs": jobs})
    else:
        _write(terminal, history, found)
    return Exit.OK


def _write(terminal: Terminal, history: "FolderHistory", found: "Answer") -> None:
    from quilt_packager.operations.folders.answer import describe_contents

    newest = history.contents.newest
    written = [f"newest {terminal.when(newest)}"] if newest else []
    terminal.title(history.folder, describe_contents(history), *written)
    terminal.write()
    terminal.write(found.happened)
    terminal.fields(
        (label, text) for label, text in (("why", found.why), ("do", found.remedy)) if text
    )
    if history.sources:
        terminal.write()
        rows = [
            Row([each.title, each.verdict.value], f"{each.why} {each.remedy}".strip())
            for each in history.sources
        ]
        terminal.table(["SOURCE", "THIS FOLDER"], rows)
    if history.jobs:
        terminal.write()
        terminal.table(COLUMNS, [job_row(terminal, each) for each in history.jobs[:MAX_JOBS]])
    facts = [
        ("Dead letter", f"{each.code}, sent {terminal.when(each.sent)}, id {each.id}")
        for each in history.failures
    ]
    if history.revision is not None:
        package = f"{history.package_name} in {history.registry}"
        published = history.revision.published
        when = f", {terminal.when(published)}" if published else ""
        facts.append(("Newest revision", f"{package}, {history.revision.top_hash}{when}"))
    if facts:
        terminal.write()
        terminal.facts(facts)
