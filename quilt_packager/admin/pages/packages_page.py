"""The Packages tab: packages of the registries, with the results of their last audits."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quilt_packager.admin.model.package_filters import (
    AGES,
    AUDIT_BADGES,
    ROWS,
    ChosenPackages,
    PackageFilter,
    PackageRow,
    choose,
    match,
)
from quilt_packager.admin.model.package_views import IndexQuery
from quilt_packager.admin.model.views import Views
from quilt_packager.admin.pages.exports import download_csv, download_json
from quilt_packager.admin.pages.page import Page
from quilt_packager.admin.web.problems import Problem, describe_problem
from quilt_packager.admin.web.rendering import Tab, is_whole
from quilt_packager.operations.audits import AuditedPackage
from quilt_packager.operations.revisions.packages import PublishedRevision
from quilt_packager.operations.revisions.registry_index import IndexedPackage

PATH = "/packages"
TAB = Tab("Packages", PATH)
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")

MAX_WRITERS = 2000
"""Maximum number of packages whose writers are read for a filter, with a request for each."""

BAD_GATEWAY = 502

EXPORT_SECONDS = 120
"""Time in which the newest revisions of all exported packages are read."""

COLUMNS = (
    "registry",
    "package_name",
    "top_hash",
    "published",
    "made_by",
    "revisions",
    "audit",
    "audited",
    "entries",
    "damaged",
    "expiring",
    "first_loss",
    "remark",
)

Newest = Mapping[IndexedPackage, PublishedRevision]


class Listed(NamedTuple):
    """The list of a page.

    Attributes:
        wanted: The filter.
        registries: Known registries.
        unknown: The chosen registry, if the engine may not read it.
        chosen: The packages; None if no registry could be listed.
        newest: Newest revisions of those on the page.
        problems: Errors of registries, audits and revisions.
        cut: Registries that have more revisions than are listed.
        unread: Number of packages whose writers were not read for the filter.
        at: Time of the oldest listing.
        audited: Time of the last audit; None without one.
        entries: Number of entries that the last audits compared.
    """

    wanted: PackageFilter
    registries: Sequence[str]
    unknown: str = ""
    chosen: ChosenPackages | None = None
    newest: Newest = MappingProxyType({})
    problems: Sequence[Problem] = ()
    cut: Sequence[str] = ()
    unread: int = 0
    at: datetime | None = None
    audited: datetime | None = None
    entries: int = 0


class PackagesPage(Page):
    """The Packages tab."""

    def routes(self) -> list[Route]:
        """Return the routes of the tab."""
        return [Route(PATH, self.show), Route(f"{PATH}/list", self.show_list)]

    def show(self, request: Request) -> Response:
        """Show the frame, without JavaScript with the list; or export the packages."""
        wanted = PackageFilter.from_query(request.query_params)
        export = EXPORTS.get(request.query_params.get("format", ""))
        if export is not None:
            return self._export(request, wanted, export)
        whole = is_whole(request)
        listed = self._list(wanted) if whole else None
        return self._renderer.page(
            request, "packages.html", whole=whole, listed=listed, wanted=wanted, **_values()
        )

    def show_list(self, request: Request) -> Response:
        """Show the list."""
        wanted = PackageFilter.from_query(request.query_params)
        response = self._renderer.part(
            request, "packages_list.html", whole=False, listed=self._list(wanted), **_values()
        )
        if request.headers.get("hx-source", "").startswith("form"):
            response.headers["HX-Push-Url"] = self._renderer.root + wanted.url()
        return response

    def _list(self, wanted: PackageFilter) -> Listed:
        listed, matching = self._match(wanted)
        if listed.at is None:
            return listed
        chosen = choose(matching, wanted)
        problems = list(listed.problems)
        newest: Newest = {}
        try:
            newest = self._views.packages.newest(each.package for each in chosen.rows)
        except Exception as error:  # noqa: BLE001 - shown above the rows
            problems.append(describe_problem(error))
        return listed._replace(chosen=chosen, newest=newest, problems=problems)

    def _export(self, request: Request, wanted: PackageFilter, export: "Export") -> Response:
        """Return all packages of the filter; never a part of them."""
        listed, matching = self._match(wanted, limit=None)
        if listed.problems:
            return self._renderer.problem(request, listed.problems[0], status=BAD_GATEWAY)
        chosen = choose(matching, wanted).packages
        newest = self._views.packages.newest(
            (each.package for each in chosen), limit_seconds=EXPORT_SECONDS
        )
        return export([_fields(each, newest[each.package]) for each in chosen])

    def _match(
        self, wanted: PackageFilter, *, limit: int | None = MAX_WRITERS
    ) -> tuple[Listed, list[PackageRow]]:
        """List the registries, and find the packages that match all but the audit's state."""
        registries = find_registries(self._views)
        listed = Listed(wanted, registries)
        names = [wanted.registry] if wanted.registry else registries
        refused = [name for name in names if not may_read(self._views, name)]
        if refused or not names:
            return listed._replace(unknown="".join(refused[:1])), []
        self._views.start_audits()
        listed, packages = self._read_indexes(listed, names)
        answer = self._views.audits()
        audits = [each for each in answer.value or () if each.registry in names]
        if answer.error is not None:
            listed = listed._replace(problems=[*listed.problems, describe_problem(answer.error)])
        matching = match(packages, audits, wanted, datetime.now().astimezone())
        if wanted.by:
            listed, matching = self._choose_writer(listed, matching, limit)
        return listed._replace(**_sum_up(audits)), matching

    def _read_indexes(
        self, listed: Listed, names: Sequence[str]
    ) -> tuple[Listed, list[IndexedPackage]]:
        views = self._views.packages
        for name in names:
            views.start_index(IndexQuery(name, ""))
        packages: list[IndexedPackage] = []
        problems, cut, times = [], [], []
        for name in names:
            answer = views.index(IndexQuery(name, ""))
            if answer.value and not answer.value.is_complete:
                cut.append(name)
                # A prefix reaches packages beyond the first ones.
                prefixed = views.index(IndexQuery(name, listed.wanted.prefix))
                answer = answer if prefixed.value is None else prefixed
            if answer.error is not None:
                problems.append(describe_problem(answer.error))
            if answer.value is not None and answer.at is not None:
                packages += answer.value.packages
                times.append(answer.at)
        at = min(times, default=None)
        return listed._replace(problems=problems, cut=cut, at=at), packages

    def _choose_writer(
        self, listed: Listed, matching: Sequence[PackageRow], limit: int | None
    ) -> tuple[Listed, list[PackageRow]]:
        rows = matching[:limit]
        seconds = None if limit else EXPORT_SECONDS
        try:
            newest = self._views.packages.newest(
                (each.package for each in rows), limit_seconds=seconds
            )
        except Exception as error:  # noqa: BLE001 - shown in place of the rows
            return listed._replace(problems=[*listed.problems, describe_problem(error)]), []
        found = [row for row in rows if newest[row.package].made_by == listed.wanted.by]
        return listed._replace(unread=len(matching) - len(rows)), found


def _sum_up(audits: Sequence[AuditedPackage]) -> dict[str, Any]:
    return {
        "audited": max((each.audited for each in audits), default=None),
        "entries": sum(each.entries for each in audits),
    }


def _fields(row: PackageRow, newest: PublishedRevision) -> dict[str, object]:
    """Return the exported fields of a package."""
    package, audit = row.package, row.audit
    return {
        "registry": package.registry,
        "package_name": package.package_name,
        "top_hash": newest.top_hash,
        "published": package.published.isoformat() if package.published else None,
        "made_by": newest.made_by,
        "revisions": package.revisions,
        "audit": str(row.state),
        "audited": audit.audited.isoformat() if audit else None,
        "entries": audit.entries if audit else None,
        "damaged": audit.damaged if audit else None,
        "expiring": audit.expiring if audit else None,
        "first_loss": audit.first_loss if audit else None,
        "remark": row.remark or None,
    }


Export: TypeAlias = Callable[[Sequence[Mapping[str, object]]], Response]

EXPORTS: Mapping[str, Export] = {
    "csv": lambda rows: download_csv(COLUMNS, rows, "packages.csv"),
    "json": lambda rows: download_json(rows, "packages.json"),
}
"""The formats, by their names in a URL."""


def _values() -> dict[str, Any]:
    return {
        "ages": AGES,
        "chips": {str(state): badge.word for state, badge in AUDIT_BADGES.items()},
        "page_rows": ROWS,
        "max_writers": MAX_WRITERS,
    }


def find_registries(views: Views) -> list[str]:
    """Return the registries that are known: those of the settings, and those of listed jobs."""
    configuration = views.configuration().value
    if configuration is None:
        return views.listed_registries()
    settings = configuration.settings
    named = [settings.default_registry, *settings.registry_buckets, settings.quarantine_registry]
    jobs = () if settings.registry_buckets else views.listed_registries()
    return list(dict.fromkeys(name for name in [*named, *jobs] if name))


def may_read(views: Views, registry: str) -> bool:
    """Return whether the engine may read a registry; any bucket if its settings name none."""
    configuration = views.configuration().value
    is_limited = configuration is not None and configuration.settings.registry_buckets
    if is_limited:
        return registry in find_registries(views)
    return BUCKET.fullmatch(registry) is not None
