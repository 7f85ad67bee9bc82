"""Parts of the page of a package, in words: changes, differences, damaged entries, the audit."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from quilt_packager_runtime.formats.manifest_lines import ManifestLine
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.registry.publish import Package
from quilt_packager_runtime.reporting.log_events import DamagedEntry

from quilt_packager.admin.model.labels import Badge
from quilt_packager.admin.model.package_views import Comparison
from quilt_packager.admin.web.problems import Problem
from quilt_packager.operations import formats
from quilt_packager.operations.audits import AuditedPackage, AuditState
from quilt_packager.operations.revisions.diff import Added, Changed, Removed, Summary

NAMED_FIELDS = 3
"""Number of metadata fields that a summary names; more are counted."""

MAX_VALUE_CHARS = 80
"""Number of characters of a metadata value in a comparison."""

NONE = "\N{EN DASH}"


def describe_changes(summary: Summary | None, *, is_first: bool) -> str:
    """Describe the changes of a revision; empty if they were not counted.

    Example:
        >>> describe_changes(Summary(14, 0, 3, 9, metadata_changed=False), is_first=False)
        '14 added, 3 changed'
    """
    if summary is None:
        return ""
    if is_first:
        return formats.count(summary.added, "entry")
    counts = {"added": summary.added, "changed": summary.changed, "removed": summary.removed}
    entries = ", ".join(f"{number:,} {word}" for word, number in counts.items() if number)
    if not summary.metadata_changed:
        return entries or "no change"
    fields = summary.metadata_fields
    names = (*fields.added, *fields.changed, *fields.removed)
    shown = ", ".join(names) if len(names) <= NAMED_FIELDS else f"{len(names):,} fields"
    return f"{entries}; metadata: {shown}" if entries else f"metadata only: {shown}"


def browse_lines(package: Package, top_hash: str) -> str:
    """Return the Python that opens a revision. Names are escaped: any writer chose them.

    Example:
        >>> print(browse_lines(Package("lab", "runs/42"), "ab12"))
        import quilt3
        p = quilt3.Package.browse(
            "runs/42",
            registry="s3://lab",
            top_hash="ab12")
    """
    return (
        "import quilt3\n"
        "p = quilt3.Package.browse(\n"
        f"    {json.dumps(package.name)},\n"
        f"    registry={json.dumps(f's3://{package.registry}')},\n"
        f"    top_hash={json.dumps(top_hash)})"
    )


class Difference(NamedTuple):
    """A row of a comparison.

    Attributes:
        change: `added`, `changed` or `removed`.
        name: Logical key, or name of the metadata field.
        now: Size or value in the later revision.
        before: Size or value in the earlier revision.
        is_field: True for a metadata field.
    """

    change: str
    name: str
    now: str
    before: str
    is_field: bool = False

    @property
    def sign(self) -> str:
        """The sign of the change."""
        return {"added": "+", "changed": "~", "removed": "\N{MINUS SIGN}"}[self.change]


def list_differences(comparison: Comparison) -> list[Difference]:
    """List the differences of two revisions: of their metadata, then of their entries."""
    fields, (before, now) = comparison.summary.metadata_fields, comparison.metadata
    named = {"changed": fields.changed, "added": fields.added, "removed": fields.removed}
    rows = [
        Difference(change, name, _value(now, name), _value(before, name), is_field=True)
        for change, names in named.items()
        for name in names
    ]
    return rows + [_describe(each) for each in comparison.changes]


def _describe(change: Added | Changed | Removed) -> Difference:
    key = change.logical_key
    if isinstance(change, Changed):
        after = "metadata" if change.only_metadata else _size(change.after_bytes)
        return Difference("changed", key, after, _size(change.before_bytes))
    if isinstance(change, Added):
        return Difference("added", key, _size(change.size_bytes), NONE)
    return Difference("removed", key, NONE, _size(change.size_bytes))


def _size(size_bytes: int | None) -> str:
    return NONE if size_bytes is None else formats.size(size_bytes)


def _value(metadata: Mapping[str, Any], name: str) -> str:
    if name not in metadata:
        return NONE
    value = metadata[name]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_VALUE_CHARS else f"{text[:MAX_VALUE_CHARS]}…"


class ShownEntry(NamedTuple):
    """An entry with its damage.

    Attributes:
        line: Its line in the manifest.
        version_id: Version of its object; None if it names none.
        damage: Finding of the last audit; None without damage.
    """

    line: ManifestLine
    version_id: str | None
    damage: DamagedEntry | None


class Damage:
    """The damaged entries that the log of the last audit names.

    Attributes:
        keys: Their logical keys.
    """

    def __init__(self, findings: Sequence[DamagedEntry]) -> None:
        self._by_uri = {
            _parse(each.uri): each for each in findings if each.logical_key and each.uri
        }
        self.keys = frozenset(each.logical_key for each in findings if each.logical_key)

    def show(self, line: ManifestLine) -> ShownEntry:
        """Return an entry with its damage. Another version of a damaged object is not damaged."""
        keys = [each for each in line.physical_keys or () if isinstance(each, str)]
        uri = _parse(keys[0]) if keys else None
        damage = self._by_uri.get(uri) if uri else None
        return ShownEntry(line, uri.version_id if uri else None, damage)


def _parse(uri: str | None) -> S3Uri | None:
    try:
        return S3Uri.parse(uri or "")
    except ValueError:
        return None


class ShownAudit(NamedTuple):
    """The last audit of a package.

    Attributes:
        audit: Its result; None without one.
        state: State of the newest revision.
        badge: Badge of the state.
        damage: The damaged entries.
        unaudited: Reason for which the newest revision is not audited; empty if it is.
        problem: Error of the log; None without one.
    """

    audit: AuditedPackage | None
    state: AuditState
    badge: Badge
    damage: Damage
    unaudited: str
    problem: Problem | None


def show_audit(
    audit: AuditedPackage | None,
    latest: str | None,
    problem: Problem | None,
    badges: Mapping[AuditState, Badge],
) -> ShownAudit:
    """Compare the last audit with the newest revision."""
    state, reason = _find_state(audit, latest)
    badge = badges[state]
    if audit is not None and state is AuditState.DAMAGED:
        badge = badge._replace(word=f"{formats.count(audit.damaged, 'entry')} damaged")
    return ShownAudit(audit, state, badge, Damage(audit.findings if audit else ()), reason, problem)


def _find_state(audit: AuditedPackage | None, latest: str | None) -> tuple[AuditState, str]:
    if audit is None:
        return AuditState.UNAUDITED, "No audit of the last 35 days has checked this package."
    state = audit.state(None)
    if audit.not_audited is not None:
        return state, f"The last audit could not check it: {audit.not_audited}"
    if audit.top_hash not in (None, latest):
        is_damaged = state is AuditState.DAMAGED
        reason = "The last audit was of an earlier revision."
        return (state if is_damaged else AuditState.UNAUDITED), reason
    if audit.unchecked:
        return state, f"{formats.count(audit.unchecked, 'entry')} could not be checked."
    return state, ""
