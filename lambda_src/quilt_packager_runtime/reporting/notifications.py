"""Notifications for SNS, of failures and of other writers' revisions: a subject and a text.

The function writes them because an input transformer of EventBridge would insert the reason with
its quotes unescaped, and could not shorten it.
"""

from collections.abc import Iterable

import msgspec

from quilt_packager_runtime.errors import printable
from quilt_packager_runtime.formats.outcome import DETAIL_TYPES
from quilt_packager_runtime.reporting.outcome_events import OutcomeDetail

MAX_TEXT_CHARACTERS = 3000
"""The length that chat clients display without truncation."""

MAX_SUBJECT_CHARACTERS = 99
"""SNS accepts fewer than 100."""

ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Notification(msgspec.Struct, frozen=True):
    """A subject and a text, escaped so that no object key acts as markup in a chat."""

    subject: str
    text: str


def format_notification(detail: OutcomeDetail) -> Notification:
    """Format the notification of a job that failed, or that followed another writer's revision."""
    headline = DETAIL_TYPES[detail.outcome]
    if detail.package_name:
        headline += f": {detail.package_name}"
    trigger = detail.trigger
    facts = {
        "Code": detail.code,
        "Registry": detail.registry,
        "Source": _format_source(detail),
        "Quarantine": detail.links.quarantine,
        "Revision": detail.top_hash,
        "Replaced": detail.foreign_top_hash,
        "Trigger": trigger and f"{trigger.kind} {trigger.event_id or ''}".rstrip(),
        "Message": detail.message_id,
        "Engine": detail.engine,
    }
    lines = [f"{label}: {value}" for label, value in facts.items() if value]
    # The reason comes last: only it may be long, and the text is cut at its end.
    return format_text(headline, [*lines, "", detail.reason or detail.remark or ""])


def format_text(headline: str, lines: Iterable[str]) -> Notification:
    """Format a headline, which is also the subject, and the lines below it."""
    text = "\n".join([headline, "", *map(printable, lines)])
    return Notification(headline[:MAX_SUBJECT_CHARACTERS], _escape(text, MAX_TEXT_CHARACTERS))


def _format_source(detail: OutcomeDetail) -> str:
    source = detail.source or ""
    others = len(detail.sources or ()) - 1
    if others < 1:
        return source
    return f"{source} and {others} other source{'s' if others > 1 else ''}"


def _escape(text: str, max_characters: int) -> str:
    """Escape the markup of chat and mail clients, and truncate the text.

    Example:
        >>> _escape("<!channel> & co.", 100), _escape("a & b", 6)
        ('&lt;!channel&gt; &amp; co.', 'a …')
    """
    escaped = text.translate(ESCAPES)
    if len(escaped) <= max_characters:
        return escaped
    cut = escaped[: max_characters - 1]
    start = cut.rfind("&")
    if start > cut.rfind(";"):  # half an escape
        cut = cut[:start]
    return cut + "…"
