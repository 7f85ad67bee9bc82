"""`quilt-packager failures`: failed messages, their reasons, retry and discard."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from quilt_packager_runtime.errors import HeldForReview
from quilt_packager_runtime.settings.source_options import OnForeignRevision

from quilt_packager.cli.commands.failure_list import (
    summarise,
    to_json,
    warn_about_unread,
    write_failures,
)
from quilt_packager.cli.commands.send import S3Options, check_message, read_settings
from quilt_packager.cli.console.editor import Draft
from quilt_packager.cli.console.errors import Misuse
from quilt_packager.cli.console.exits import Exit
from quilt_packager.cli.console.options import (
    JsonOption,
    ProfileOption,
    RegionOption,
    StackOption,
    YesOption,
    find,
)
from quilt_packager.cli.console.progress import JobProgress
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.cli.console.typer_groups import make_group, refuse_options
from quilt_packager.cli.console.usage import did_you_mean
from quilt_packager.operations import formats
from quilt_packager.operations.dead_letters.error_codes import DESCRIPTIONS, count_not_retried
from quilt_packager.operations.dead_letters.queue import (
    ActionResult,
    Failure,
    Failures,
    choose,
    discard,
    read_failures,
    retry,
)

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

HELP = """List failures by reason, send them again, or discard them.

Failed messages wait in the dead-letter queue until SQS deletes them, after 14 days by default.

Examples:
  quilt-packager failures
  quilt-packager failures --code AccessDenied --exit-code
  quilt-packager failures retry --code AccessDenied
  quilt-packager failures edit 3f9a61c2
  quilt-packager failures discard 3f9a61c2
"""

SHOWN_NAMES = 20
"""Number of messages named in a question."""

NOTHING_DONE = ActionResult(())

app = make_group("failures", HELP, is_command=True)

IdArguments = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID", help="Id of a job or a message, or its beginning."),
]
AllOption = Annotated[bool, typer.Option("--all", help="Select all messages.")]
CodeOption = Annotated[
    str | None, typer.Option("--code", metavar="CODE", help="Select messages by error code.")
]

ActionOption = Annotated[
    OnForeignRevision | None,
    typer.Option(
        "--on-foreign-revision",
        help="For jobs that were held for review: replace the revision of another writer, or "
        "carry its changes into the next one.",
    ),
]


@app.callback()
def failures(
    context: typer.Context,
    *,
    code: Annotated[
        str | None, typer.Option("--code", metavar="CODE", help="Only failures with this code.")
    ] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with 1 if there are such failures.")
    ] = False,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """List failures by reason; with --json, one JSON object per line."""
    if context.invoked_subcommand is not None:
        refuse_options(context)
        return Exit.OK
    terminal = Terminal()
    deployment = find(stack, profile, region)
    with read_failures(deployment) as read:
        pass
    if code is not None:
        read = _with_code(read, code)
    if as_json:
        for failure in read.letters:
            terminal.json(to_json(failure))
    else:
        write_failures(terminal, deployment, read, datetime.now(UTC))
    warn_about_unread(terminal, read)
    return Exit.FAILED if exit_code and (read.letters or read.in_flight) else Exit.OK


@app.command("retry")
def retry_failures(
    ids: IdArguments = None,
    *,
    everything: AllOption = False,
    code: CodeOption = None,
    on_foreign_revision: ActionOption = None,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> int:
    """Send failed messages again.

    Each message is sent before it is deleted from the dead-letter queue, so an interruption loses
    none and sends at most one twice. Events that only a custom rule converts to messages stay
    there.

    Examples:
      quilt-packager failures retry 3f9a61c2
      quilt-packager failures retry --code AccessDenied
      quilt-packager failures retry --all --yes
      quilt-packager failures retry 3f9a61c2 --on-foreign-revision replace
      quilt-packager failures retry 3f9a61c2 --on-foreign-revision carry
    """
    terminal = Terminal()
    deployment = find(stack, profile, region)
    chosen, _ = _choose(terminal, deployment, ids, code, everything=everything, as_json=as_json)
    wanted = [each for each in chosen if each.can_retry]
    kept = [each for each in chosen if not each.can_retry]
    if kept:
        terminal.hint(f"{count_not_retried(len(kept))} Skipped: {_name_ids(kept)}.")
    is_wanted = bool(wanted) and (
        yes or terminal.confirm(ask_to_retry(wanted, on_foreign_revision))
    )
    action = partial(retry, on_foreign_revision=on_foreign_revision)
    done = _act(terminal, deployment, wanted, action, "sent again") if is_wanted else NOTHING_DONE
    if as_json:
        sent = [{"id": failure.id, "job_id": job_id} for failure, job_id in done.sent]
        terminal.json(
            {
                "sent": sent,
                "gone": [each.id for each in done.gone],
                "kept": [{"id": each.id, "remedy": each.remedy} for each in kept],
            }
        )
    elif is_wanted:
        terminal.write(f"Sent again {len(done.done):,} of {len(chosen):,}.")
        if done.done:
            terminal.suggest("To follow them:", deployment.command("jobs", "--follow"))
    if done.gone:
        return Exit.FAILED
    return Exit.REJECTED if kept else Exit.OK


@app.command("edit")
def edit_failure(
    message_id: Annotated[
        str, typer.Argument(metavar="ID", help="Id of a job or a message, or its beginning.")
    ],
    *,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Correct a failed message in your editor, and send it again.

    Opens the message in $VISUAL or $EDITOR, checks it as send does, sends it, and then deletes the
    old message. If a step fails, the old message stays, and so does the file with your changes. A
    message that you do not change is not sent.

    Examples:
      quilt-packager failures edit 3f9a61c2
    """
    terminal = Terminal()
    deployment = find(stack, profile, region)
    chosen, _ = _choose(terminal, deployment, [message_id], None, everything=False, as_json=as_json)
    done = NOTHING_DONE
    if chosen:
        draft = Draft(chosen[0].body)
        body = draft.edit()
        if body is None:
            draft.delete()
            terminal.hint("Nothing changed, and nothing sent.")
        else:
            terminal.hint(f"Your changes are in {draft.path} until they are sent.")
            settings = read_settings(terminal, deployment)
            check_message(terminal, body, body, settings, S3Options(profile, region, True))
            corrected = partial(_retry_corrected, body)
            done = _act(terminal, deployment, chosen, corrected, "sent again")
            if done.done:
                draft.delete()
    if as_json:
        sent = [{"id": failure.id, "job_id": job_id} for failure, job_id in done.sent]
        terminal.json({"sent": sent, "gone": [each.id for each in done.gone]})
    for _, job_id in done.sent:
        terminal.suggest("Sent. Details of the job:", deployment.command("jobs", "show", job_id))
    return Exit.FAILED if done.gone else Exit.OK


def _retry_corrected(
    body: str,
    deployment: "Deployment",
    failures: Sequence[Failure],
    on_done: Callable[[Failure], object],
) -> ActionResult:
    corrected = [replace(each, body=body, can_retry=True) for each in failures]
    return retry(deployment, corrected, on_done)


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
    """Delete failed messages permanently. Files in S3 are kept.

    Their packages will not be created. Asks you to type the number of messages.

    Examples:
      quilt-packager failures discard 3f9a61c2
      quilt-packager failures discard --code InvalidMessage
    """
    terminal = Terminal()
    deployment = find(stack, profile, region)
    chosen, total = _choose(terminal, deployment, ids, code, everything=everything, as_json=as_json)
    is_wanted = bool(chosen) and (yes or _confirm_discard(terminal, chosen))
    done = _act(terminal, deployment, chosen, discard, "discarded") if is_wanted else NOTHING_DONE
    if as_json:
        terminal.json(
            {"discarded": [each.id for each in done.done], "gone": [each.id for each in done.gone]}
        )
    elif is_wanted:
        left = formats.count(max(total - len(done.done), 0), "message")
        terminal.write(f"Discarded {len(done.done):,}. {left} left.")
    return Exit.FAILED if done.gone else Exit.OK


def _with_code(read: Failures, code: str) -> Failures:
    """Select the failures with a code.

    Raises:
        Misuse: No failure has it, and it is not known.
    """
    found = tuple(each for each in read.letters if each.code == code)
    if not found and code not in DESCRIPTIONS:
        raise Misuse(
            f"Unknown error code: {code}.{did_you_mean(code, DESCRIPTIONS)}",
            why="No failure has it, nor does this version know it.",
            remedy="Give a code as quilt-packager failures shows it.",
        )
    return read._replace(letters=found)


def ask_to_retry(
    chosen: Sequence[Failure], on_foreign_revision: OnForeignRevision | None = None
) -> str:
    """Return the question to ask before a retry."""
    decided = HeldForReview.__name__ if on_foreign_revision in {"replace", "carry"} else None
    rejected = sum(each.needs_change for each in chosen if each.code != decided)
    question = f"Retry {formats.count(len(chosen), 'message')}?"
    if not rejected:
        return question
    were = "was" if rejected == 1 else "were"
    return f"{question} {rejected:,} {were} rejected and will fail again unless something changed."


def _choose(
    terminal: Terminal,
    deployment: "Deployment",
    ids: list[str] | None,
    code: str | None,
    *,
    everything: bool,
    as_json: bool,
) -> tuple[tuple[Failure, ...], int]:
    """Return the selected failures and the total. Later steps use only their ids."""
    if bool(ids) + bool(code) + everything != 1:
        raise Misuse(
            "No messages selected.",
            why="Exactly one of these is needed: ids, --code, or --all.",
            remedy=f"{deployment.command('failures')} shows ids and codes.",
        )
    with read_failures(deployment) as read:
        pass
    warn_about_unread(terminal, read)
    chosen = choose(read.letters, ids or [], code)
    if not chosen:
        write = terminal.hint if as_json else terminal.write
        write(summarise(read, datetime.now(UTC)))
    return chosen, read.total


def _confirm_discard(terminal: Terminal, chosen: Sequence[Failure]) -> bool:
    terminal.hint(
        f"Discard {formats.count(len(chosen), 'message')} permanently? Files in S3 are kept."
    )
    names = [each.label for each in chosen[:SHOWN_NAMES]]
    rest = len(chosen) - len(names)
    terminal.hint("  " + "  ".join(names) + (f"  and {rest:,} more" if rest else ""))
    typed = terminal.ask(f"Type {len(chosen)} to discard, or Enter to keep them:")
    if typed != str(len(chosen)):
        terminal.hint("Nothing discarded.")
        return False
    return True


def _act(
    terminal: Terminal,
    deployment: "Deployment",
    chosen: Sequence[Failure],
    action: Callable[..., ActionResult],
    words: str,
) -> ActionResult:
    """Read the selected messages again, and apply an action to those that are still there."""
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
            terminal.hint(f"{count:,} of {len(ids):,} {words}; the others are unchanged.")
            raise
    known = {each.id: each for each in chosen}
    gone = (*(known[each] for each in picked.gone), *done.gone)
    if gone:
        terminal.hint(
            f"{formats.count(len(gone), 'message')} skipped, deleted meanwhile or being read by "
            f"another process: {_name_ids(gone)}."
        )
    return done._replace(gone=gone)


def _name_ids(failures: Sequence[Failure]) -> str:
    return ", ".join(each.shown_id for each in failures[:SHOWN_NAMES])
