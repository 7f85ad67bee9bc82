"""The values of files that differ from their checksum lists, from the words of the dead letter."""

import re
from typing import NamedTuple

QUOTED = r'"((?:[^"\\]|\\.)*)"'
MISMATCH = re.compile(
    rf"{QUOTED} \(([^:()]+): ([0-9A-Za-z+/=-]+) in {QUOTED}, ([0-9A-Za-z+/=-]+) in S3\)"
)


class Mismatch(NamedTuple):
    """A file that differs from a checksum list.

    Attributes:
        path: The file.
        algorithm: Algorithm of the values.
        listed: Value in the list.
        list_name: The list.
        actual: Value of the file in S3.
    """

    path: str
    algorithm: str
    listed: str
    list_name: str
    actual: str


def find_mismatches(happened: str) -> list[Mismatch]:
    """Find the values that a `ChecksumMismatch` names: those of its first files.

    Example:
        >>> happened = '1 file differs: "a.txt" (md5: 9f0b in "md5sum.txt", 41e7 in S3).'
        >>> [(each.path, each.listed, each.actual) for each in find_mismatches(happened)]
        [('a.txt', '9f0b', '41e7')]
    """
    return [
        Mismatch(path, algorithm, listed, list_name, actual)
        for path, algorithm, listed, list_name, actual in MISMATCH.findall(happened)
    ]
