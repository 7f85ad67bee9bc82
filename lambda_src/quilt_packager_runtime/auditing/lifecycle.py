"""Lifecycle rules that will delete or archive what a package names, with the first date."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Self
from xml.etree import ElementTree as ET

import msgspec

from quilt_packager_runtime.auditing.findings import Code, Finding
from quilt_packager_runtime.auditing.version_join import Match
from quilt_packager_runtime.aws.s3_responses import ARCHIVED_CLASSES, ListedVersion
from quilt_packager_runtime.errors import quote

ENABLED = "Enabled"


class Action(msgspec.Struct, frozen=True):
    """An effect of a rule on current or noncurrent versions, and its time.

    Attributes:
        code: Meaning for an entry.
        days: Days after the version was written, or replaced; None with a date.
        date: Date, in RFC 3339.
        kept: Number of noncurrent versions that are kept.
        storage_class: Target of a transition.
    """

    code: Code
    days: int | None
    date: str | None = None
    kept: int = 0
    storage_class: str | None = None

    @classmethod
    def from_xml(cls, action: ET.Element) -> Self | None:
        """Read an action; None if it neither deletes versions nor archives them."""
        days = action.findtext("{*}Days") or action.findtext("{*}NoncurrentDays")
        date = action.findtext("{*}Date")
        if days is None and date is None:
            return None  # of delete markers
        storage_class = action.findtext("{*}StorageClass")
        if storage_class is not None and storage_class not in ARCHIVED_CLASSES:
            return None
        return cls(
            Code.EXPIRES if storage_class is None else Code.WILL_BE_ARCHIVED,
            None if days is None else int(days),
            date,
            int(action.findtext("{*}NewerNoncurrentVersions") or 0),
            storage_class,
        )

    def due(self, since: str) -> datetime:
        """Return the time when a version is lost: S3 acts at the midnight after the days."""
        if self.date is not None:
            return parse_time(self.date)
        due = parse_time(since) + timedelta(days=self.days or 0)
        return due.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


class Rule(msgspec.Struct, frozen=True):
    """An enabled rule that deletes or archives.

    Attributes:
        id: Its id.
        prefix: Prefix of its objects.
        above_bytes: Size above which it applies.
        below_bytes: Size below which it applies; None without a limit.
        has_tags: It applies to tagged objects only.
        current: Actions on current versions.
        noncurrent: Actions on noncurrent versions.
    """

    id: str
    prefix: str
    above_bytes: int
    below_bytes: int | None
    has_tags: bool
    current: tuple[Action, ...]
    noncurrent: tuple[Action, ...]

    def applies_to(self, found: ListedVersion) -> bool:
        """Return whether the rule's filter matches, apart from tags, which no listing shows."""
        return (
            found.key.startswith(self.prefix)
            and found.size_bytes > self.above_bytes
            and (self.below_bytes is None or found.size_bytes < self.below_bytes)
        )


def read_rules(rules: Iterable[ET.Element]) -> list[Rule]:
    """Read the enabled rules that delete or archive."""
    found = []
    for each in rules:
        if each.findtext("{*}Status") != ENABLED:
            continue
        current = _actions(each, "Expiration", "Transition")
        noncurrent = _actions(each, "NoncurrentVersionExpiration", "NoncurrentVersionTransition")
        if current or noncurrent:
            found.append(_rule(each, current, noncurrent))
    return found


def _rule(each: ET.Element, current: tuple[Action, ...], noncurrent: tuple[Action, ...]) -> Rule:
    filters = [*each.findall("{*}Filter"), *each.findall("{*}Filter/{*}And"), each]

    def text(name: str) -> str | None:
        return next(filter(None, (part.findtext("{*}" + name) for part in filters)), None)

    below = text("ObjectSizeLessThan")
    return Rule(
        each.findtext("{*}ID") or "",
        text("Prefix") or "",
        int(text("ObjectSizeGreaterThan") or -1),
        None if below is None else int(below),
        any(part.find("{*}Tag") is not None for part in filters),
        current,
        noncurrent,
    )


def _actions(rule: ET.Element, *names: str) -> tuple[Action, ...]:
    elements = (element for name in names for element in rule.findall("{*}" + name))
    return tuple(filter(None, map(Action.from_xml, elements)))


class Losses:
    """Counts the versions that the rules of a bucket will delete or archive.

    Args:
        bucket: Name of the bucket.
        rules: Its rules.
    """

    def __init__(self, bucket: str, rules: Sequence[Rule]) -> None:
        self._bucket = bucket
        self._rules = rules
        self._losses: dict[tuple[Rule, Action, bool], _Loss] = {}

    def add(self, match: Match) -> None:
        """Add a version that exists."""
        found = match.found
        if found is None or found.is_marker:
            return
        rules = [rule for rule in self._rules if rule.applies_to(found)]
        expirations = [
            action for rule in rules for action in rule.current if action.code is Code.EXPIRES
        ]
        is_pinned = match.reference.version_id is not None and found.version_id is not None
        replaced = match.noncurrent_since
        if replaced is None and expirations and is_pinned:
            # Expiration only hides the version behind a delete marker, and makes it noncurrent.
            replaced = min(action.due(found.modified) for action in expirations).isoformat()
        for rule in rules:
            for action in rule.noncurrent:
                # Which versions are beyond the kept ones depends on those to come.
                self._count(rule, action, match, None if action.kept else replaced)
            for action in rule.current if match.noncurrent_since is None else ():
                if not (action.code is Code.EXPIRES and is_pinned):
                    self._count(rule, action, match, found.modified)

    def _count(self, rule: Rule, action: Action, match: Match, since: str | None) -> None:
        key = (rule, action, since is None)
        loss = self._losses.setdefault(key, _Loss(match.reference.logical_key))
        loss.count += 1
        if since is not None:
            due = action.due(since)
            if loss.first is None or due < loss.first:
                loss.first, loss.logical_key = due, match.reference.logical_key

    def findings(self) -> list[Finding]:
        """Return a finding for each rule and action that will bite."""
        return [
            self._describe(rule, action, loss) for (rule, action, _), loss in self._losses.items()
        ]

    def _describe(self, rule: Rule, action: Action, loss: "_Loss") -> Finding:
        does = "delete" if action.code is Code.EXPIRES else f"move to {action.storage_class}"
        if loss.first is not None:
            when = f"from {loss.first.date()} on"
        elif action.kept:
            when = f"{action.days} days after each is replaced, beyond {action.kept} newer versions"
        else:
            when = f"{action.days} days after each is replaced"
        tagged = ", if they have its tags" if rule.has_tags else ""
        count = "1 version" if loss.count == 1 else f"{loss.count:,} versions"
        return Finding.about(
            action.code,
            f"The lifecycle rule {quote(rule.id)} of {self._bucket} will {does} {count} of this "
            f"package {when}{tagged}. The first is {quote(loss.logical_key)}.",
            first_loss=None if loss.first is None else loss.first.date().isoformat(),
            entries=loss.count,
        )


class _Loss:
    """The losses by one action."""

    def __init__(self, logical_key: str) -> None:
        self.logical_key = logical_key
        self.count = 0
        self.first: datetime | None = None


def parse_time(time: str) -> datetime:
    """Parse a time of S3, which is in UTC unless it says otherwise."""
    moment = datetime.fromisoformat(time)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
