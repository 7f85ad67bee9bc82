"""Filters of the list of packages. The URL is the state, as for the list of jobs."""

import fnmatch
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Self, get_args
from urllib.parse import urlencode

from quilt_packager.admin.model.job_filters import WILDCARDS
from quilt_packager.admin.model.labels import Badge
from quilt_packager.operations import formats
from quilt_packager.operations.audits import AuditedPackage, AuditState
from quilt_packager.operations.revisions.packages import MadeBy
from quilt_packager.operations.revisions.registry_index import IndexedPackage

ROWS = 50
"""Number of packages on one page of the list."""

SECOND = re.compile(r"\d{1,10}", re.ASCII)
"""Second of a pointer in a URL."""

TODAY, WEEK, OLD = "today", "7d", "1y"

AGES = {"": "Age", TODAY: "Today", WEEK: "7 days", OLD: "Older than 1 year"}
"""The values of the filter of the newest revision's age, with their words."""

NEWEST, OLDEST, NAME = "newest", "oldest", "name"

ORDERS = {NEWEST: "newest first", OLDEST: "oldest first", NAME: "by name"}

WRITERS = ("", *get_args(MadeBy))

AUDIT_BADGES = {
    AuditState.DAMAGED: Badge("Damaged", "x", "b-damaged"),
    AuditState.LOSING: Badge("Losing soon", "slash", "b-rejected"),
    AuditState.SOUND: Badge("Sound", "check", "b-created"),
    AuditState.UNAUDITED: Badge("Not audited", "info", "b-none"),
}


class PackageFilter(NamedTuple):
    """A filter of the list of packages.

    Attributes:
        text: Glob for the name; without wildcards, a part of the name.
        registry: Only packages of this registry; empty for all.
        by: Only packages with a newest revision of this writer; empty for all.
        age: Key of `AGES`.
        audit: Only packages in this state of their audit; empty for all.
        order: Key of `ORDERS`.
        after: The package that the page begins below, as `key_of` writes it; empty for the first.
    """

    text: str = ""
    registry: str = ""
    by: str = ""
    age: str = ""
    audit: str = ""
    order: str = NEWEST
    after: str = ""

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Self:
        """Parse the query of a URL, ignoring unknown values.

        Example:
            >>> PackageFilter.from_query({"by": "person", "audit": "odd", "q": " wgs "}).query()
            'q=wgs&by=person'
        """
        by, age, audit, order = (query.get(name, "") for name in ("by", "age", "audit", "order"))
        return cls(
            query.get("q", "").strip(),
            query.get("registry", "").strip(),
            by if by in WRITERS else "",
            age if age in AGES else "",
            audit if audit in {*AuditState} else "",
            order if order in ORDERS else NEWEST,
            query.get("after", ""),
        )

    def query(self, **extra: str) -> str:
        """Format the filter as the query of a URL, without defaults."""
        parameters = {
            "q": self.text,
            "registry": self.registry,
            "by": self.by,
            "age": self.age,
            "audit": self.audit,
            "order": self.order if self.order != NEWEST else "",
            "after": self.after,
            **extra,
        }
        return urlencode({name: value for name, value in parameters.items() if value})

    def url(self, path: str = "/packages", **extra: str) -> str:
        """Format the filter as a URL."""
        query = self.query(**extra)
        return f"{path}?{query}" if query else path

    @property
    def prefix(self) -> str:
        """The beginning of the text without wildcards."""
        return self.text[
            : next((at for at, char in enumerate(self.text) if char in WILDCARDS), None)
        ]

    def matches(self, package: IndexedPackage, now: datetime) -> bool:
        """Return True if the name and the age match."""
        return self._matches_text(package.package_name) and self._matches_age(package, now)

    def _matches_text(self, name: str) -> bool:
        if WILDCARDS.isdisjoint(self.text):
            return self.text.lower() in name.lower()
        return fnmatch.fnmatchcase(name, self.text)

    def _matches_age(self, package: IndexedPackage, now: datetime) -> bool:
        published = package.published
        if not self.age or published is None:
            return not self.age
        if self.age == TODAY:
            return published.astimezone(now.tzinfo).date() == now.date()
        if self.age == WEEK:
            return now - published < timedelta(days=7)
        return now - published > timedelta(days=365)


class PackageRow(NamedTuple):
    """A package of the list.

    Attributes:
        package: The package.
        state: State of its audit.
        audit: Result of its last audit; None without one.
    """

    package: IndexedPackage
    state: AuditState
    audit: AuditedPackage | None

    @property
    def badge(self) -> Badge:
        """The badge of the state; damage with the number of entries."""
        badge = AUDIT_BADGES[self.state]
        if self.audit is None or self.state is not AuditState.DAMAGED:
            return badge
        return badge._replace(word=formats.count(self.audit.damaged, "entry"))

    @property
    def remark(self) -> str:
        """The reason of the state, as a sentence; empty without one."""
        audit = self.audit
        if audit is None or self.state is AuditState.SOUND:
            return ""
        if self.state is AuditState.DAMAGED:
            return audit.findings[0].happened if audit.findings else ""
        if self.state is AuditState.LOSING:
            return (
                f"{formats.count(audit.expiring, 'version')} will be deleted or archived "
                f"from {audit.first_loss} on."
            )
        if audit.not_audited is not None:
            return f"The last audit could not check it: {audit.not_audited}"
        if audit.unchecked:
            return f"The last audit could not check {formats.count(audit.unchecked, 'entry')}."
        return ""


class ChosenPackages(NamedTuple):
    """The packages that match a filter.

    Attributes:
        packages: All of them, in the order of the filter.
        rows: Those on this page.
        counts: Packages that match all but the state of the audit, by state.
        first: Number of the first row, from 1.
        following: The package that the next page begins below; None on the last page.
    """

    packages: Sequence[PackageRow]
    rows: Sequence[PackageRow]
    counts: Mapping[str, int]
    first: int
    following: str | None

    @property
    def matching(self) -> int:
        """The number of packages that match all but the state of the audit."""
        return sum(self.counts.values())


def match(
    packages: Iterable[IndexedPackage],
    audits: Iterable[AuditedPackage],
    wanted: PackageFilter,
    now: datetime,
) -> list[PackageRow]:
    """Find the packages whose names and ages match, in the order of the filter."""
    known = {(each.registry, each.package_name): each for each in audits}
    rows = []
    for package in packages:
        if wanted.matches(package, now):
            audit = known.get((package.registry, package.package_name))
            state = audit.state(package.published) if audit else AuditState.UNAUDITED
            rows.append(PackageRow(package, state, audit))
    return sorted(rows, key=lambda each: _place(each.package, wanted.order))


def choose(matching: Sequence[PackageRow], wanted: PackageFilter) -> ChosenPackages:
    """Apply the state of the audit, and choose the rows of the page."""
    chosen = [each for each in matching if wanted.audit in ("", each.state)]
    after = _read_key(wanted.after)
    below = chosen
    if after is not None:
        place = _place(after, wanted.order)
        below = [each for each in chosen if _place(each.package, wanted.order) > place]
    rows = below[:ROWS]
    return ChosenPackages(
        chosen,
        rows,
        Counter(each.state for each in matching),
        len(chosen) - len(below) + 1,
        key_of(rows[-1].package) if len(below) > len(rows) else None,
    )


def key_of(package: IndexedPackage) -> str:
    """Format the place of a package for a URL.

    Example:
        >>> key_of(IndexedPackage("lab", "runs/42", 2, 1_700_000_000))
        '1700000000.lab/runs/42'
    """
    return f"{package.second or 0}.{package.registry}/{package.package_name}"


def _read_key(text: str) -> IndexedPackage | None:
    second, dot, rest = text.partition(".")
    registry, slash, name = rest.partition("/")
    if not (dot and slash and SECOND.fullmatch(second)):
        return None
    return IndexedPackage(registry, name, 0, int(second))


def _place(package: IndexedPackage, order: str) -> tuple[str | int, str, str]:
    name, registry, second = package.package_name, package.registry, package.second or 0
    if order == NAME:
        return "", name, registry
    return second if order == OLDEST else -second, name, registry
