"""Collect the objects that cannot be hashed into one error."""

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
        "Archived objects must be restored before they can be read.",
        "Restore them, or copy them with a SHA-256 checksum, and send the message again.",
    ),
    UnreadableObjects: (
        "Encrypted with a customer-provided key",
        "Each request for such an object (SSE-C) requires the key.",
        "Copy them with SSE-S3 or SSE-KMS encryption, and send the message again.",
    ),
    AccessDenied: (
        "Access denied",
        "The role, the bucket policy or a KMS key policy denies it, or the requester must pay.",
        "Allow s3:GetObject, s3:GetObjectVersion and kms:Decrypt, enable the key, and retry.",
    ),
}

MAX_CAUSES = 3
"""Maximum number of causes from AWS in an error."""


class Unreadable(Exception):
    """An object that cannot be hashed.

    Args:
        kind: Class of the error.
        cause: Cause from AWS, if it adds information.
    """

    def __init__(self, kind: type[Rejected], cause: str | None = None) -> None:
        super().__init__()
        self.kind = kind
        self.cause = cause


class UnreadableKeys:
    """Counts the keys of objects that cannot be hashed, and keeps those that an error names."""

    def __init__(self) -> None:
        self._counts: Counter[type[Rejected]] = Counter()
        self._first: dict[type[Rejected], list[str]] = {}
        self._causes: dict[str, None] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, finding: Unreadable, key: str) -> int:
        """Add a key, and return the number of keys of its kind."""
        kind = finding.kind
        self._counts[kind] += 1
        self._first[kind] = sorted([*self._first.get(kind, []), key])[:MAX_NAMED]
        if finding.cause is not None and len(self._causes) < MAX_CAUSES:
            self._causes[finding.cause] = None
        return self._counts[kind]

    def error(self, *, more: bool = False) -> Rejected:
        """Create an error of the first kind that describes all of them.

        Args:
            more: The search stopped early, so the counts are incomplete.
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
