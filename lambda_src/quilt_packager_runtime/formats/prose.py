"""Prose in texts that may be a whole README: Markdown, HTML, badges, headings."""

import html
import re
from collections.abc import Iterator

MAX_CHARACTERS = 8192
"""Number of characters that are searched for prose, which bounds the time of the patterns."""

# In this order: a badge is an image in a link, and the content of a heading is no prose either.
_MARKUP = (
    (re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL), "\n"),
    (re.compile(r"<(h[1-6]|script|style|table)\b.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE), "\n"),
    (re.compile(r"</?(?:p|div|br|hr|picture|li|ul|ol)\b[^<>]*>", re.IGNORECASE), "\n\n"),
    (re.compile(r"</?[A-Za-z][^<>]*>"), ""),
    (re.compile(r"!\[[^\[\]]*\](?:\([^()]*\)|\[[^\[\]]*\])"), ""),
    (re.compile(r"\[([^\[\]]*)\](?:\([^()]*\)|\[[^\[\]]*\])"), r"\1"),
    (re.compile(r"^(?:```|~~~).*?(?:^(?:```|~~~)|\Z)", re.DOTALL | re.MULTILINE), "\n"),
    (re.compile(r"^[^\S\n]*\S.*\n[=-]{3,}[^\S\n]*$", re.MULTILINE), "\n"),
    (re.compile(r"\*\*|`"), ""),
)
# Headings, quotations, tables, lists, rules, and definitions of links.
_NO_PROSE = re.compile(r"\s*(?:#|>|\||[-*+] |\d+\. |[-*_=]{3,}\s*$|\[[^\]]*\]:)")
# A letter before the dot is an initial or an abbreviation: E. coli, e.g., i.e.
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<![ .][A-Za-z]\.)(?<! al\.)(?<! vs\.) (?=[A-Z])|(?<=。)")


def first_sentence(text: str) -> str:
    r"""Return the first sentence of prose in a text; empty if there is none.

    Example:
        >>> first_sentence("# Title\n\n[![CI](ci.svg)](ci)\n\n**x** calls variants. It is fast.")
        'x calls variants.'
        >>> first_sentence("# Title\n\n<img src='logo.png'>")
        ''
    """
    text = text[:MAX_CHARACTERS]
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    return next((_SENTENCE_END.split(paragraph)[0] for paragraph in _paragraphs(text)), "")


def _paragraphs(text: str) -> Iterator[str]:
    words: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.strip() and not _NO_PROSE.match(line):
            words += html.unescape(line).split()
        elif any(map(str.isalpha, "".join(words))):
            yield " ".join(words)
            words = []
        else:
            words = []
