"""Objects that cannot be hashed, whoever tries how often, and one error for all of them."""

from collections import Counter

from quilt_packager_runtime.errors import (
    MAX_NAMED,
    AccessDenied,
    ArchivedObjects,
    Rejected,
    UnreadableObjects,
    name_some,
)

REASONS: dict[type[Rejected], tuple[str, str, str]] = {
    ArchivedObjects: (
        "Archived, and without a usable checksum",
        "The bytes of archived objects cannot be read to compute one until they are restored.",
        "Restore them, or copy them with a SHA-256 checksum, and send again.",
    ),
    UnreadableObjects: (
        "Not shown by S3",
        "Objects encrypted with a key of their owner's (SSE-C) need it for each request.",
        "Copy them with encryption by S3 or KMS, and send again.",
    ),
    AccessDenied: (
        "Not for the packager to read",
        "A policy of its role, the bucket or a KMS key refuses it, or the requester has to pay.",
        "Allow s3:GetObject, s3:GetObjectVersion and kms:Decrypt, enable the key, and send again.",
    ),
}


MAX_CAUSES = 3
"""How many causes an error tells in the words of AWS."""


class Unreadable(Exception):
    """An object that cannot be hashed.

    Args:
        kind: The error for it.
        cause: What AWS says of the cause; None: not more than the error's own sentences.
    """

    def __init__(self, kind: type[Rejected], cause: str | None = None) -> None:
        """The key is added by those who know it."""
        super().__init__()
        self.kind = kind
        self.cause = cause


class UnreadableKeys:
    """Counts the keys of what cannot be hashed, and holds no more of them than an error names."""

    def __init__(self) -> None:
        """Begin without any."""
        self._counts: Counter[type[Rejected]] = Counter()
        self._first: dict[type[Rejected], list[str]] = {}
        self._causes: dict[str, None] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, finding: Unreadable, key: str) -> int:
        """Take a key.

        Args:
            finding: What is the matter with it.
            key: The object's key.

        Returns:
            How many of its kind there are.
        """
        kind = finding.kind
        self._counts[kind] += 1
        self._first[kind] = sorted([*self._first.get(kind, []), key])[:MAX_NAMED]
        if finding.cause is not None and len(self._causes) < MAX_CAUSES:
            self._causes[finding.cause] = None
        return self._counts[kind]

    def error(self, *, more: bool = False) -> Rejected:
        """One error for all: of the first kind, with the sentences of each.

        Args:
            more: There may be more than these.
        """
        reasons = [REASONS[kind] for kind in self._counts]
        happened = [
            f"{what}: {name_some(self._first[kind], count)}."
            for (kind, count), (what, _, _) in zip(self._counts.items(), reasons, strict=True)
        ]
        if more:
            happened.append("There may be more.")
        return next(iter(self._counts))(
            " ".join(happened),
            why=" ".join([*(why for _, why, _ in reasons), *self._causes]),
            remedy=" ".join(remedy for _, _, remedy in reasons),
        )
