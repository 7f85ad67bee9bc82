"""`quilt-packager failures`: what failed and why, and what is to become of it."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from quilt_packager_runtime.errors import InvalidMessage

from quilt_packager import formats
from quilt_packager.cli.commands import make_group
from quilt_packager.cli.errors import Misuse
from quilt_packager.cli.exits import Exit
from quilt_packager.cli.options import (
    JsonOption,
    ProfileOption,
    RegionOption,
    StackOption,
    YesOption,
    find,
)
from quilt_packager.cli.progress import JobProgress
from quilt_packager.cli.tables import Row
from quilt_packager.cli.terminal import Terminal
from quilt_packager.operations.failures import (
    HOLD_SECONDS,
    Done,
    Failure,
    Failures,
    Group,
    choose,
    discard,
    expiring,
    group,
    read_failures,
    retry,
)

if TYPE_CHECKING:
    from quilt_packager.operations.deployments import Deployment

HELP = """Show what failed, by its reason; send it again, or discard it.

Failed messages wait in the dead-letter queue until SQS deletes them, after 14 days by default.

Examples:
  quilt-packager failures
  quilt-packager failures retry --code AccessDenied
  quilt-packager failures discard 3f9a61c2
"""

SHOWN_LETTERS = 10
"""How many messages of a group are listed on a terminal."""

SHOWN_NAMES = 20
"""How many messages are named before they are discarded."""

ID_CHARACTERS = 8

INDENT = "    "
"""What stands before all that is said of a group, below its count and its code."""

app = make_group("failures", HELP, does_something=True)

IdArguments = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID]...", help="Messages, by their ids or how these begin."),
]
AllOption = Annotated[bool, typer.Option("--all", help="All messages.")]
CodeOption = Annotated[
    str | None, typer.Option("--code", metavar="CODE", help="The messages of a code.")
]


@app.callback()
def failures(
    context: typer.Context,
    *,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """List the failures; with --json, one JSON object a line."""
    if context.invoked_subcommand is not None:
        if stack or profile or region or as_json:
            raise Misuse(
                f"Options stand before {context.invoked_subcommand}.",
                why="They would not be its own.",
                remedy=f"quilt-packager failures {context.invoked_subcommand} --help",
            )
        return Exit.OK
    terminal = Terminal()
    with read_failures(find(stack, profile, region)) as read:
        pass
    if as_json:
        for failure in read.letters:
            terminal.json(to_json(failure))
    else:
        write_failures(terminal, read, datetime.now(UTC))
    return Exit.OK


@app.command("retry")
def retry_failures(
    ids: IdArguments = None,
    *,
    everything: AllOption = False,
    code: CodeOption = None,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> int:
    """Send messages again.

    Each is sent before it leaves the dead-letter queue: an interruption loses none, and sends at
    most one twice.

    Examples:
      quilt-packager failures retry 3f9a61c2
      quilt-packager failures retry --code AccessDenied
      quilt-packager failures retry --all --yes
    """
    terminal = Terminal()
    deployment = find(stack, profile, region)
    chosen, _ = _choose(terminal, deployment, ids, code, everything=everything)
    if not chosen:
        return Exit.OK
    if not yes and not terminal.confirm(ask_to_retry(chosen)):
        return Exit.OK
    done = _act(terminal, deployment, chosen, retry, "sent again")
    if as_json:
        sent = [
            {"id": failure.id, "job_id": job_id}
            for failure, job_id in zip(done.done, done.sent, strict=True)
        ]
        terminal.json({"sent": sent, "gone": [each.id for each in done.gone]})
    else:
        terminal.write(f"Sent again {len(done.done):,} of {len(chosen):,}.")
        if done.done:
            terminal.hint("Follow them: quilt-packager jobs --follow")
    return Exit.FAILED if done.gone else Exit.OK


@app.command("discard")
def discard_failures(
    ids: IdArguments = None,
    *,
    everything: AllOption = False,
    code: CodeOption = None,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> int:
    """Delete messages for good. Their packages will not be made; the files in S3 stay.

    Asks for the number of messages to be typed.

    Examples:
      quilt-packager failures discard 3f9a61c2
      quilt-packager failures discard --code InvalidMessage
    """
    terminal = Terminal()
    deployment = find(stack, profile, region)
    chosen, total = _choose(terminal, deployment, ids, code, everything=everything)
    if not chosen:
        return Exit.OK
    if not yes and not _confirm_discard(terminal, chosen):
        terminal.hint("Kept.")
        return Exit.OK
    done = _act(terminal, deployment, chosen, discard, "discarded")
    if as_json:
        terminal.json(
            {"discarded": [each.id for each in done.done], "gone": [each.id for each in done.gone]}
        )
    else:
        left = formats.count(max(total - len(done.done), 0), "message")
        terminal.write(f"Discarded {len(done.done):,}. {left} left.")
    return Exit.FAILED if done.gone else Exit.OK


def write_failures(terminal: Terminal, read: Failures, now: datetime) -> None:
    """Write the failures for a reader, by their reasons.

    Args:
        terminal: Where to.
        read: The failures.
        now: From when to count the time that is left.
    """
    groups = group(read.letters)
    terminal.write(summarise(read, groups, now))
    for each in groups:
        terminal.write()
        terminal.title(f"{len(each.failures):>2}  {each.code}", each.title)
        terminal.fields(
            [
                ("happened", each.happened),
                *([("why", each.why)] if each.why else []),
                ("do", advise(each)),
                ("", f"quilt-packager failures {action_for(each.code)} --code {each.code}"),
            ],
            indent=INDENT,
        )
        _write_letters(terminal, each, now)
    if read.elsewhere:
        terminal.hint(
            f"{formats.count(read.elsewhere, 'more message')}: somebody else reads them at the "
            f"moment. Look again in {formats.age(HOLD_SECONDS)}."
        )
    if not read.is_complete:
        terminal.hint(f"These are the first {len(read.letters):,} of about {read.total:,}.")


def summarise(read: Failures, groups: Sequence[Group], now: datetime) -> str:
    """Say how many failures there are, and which are about to be lost.

    Args:
        read: The failures.
        groups: Their groups.
        now: From when to count.
    """
    if not read.letters:
        return "Nothing is to be read." if read.elsewhere else "Nothing has failed."
    messages = formats.count(len(read.letters), "message")
    told = f"{messages} in {formats.count(len(groups), 'group')}."
    soon = expiring(read.letters, now)
    if soon:
        left = formats.age((soon[-1].expires - now).total_seconds())
        which = "them" if len(soon) == len(read.letters) else f"{len(soon):,} of them"
        told += f" SQS deletes {which} within {left}."
    return told


def advise(found: Group) -> str:
    """What to do about a group, and whether it helps to do nothing but try again.

    Args:
        found: The group.
    """
    return f"{found.remedy} A plain retry fails again." if found.needs_change else found.remedy


def action_for(code: str) -> str:
    """The command for failures of a code: what its sender wrote wrongly, no retry makes right.

    Args:
        code: The code.
    """
    return "discard" if code == InvalidMessage.__name__ else "retry"


def ask_to_retry(chosen: Sequence[Failure]) -> str:
    """Ask whether to send messages again.

    Args:
        chosen: The failures.
    """
    hopeless = sum(each.needs_change for each in chosen)
    question = f"Retry {formats.count(len(chosen), 'message')}?"
    if not hopeless:
        return question
    were = "was" if hopeless == 1 else "were"
    return f"{question} {hopeless:,} {were} rejected and will fail again unless something changed."


def to_json(failure: Failure) -> dict[str, object]:
    """A failure for a program.

    Args:
        failure: The failure.
    """
    return {
        "id": failure.id,
        "job_id": failure.job_id,
        "code": failure.code,
        "happened": failure.happened,
        "why": failure.why,
        "remedy": failure.remedy,
        "needs_change": failure.needs_change,
        "package_name": failure.package_name,
        "registry": failure.registry,
        "source": failure.source,
        "sent": failure.sent,
        "expires": failure.expires,
        "origin": failure.origin,
        "body": failure.body,
    }


def _write_letters(terminal: Terminal, found: Group, now: datetime) -> None:
    shown = found.failures if not terminal.interactive else found.failures[:SHOWN_LETTERS]
    terminal.table(
        ["MESSAGE", "PACKAGE", "FAILED", "LEFT"],
        [
            Row(
                [
                    terminal.shorten(each.id, ID_CHARACTERS),
                    each.label,
                    terminal.when(each.sent),
                    formats.age((each.expires - now).total_seconds()),
                ],
                each.happened if found.tells_each else "",
            )
            for each in shown
        ],
        indent=INDENT,
    )
    if len(shown) < len(found.failures):
        terminal.hint(f"  and {len(found.failures) - len(shown):,} more; --json has all")


def _choose(
    terminal: Terminal,
    deployment: "Deployment",
    ids: list[str] | None,
    code: str | None,
    *,
    everything: bool,
) -> tuple[tuple[Failure, ...], int]:
    """The failures that are meant, of how many: from here on, their ids alone count."""
    if bool(ids) + bool(code) + everything != 1:
        raise Misuse(
            "It is not clear which messages are meant.",
            why="There is to be one of these: ids, --code, or --all.",
            remedy="quilt-packager failures shows ids and codes.",
        )
    with read_failures(deployment) as read:
        chosen = choose(read.letters, ids or [], code)
    if not chosen:
        terminal.write("Nothing has failed.")
    elif everything and not read.is_complete:
        terminal.hint(f"These are the first {len(chosen):,} of about {read.total:,}.")
    return chosen, read.total


def _confirm_discard(terminal: Terminal, chosen: Sequence[Failure]) -> bool:
    terminal.hint(
        f"Discard {formats.count(len(chosen), 'message')}? They leave the queue for good; "
        "the files in S3 stay."
    )
    names = [each.label for each in chosen[:SHOWN_NAMES]]
    rest = len(chosen) - len(names)
    terminal.hint("  " + "  ".join(names) + (f"  and {rest:,} more" if rest else ""))
    return terminal.ask(f"Type {len(chosen)} to discard, or Enter to keep them:") == str(
        len(chosen)
    )


def _act(
    terminal: Terminal,
    deployment: "Deployment",
    chosen: Sequence[Failure],
    action: Callable[..., Done],
    words: str,
) -> Done:
    """Read the messages again that were chosen, and do it to those that are still there."""
    ids = [each.id for each in chosen]
    count = 0
    with read_failures(deployment, ids=ids) as read, JobProgress(terminal) as progress:

        def on_done(_: Failure) -> None:
            nonlocal count
            count += 1
            progress(words, count, len(ids))

        picked = read.pick(ids)
        try:
            done = action(deployment, picked.found, on_done)
        except BaseException:
            terminal.hint(f"{count:,} of {len(ids):,} were {words}; the others are still there.")
            raise
    known = {each.id: each for each in chosen}
    gone = (*(known[each] for each in picked.gone), *done.gone)
    if gone:
        some = ", ".join(each.id for each in gone[:SHOWN_NAMES])
        terminal.hint(
            f"{formats.count(len(gone), 'message')} left alone: no longer there, or in the hands "
            f"of another reader: {some}."
        )
    return done._replace(gone=gone)
