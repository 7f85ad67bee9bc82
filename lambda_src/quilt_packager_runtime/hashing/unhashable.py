"""Objects that cannot be hashed, and one error for all of them."""

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
        "Archived without a usable checksum",
        "Archived objects cannot be read until they are restored.",
        "Restore them, or copy them with a SHA-256 checksum, and send again.",
    ),
    UnreadableObjects: (
        "Encrypted with a customer-provided key",
        "S3 requires the key of such objects (SSE-C) with each request.",
        "Copy them with encryption by S3 or KMS, and send the message again.",
    ),
    AccessDenied: (
        "Access denied",
        "A policy of the role, the bucket or a KMS key denies it, or the requester has to pay.",
        "Allow s3:GetObject, s3:GetObjectVersion and kms:Decrypt, enable the key, and retry.",
    ),
}


MAX_CAUSES = 3
"""Maximum number of AWS's causes in an error."""


class Unreadable(Exception):
    """An object that cannot be hashed.

    Args:
        kind: Class of the error.
        cause: AWS's cause; None if it adds nothing to the error.
    """

    def __init__(self, kind: type[Rejected], cause: str | None = None) -> None:
        """Store kind and cause; the caller adds the key."""
        super().__init__()
        self.kind = kind
        self.cause = cause


class UnreadableKeys:
    """Counts the keys of objects that cannot be hashed, and keeps those that an error names."""

    def __init__(self) -> None:
        """Start without keys."""
        self._counts: Counter[type[Rejected]] = Counter()
        self._first: dict[type[Rejected], list[str]] = {}
        self._causes: dict[str, None] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, finding: Unreadable, key: str) -> int:
        """Add a key.

        Args:
            finding: The reason.
            key: The object's key.

        Returns:
            The number of keys of its kind.
        """
        kind = finding.kind
        self._counts[kind] += 1
        self._first[kind] = sorted([*self._first.get(kind, []), key])[:MAX_NAMED]
        if finding.cause is not None and len(self._causes) < MAX_CAUSES:
            self._causes[finding.cause] = None
        return self._counts[kind]

    def error(self, *, more: bool = False) -> Rejected:
        """Create one error for all: of the first kind, with the sentences of each.

        Args:
            more: The search stopped early.
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
