"""Settings of the coalescer: the construct writes them, the handler reads them."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import ClassVar

import msgspec

from quilt_packager_runtime.formats.event_names import UPLOADS_SOURCE
from quilt_packager_runtime.formats.recognisers import RECOGNISERS, is_kind
from quilt_packager_runtime.settings.one_variable import OneVariable


class UploadSettings(OneVariable, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one coalescer of uploads.

    Attributes:
        threshold_event_count: Number of uploads after which a prefix is announced at once.
        threshold_duration_seconds: Seconds without an upload after which a prefix is announced.
        prefix_depth: Number of path components of announced prefixes.
        ignore_prefixes: Prefixes of keys that are never announced.
        ready_when: Kinds of folders, or globs of files, whose completion marker announces a folder;
            empty: any upload does.
        source: The source of the announcements.
        event_bus: The bus of the announcements.
        partition: The AWS partition, for ARNs.
        table: The table of windows.
        queue_url: The coalescer's own queue.
        dead_letter_queue_url: The queue of messages that cannot be parsed.

    Example:
        >>> settings = UploadSettings(prefix_depth=3, ignore_prefixes=("tmp/", "a,b/"))
        >>> UploadSettings.from_environment(settings.to_environment()) == settings
        True
    """

    variable: ClassVar[str] = "QUILT_PACKAGER_UPLOADS"

    threshold_event_count: int = 20
    threshold_duration_seconds: int = 300
    prefix_depth: int = 2
    ignore_prefixes: tuple[str, ...] = ()
    ready_when: tuple[str, ...] = ()
    source: str = UPLOADS_SOURCE
    event_bus: str = ""
    partition: str = "aws"
    table: str = ""
    queue_url: str = ""
    dead_letter_queue_url: str = ""


def check_ready_when(names: str | Sequence[str]) -> tuple[str, ...]:
    """Return the option `ready_when`: kinds that have a completion marker, and globs of files.

    Raises:
        ValueError: A kind does not exist or has no marker, or a glob has no fixed depth.

    Example:
        >>> check_ready_when("illumina")
        ('illumina',)
        >>> check_ready_when(["ilumina"])
        Traceback (most recent call last):
        ValueError: ready_when: no kind of folder is 'ilumina'; did you mean 'illumina'? Those ...
    """
    read = msgspec.convert(names, str | tuple[str, ...])
    given = (read,) if isinstance(read, str) else read
    known = {each.kind: each.completion for each in RECOGNISERS}
    usable = ", ".join(kind for kind, completion in known.items() if completion)
    invalid = []
    for name in given:
        is_word = re.fullmatch(r"[\w-]+", name) is not None
        similar = get_close_matches(name.lower(), known, n=1, cutoff=0.75) if is_word else []
        if known.get(name):
            continue
        if name in known:
            invalid.append(f"{name} has no completion marker; those with one: {usable}")
        elif is_kind(name) or similar:
            hint = f"did you mean {similar[0]!r}? " if similar else ""
            invalid.append(f"no kind of folder is {name!r}; {hint}Those with a marker: {usable}")
        elif "**" in name or "" in name.split("/"):
            invalid.append(f"the glob {name!r} has an empty component, or **")
    if invalid:
        raise ValueError(f"ready_when: {'; '.join(invalid)}")
    return given
