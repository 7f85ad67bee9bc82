"""The messages that were chosen on the Failures tab, and the questions before acting on them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from quilt_packager_runtime.errors import HeldForReview
from quilt_packager_runtime.settings.source_options import OnForeignRevision

from quilt_packager.admin.pages.package_form import can_edit
from quilt_packager.admin.web.rendering import Affected, Confirmation
from quilt_packager.admin.web.security import Form
from quilt_packager.operations import formats
from quilt_packager.operations.checks.retry_check import Obstacle
from quilt_packager.operations.dead_letters.error_codes import UNCORRECTABLE, count_not_retried
from quilt_packager.operations.dead_letters.queue import Failure, NotRetried
from quilt_packager.operations.errors import UnknownFailure

PATH = "/failures"

MAX_NAMES = 20
"""Number of messages that a question names; others are only counted."""

MAX_OBSTACLES = 3
"""Number of causes that a question names."""

SHORT_ID_CHARS = 8
"""Length of a job id that is shown."""

DECISION = "on_foreign_revision"
"""The field of a form with the decision about jobs that were held for review."""

ALL = "all"
"""The choice of all messages on a page."""

GROUP = "group:"
"""Beginning of the choice of a group, before its number."""


class Choice(NamedTuple):
    """The messages that were chosen.

    Attributes:
        ids: Exact ids of the messages.
        next: Id of the message behind the last of them; empty if there is none.
        whole: `1` if the page was loaded without JavaScript.
    """

    ids: Sequence[str]
    next: str
    whole: str


def read_choice(form: Form, wanted: str) -> Choice:
    """Parse a form, which lists all messages of its page, each as `group/id`.

    Args:
        form: The form.
        wanted: `all`, `group:` with the number of a group, or an id.
    """
    listed = [each.partition("/")[::2] for each in form.getlist("letter")]
    chosen = [
        place
        for place, (number, letter_id) in enumerate(listed)
        if wanted in (ALL, f"{GROUP}{number}", letter_id)
    ]
    ids = [listed[place][1] for place in chosen]
    after = listed[chosen[-1] + 1 :][:1] if chosen else []
    behind = after[0][1] if after else ""
    return Choice(ids, form.get("next", behind), form.get("whole", ""))


def ask_to_retry(chosen: Choice, known: Sequence[Failure]) -> Confirmation:
    """Ask whether to send messages again. Those of which no retry can succeed are left out.

    Raises:
        NotRetried: None of them can be retried.
    """
    kept = sum(not each.can_retry for each in known)
    invalid = sum(each.can_retry and not can_succeed(each) for each in known)
    left_out = {each.id for each in known if not can_succeed(each)}
    chosen = chosen._replace(ids=[each for each in chosen.ids if each not in left_out])
    if not chosen.ids:
        raise not_retried(kept, invalid)
    known = [each for each in known if each.id not in left_out]
    if known and all(each.code == HeldForReview.__name__ for each in known):
        return _ask_to_publish(chosen, known)
    count = formats.count(len(chosen.ids), "message")
    is_one = len(chosen.ids) == 1
    effects = [
        "It returns to the queue and leaves this list."
        if is_one
        else "They return to the queue and leave this list."
    ]
    if hopeless := sum(each.needs_change for each in known):
        subject = "It was" if is_one else f"{hopeless:,} {was(hopeless)}"
        effects.append(f"{subject} rejected and will fail again unless something changed.")
    if kept:
        effects.append(count_not_retried(kept))
    if invalid:
        effects.append(_count_invalid(invalid))
    return Confirmation(
        f"Retry {count}?",
        f"{PATH}/retry",
        _fields(chosen),
        f"Retry {count}",
        "Not now",
        PATH,
        effects=effects,
        items=_names(chosen, known),
    )


def exclude_later(question: Confirmation, later: int) -> Confirmation:
    """Say that messages that came after the page was read are not affected."""
    if not later:
        return question
    are = "is" if later == 1 else "are"
    came = f"{formats.count(later, 'message')} that came after this page was read"
    return question._replace(note=f"{question.note} {came} {are} not among them.".strip())


def warn(
    question: Confirmation, known: Sequence[Failure], obstacles: Sequence[Obstacle] | None
) -> Confirmation:
    """Add the causes that are still there to a question.

    Args:
        question: The question before a retry.
        known: The messages.
        obstacles: The causes; None if they could not be checked.
    """
    if obstacles is None:
        unchecked = "Whether the cause is still there could not be checked."
        return question._replace(effects=[*question.effects, unchecked])
    if not obstacles:
        return question
    failing = len(frozenset().union(*(each.ids for each in obstacles)))
    subject = f"{failing:,} of {len(known):,}"
    if failing == len(known):
        subject = "It" if failing == 1 else f"All {failing:,}"
    warning = " ".join(each.text for each in obstacles[:MAX_OBSTACLES])
    return question._replace(warning=warning, consequence=f"{subject} would fail again.")


def read_decision(form: Form) -> OnForeignRevision | None:
    """Parse the decision about jobs that were held for review; None without one."""
    if DECISION not in form:
        return None
    return "carry" if form[DECISION] == "carry" else "replace"


def ask_to_carry(chosen: Choice, known: Sequence[Failure]) -> Confirmation:
    """Ask whether to publish with the changes for which jobs were held for review."""
    count = formats.count(len(chosen.ids), "package")
    return Confirmation(
        f"Carry the changes into {count}?",
        f"{PATH}/retry",
        [*_fields(chosen), (DECISION, "carry")],
        f"Carry into {count}",
        "Not now",
        PATH,
        effects=[
            "The message returns to the queue. Its revision keeps what the other writer has "
            "changed:"
            if len(chosen.ids) == 1
            else "The messages return to the queue. Their revisions keep what the other writers "
            "have changed:"
        ],
        items=_names(chosen, known),
        note="Where the source has changed as well, the source wins, and the outcome names the "
        "file.",
    )


def _ask_to_publish(chosen: Choice, known: Sequence[Failure]) -> Confirmation:
    """Ask whether to replace the revisions for which jobs were held for review."""
    count = formats.count(len(chosen.ids), "package")
    return Confirmation(
        f"Publish {count}?",
        f"{PATH}/retry",
        [*_fields(chosen), (DECISION, "replace")],
        f"Publish {count}",
        "Not now",
        PATH,
        effects=[
            "The message returns to the queue, and its revision replaces that of another writer:"
            if len(chosen.ids) == 1
            else "The messages return to the queue, and their revisions replace those of other "
            "writers:"
        ],
        items=_names(chosen, known),
        note="A revision that is replaced still exists. To keep it as the newest, discard instead.",
    )


def ask_to_discard(chosen: Choice, known: Sequence[Failure]) -> Confirmation:
    """Ask whether to delete messages."""
    count = formats.count(len(chosen.ids), "message")
    is_one = len(chosen.ids) == 1
    return Confirmation(
        f"Discard {count}?",
        f"{PATH}/discard",
        _fields(chosen),
        f"Discard {count}",
        "Keep it" if is_one else "Keep them",
        PATH,
        effects=[
            "It is deleted from the dead-letter queue, and this package is not created:"
            if is_one
            else "They are deleted from the dead-letter queue, and these packages are not created:"
        ],
        items=_names(chosen, known),
        note="The files in S3 are kept. You can package the folders later with New package or "
        "quilt-packager backfill.",
        is_danger=True,
    )


def can_succeed(letter: Failure) -> bool:
    """Return True if a retry of the message as it is can succeed."""
    return letter.can_retry and not (letter.code in UNCORRECTABLE and can_edit(letter))


def not_retried(kept: int, invalid: int = 0) -> NotRetried:
    """Create the error of a choice of messages that cannot be retried."""
    reasons = [count_not_retried(kept)] if kept else []
    reasons += [_count_invalid(invalid)] if invalid else []
    return NotRetried(
        "Nothing was changed.", why=" ".join(reasons), remedy="Send a new message from New package."
    )


def _count_invalid(count: int) -> str:
    messages = formats.count(count, "message")
    return f"{messages} would fail again as {'it is' if count == 1 else 'they are'}: edit and send."


def nothing_left(gone: int) -> UnknownFailure:
    """Create the error of a choice of messages that no longer exist."""
    return UnknownFailure(
        "Nothing was changed: the message does not exist."
        if gone <= 1
        else f"Nothing was changed: none of the {gone:,} messages exists.",
        why="It was retried or discarded, it expired, or another reader holds it at the moment.",
        remedy="Reload the list. Messages held by another reader return within two minutes.",
    )


def was(number: int) -> str:
    """Return the verb for a number of messages."""
    return "was" if number == 1 else "were"


def _fields(chosen: Choice) -> list[tuple[str, str]]:
    letters = [("letter", f"/{each}") for each in chosen.ids]
    return [*letters, ("next", chosen.next), *([("whole", "1")] if chosen.whole else [])]


def _names(chosen: Choice, known: Sequence[Failure]) -> list[Affected]:
    """Name messages by their folder, their id and their age, never by a name made from them."""
    letters, now = {each.id: each for each in known}, datetime.now(UTC)
    names = [_name(each, letters.get(each), now) for each in chosen.ids[:MAX_NAMES]]
    rest = len(chosen.ids) - len(names)
    return [*names, Affected(f"and {rest:,} more")] if rest else names


def _name(letter_id: str, letter: Failure | None, now: datetime) -> Affected:
    if letter is None:
        return Affected("", letter_id)
    age = formats.age((now - letter.sent).total_seconds())
    job = (letter.job_id or letter.id)[:SHORT_ID_CHARS]
    return Affected(letter.source or letter.label, f"{job}, {age} old")
