"""What people read of a package that will not be: a subject and a text, for SNS.

The function writes them, and no input transformer of EventBridge does: that would insert a reason
with its quotes as they are, and could neither escape nor shorten it.
"""

import msgspec

from quilt_packager_runtime.errors import printable
from quilt_packager_runtime.formats.outcome import DETAIL_TYPES
from quilt_packager_runtime.reporting.outcome_events import OutcomeDetail

MAX_TEXT_CHARACTERS = 3000
"""What chats show of a message without cutting it themselves."""

MAX_SUBJECT_CHARACTERS = 99
"""SNS takes fewer than 100."""

ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Notice(msgspec.Struct, frozen=True):
    """A message for people. Its text is harmless in chats, whatever the keys in it are."""

    subject: str
    text: str


def write_notice(detail: OutcomeDetail) -> Notice:
    """Write down for people how a job ended.

    Args:
        detail: How it ended, as others hear it.
    """
    headline = DETAIL_TYPES[detail.outcome]
    if detail.package_name:
        headline += f": {detail.package_name}"
    trigger = detail.trigger
    facts = {
        "Code": detail.code,
        "Registry": detail.registry,
        "Source": detail.source,
        "Quarantine": detail.links.quarantine,
        "Trigger": trigger and f"{trigger.kind} {trigger.event_id or ''}".rstrip(),
        "Message": detail.message_id,
        "Engine": detail.engine,
    }
    lines = [f"{label}: {value}" for label, value in facts.items() if value]
    # The reason is the last: it alone may be long, and what is too long is cut at its end.
    text = "\n".join([headline, "", *map(printable, lines), "", printable(detail.reason or "")])
    return Notice(headline[:MAX_SUBJECT_CHARACTERS], _escape(text, MAX_TEXT_CHARACTERS))


def _escape(text: str, max_characters: int) -> str:
    """Escape what chats and mail readers understand as markup, and cut what is too long.

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
