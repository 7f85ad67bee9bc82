"""The findings of an audit: one type, a code for each kind."""

from enum import StrEnum

import msgspec

from quilt_packager_runtime.errors import quote
from quilt_packager_runtime.formats.objects import S3Uri


class Severity(StrEnum):
    """Meaning of a finding for the readers of a package."""

    DAMAGE = "damage"
    """Something that the package promises is gone, different, or not readable."""
    WARNING = "warning"
    """It is there, and will not stay or cannot be relied on."""
    UNCHECKED = "unchecked"
    """The audit could not find out."""


class Code(StrEnum):
    """Kinds of findings."""

    MANIFEST_MISSING = "ManifestMissing"
    MANIFEST_CHANGED = "ManifestChanged"
    INVALID_POINTER = "InvalidPointer"
    LATEST_MISSING = "LatestMissing"
    LATEST_WITHOUT_POINTER = "LatestWithoutPointer"
    LATEST_IS_OLDER = "LatestIsOlder"
    BUCKET_MISSING = "BucketMissing"
    OBJECT_MISSING = "ObjectMissing"
    DELETE_MARKER = "DeleteMarker"
    OVERWRITTEN = "Overwritten"
    SIZE_DIFFERS = "SizeDiffers"
    CHECKSUM_DIFFERS = "ChecksumDiffers"
    ARCHIVED = "Archived"
    KEY_UNUSABLE = "KeyUnusable"
    UNREADABLE = "Unreadable"
    NOT_IN_S3 = "NotInS3"
    EXPIRES = "Expires"
    WILL_BE_ARCHIVED = "WillBeArchived"
    RULES_UNKNOWN = "LifecycleRulesUnknown"
    ACCESS_DENIED = "AccessDenied"


class Kind(msgspec.Struct, frozen=True):
    """Properties of all findings of a code.

    Attributes:
        meaning: Sentence for the docs.
        remedy: Action, as a sentence.
        severity: Severity.
    """

    meaning: str
    remedy: str
    severity: Severity = Severity.DAMAGE


KINDS = {
    Code.MANIFEST_MISSING: Kind(
        "The manifest that a pointer or `latest` names does not exist.",
        "Restore the manifest from an older version or a backup, or package the folder again.",
    ),
    Code.MANIFEST_CHANGED: Kind(
        "The manifest does not hash to its name, is malformed, or is not the one that was written.",
        "Restore its first version, or package the folder again.",
    ),
    Code.INVALID_POINTER: Kind(
        "A pointer or `latest` holds no top hash.",
        "Restore its first version, or delete it.",
    ),
    Code.LATEST_MISSING: Kind(
        "The package has revisions and no `latest`, so that quilt3 does not find it by name.",
        "Package the folder again, or write the top hash of the newest pointer to latest.",
    ),
    Code.LATEST_WITHOUT_POINTER: Kind(
        "`latest` names a revision that no pointer names, so that no catalog lists it.",
        "Package the folder again.",
    ),
    Code.LATEST_IS_OLDER: Kind(
        "`latest` names another revision than the newest pointer does.",
        "Nothing if a package is being published, or if it was moved on purpose.",
        Severity.WARNING,
    ),
    Code.BUCKET_MISSING: Kind(
        "The bucket of entries does not exist.",
        "Restore the data from a copy, and package that.",
    ),
    Code.OBJECT_MISSING: Kind(
        "The object or its version does not exist.",
        "Restore the object from a copy, and package the folder again.",
    ),
    Code.DELETE_MARKER: Kind(
        "The object was deleted, and the entry names no version or the delete marker itself.",
        "Delete the delete marker.",
    ),
    Code.OVERWRITTEN: Kind(
        "The entry names no version, and the object was written again with other content.",
        "Restore the object, or package the folder again; enable versioning on the bucket.",
    ),
    Code.SIZE_DIFFERS: Kind(
        "The version has another size than its entry.",
        "Compare the manifest with the object, and package the folder again.",
    ),
    Code.CHECKSUM_DIFFERS: Kind(
        "The stored checksum or the bytes differ from the entry.",
        "Restore the object from a copy, and package the folder again.",
    ),
    Code.ARCHIVED: Kind(
        "The object is archived: it is complete, and not readable before it is restored.",
        "Restore it with aws s3api restore-object.",
    ),
    Code.KEY_UNUSABLE: Kind(
        "The KMS key of the object is disabled, or will be deleted, or does not exist.",
        "Enable the key, or cancel its deletion.",
    ),
    Code.UNREADABLE: Kind(
        "S3 returns the object only with a key of its owner (SSE-C), or refuses it.",
        "Copy the object with SSE-S3 or SSE-KMS encryption, and package the folder again.",
    ),
    Code.NOT_IN_S3: Kind(
        "The entry names no object in S3.",
        "Package the files from S3.",
    ),
    Code.EXPIRES: Kind(
        "A lifecycle rule will delete objects or versions that the package names.",
        "Exclude the prefix from the rule.",
        Severity.WARNING,
    ),
    Code.WILL_BE_ARCHIVED: Kind(
        "A lifecycle rule will archive objects that the package names.",
        "Exclude the prefix from the rule, or expect to restore them.",
        Severity.WARNING,
    ),
    Code.RULES_UNKNOWN: Kind(
        "The lifecycle rules of a bucket cannot be read.",
        "Allow s3:GetLifecycleConfiguration on the bucket.",
        Severity.UNCHECKED,
    ),
    Code.ACCESS_DENIED: Kind(
        "Access to the manifest, the object or the listing of its bucket is denied.",
        "Allow s3:ListBucketVersions on the bucket, s3:GetObjectVersion on the object, and "
        "kms:Decrypt with its key.",
        Severity.UNCHECKED,
    ),
}
"""The properties of each code."""


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A finding about a package, one of its revisions, or one of their entries.

    Attributes:
        code: Kind of the finding.
        severity: Severity.
        happened: Fact, as a sentence.
        remedy: Action, as a sentence.
        logical_key: Entry; None for the package.
        uri: Object that the finding is about.
        replacement: Version that could replace a missing one, of the same size.
        is_same_content: The replacement has the checksum of the entry.
        first_loss: Date of the first deletion or transition by a lifecycle rule, in RFC 3339.
        entries: Number of entries that the finding concerns.
    """

    code: Code
    severity: Severity
    happened: str
    remedy: str
    logical_key: str | None = None
    uri: str | None = None
    replacement: str | None = None
    is_same_content: bool = False
    first_loss: str | None = None
    entries: int = 1

    @classmethod
    def about(  # noqa: PLR0913 - the optional facts of a finding
        cls,
        code: Code,
        happened: str,
        *,
        logical_key: str | None = None,
        uri: S3Uri | None = None,
        first_loss: str | None = None,
        entries: int = 1,
    ) -> "Finding":
        """Create a finding with the severity and the remedy of its code.

        Example:
            >>> found = Finding.about(Code.NOT_IN_S3, "a.txt is local.", logical_key="a.txt")
            >>> found.severity, found.remedy
            (<Severity.DAMAGE: 'damage'>, 'Package the files from S3.')
        """
        kind = KINDS[code]
        return cls(
            code=code,
            severity=kind.severity,
            happened=happened,
            remedy=kind.remedy,
            logical_key=logical_key,
            uri=None if uri is None else str(uri),
            first_loss=first_loss,
            entries=entries,
        )

    def with_replacement(self, version: S3Uri, *, is_same_content: bool) -> "Finding":
        """Return the finding with a version that could replace the missing one."""
        same = "the content" if is_same_content else "the size"
        return msgspec.structs.replace(
            self,
            replacement=str(version),
            is_same_content=is_same_content,
            remedy=f"Version {quote(version.version_id or 'null')} has {same} of the entry: "
            "package the folder again, or copy it from there.",
        )
