"""The page of a package: its revisions, their differences, and the entries of one."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from quilt_packager_runtime.errors import quote as quote_name
from quilt_packager_runtime.formats.outcome import OutcomeFields
from quilt_packager_runtime.registry.publish import Package
from quilt_packager_runtime.registry.run_fields import INPUT_PACKAGES
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quilt_packager.admin.model import links
from quilt_packager.admin.model.caching import Answer
from quilt_packager.admin.model.package_filters import AUDIT_BADGES, SECOND
from quilt_packager.admin.model.package_views import (
    MAX_DIFFERENCES,
    Comparison,
    EntryQuery,
    Pair,
    RevisionQuery,
)
from quilt_packager.admin.pages.exports import download_json
from quilt_packager.admin.pages.job_page import read_lineage
from quilt_packager.admin.pages.package_details import (
    Damage,
    ShownAudit,
    browse_lines,
    describe_changes,
    list_differences,
    show_audit,
)
from quilt_packager.admin.pages.packages_page import PATH, may_read
from quilt_packager.admin.pages.page import Page
from quilt_packager.admin.web.problems import Problem, describe_problem
from quilt_packager.admin.web.rendering import is_whole
from quilt_packager.operations.errors import UnknownPackage, UnknownRevision
from quilt_packager.operations.lineage.openlineage import export_events
from quilt_packager.operations.revisions.contents import TOP_HASH
from quilt_packager.operations.revisions.packages import (
    EntryPage,
    PublishedRevision,
    RevisionPage,
)

REVISION_ROWS = 10
"""Number of revisions on a page."""

MAX_REVISION_ROWS = 50
"""Number of revisions on a page of all."""

DIFFERENCES = 20
"""Number of differences that are shown unless all are requested."""

METADATA_FIELDS = 8
"""Number of metadata fields that are shown unless all are opened."""

DAMAGED = "damaged"
"""The filter of entries that the last audit found damaged."""

ALL = "all"


class Shown(NamedTuple):
    """The revisions on a page.

    Attributes:
        page: Their listing.
        revisions: The revisions, the newest first.
        pairs: The earlier revision of each, by the place of the revision.
        before: Value of the parameter for older ones; None at the end.
        is_first_page: True if the page begins with the newest revision.
        rows: Maximum number of revisions on the page.
    """

    page: RevisionPage
    revisions: tuple[PublishedRevision, ...]
    pairs: Mapping[int, Pair]
    before: int | None
    is_first_page: bool
    rows: int

    @property
    def is_long(self) -> bool:
        """True for a page of as many revisions as possible."""
        return self.rows == MAX_REVISION_ROWS

    def number(self, top_hash: str) -> int | None:
        """Return the number of a revision on the page."""
        hashes = [each.top_hash for each in self.revisions]
        return self.page.first - hashes.index(top_hash) if top_hash in hashes else None


class PackagePage(Page):
    """The page of one package."""

    def routes(self) -> list[Route]:
        """Return the routes of the page."""
        path = f"{PATH}/{{registry}}/{{first}}/{{second}}"
        return [
            Route(path, self.show),
            Route(f"{path}/body", self.show_body),
            Route(f"{path}/changes", self.show_changes),
        ]

    def show(self, request: Request) -> Response:
        """Show the frame, without JavaScript with everything; or export the lineage."""
        package = self._package(request)
        if request.query_params.get("format") == "openlineage":
            return self._export_lineage(request, package)
        whole = is_whole(request)
        values = self._read(request) | self._read_changes(request) if whole else {}
        return self._renderer.page(
            request, "package.html", whole=whole, package=package, at=_path(package), **values
        )

    def show_body(self, request: Request) -> Response:
        """Show everything but the changes of each revision."""
        package = self._package(request)
        return self._renderer.part(
            request,
            "package_body.html",
            package=package,
            at=_path(package),
            changes={},
            whole=False,
            **self._read(request),
        )

    def show_changes(self, request: Request) -> Response:
        """Show the changes of each revision."""
        values = self._read_changes(request)
        return self._renderer.part(request, "package_changes_part.html", **values)

    def _package(self, request: Request) -> Package:
        place = request.path_params
        package = Package(place["registry"], f"{place['first']}/{place['second']}")
        if not may_read(self._views, package.registry):
            raise UnknownPackage(
                f"The engine has no registry {quote_name(package.registry)}.",
                why="Its settings do not name that bucket.",
                remedy="Choose a package from the list.",
            )
        return package

    def _read(self, request: Request) -> dict[str, Any]:
        package = self._package(request)
        self._views.start_audits()
        shown = self._list_revisions(request, package)
        top_hash = _find_top_hash(request.query_params.get("revision", ""), shown)
        audit = self._find_audit(package, shown.page.latest)
        entries = self._read_entries(request, package, top_hash, audit.damage)
        revision = OutcomeFields(
            registry=package.registry, package_name=package.name, top_hash=top_hash
        )
        header = entries["page"].header if entries["page"] else None
        metadata = (header.user_meta or {}) if header else {}
        lineage = read_lineage(self._views, revision, metadata)
        hidden = INPUT_PACKAGES if lineage else None
        return {
            "shown": shown,
            "max_revisions": MAX_REVISION_ROWS,
            "chosen": top_hash,
            "entries": entries,
            "metadata": {name: each for name, each in metadata.items() if name != hidden},
            "metadata_fields": METADATA_FIELDS,
            "message": header.message if header else None,
            "comparison": self._compare(request, package, shown),
            "audit": audit,
            "lineage": lineage,
            "job": revision,
            "lines": browse_lines(package, top_hash) if top_hash else None,
            **self._link(package, shown, revision, metadata),
        }

    def _link(
        self,
        package: Package,
        shown: Shown,
        revision: OutcomeFields,
        metadata: Mapping[str, Any],
    ) -> dict[str, Any]:
        deployment, configuration = self._views.deployment, self._views.configuration().value
        catalog_url = configuration.settings.catalog_url if configuration else None
        ids = (each.message_id for each in shown.revisions if each.message_id)
        jobs = filter(None, map(self._views.listed_job, ids))
        job = next(iter(jobs), None)
        again = links.again(job) if job else None
        return {
            "catalog": revision.catalog_link(catalog_url),
            "console": links.bucket_folder(deployment, package.registry, package.pointer("").key),
            "run": links.omics_run(deployment, metadata),
            "folder": job.source if job else None,
            "again": again or links.new_revision(package.registry, package.name),
        }

    def _list_revisions(self, request: Request, package: Package) -> Shown:
        wanted = request.query_params
        rows = MAX_REVISION_ROWS if wanted.get("revisions") == ALL else REVISION_ROWS
        text = wanted.get("before", "")
        before = int(text) if SECOND.fullmatch(text) else None
        # One more, with which the last of the page is compared.
        answer = self._views.packages.revisions(RevisionQuery(package, rows + 1, before))
        if answer.value is None:
            raise answer.error or LookupError(package.name)
        found = answer.value.revisions
        pairs = {}
        for place, each in enumerate(found[:rows]):
            earlier = found[place + 1] if place + 1 < len(found) else None
            if each.top_hash and (earlier is None or earlier.top_hash):
                pairs[place] = Pair(package, earlier.top_hash if earlier else None, each.top_hash)
        last = found[rows - 1].published if len(found) > rows else None
        return Shown(
            answer.value,
            found[:rows],
            pairs,
            int(last.timestamp()) if last else None,
            before is None,
            rows,
        )

    def _read_changes(self, request: Request) -> dict[str, Any]:
        """Describe the changes of each revision on the page, by its place."""
        shown = self._list_revisions(request, self._package(request))
        try:
            summaries = self._views.packages.summaries(shown.pairs.values())
        except Exception as error:  # noqa: BLE001 - shown in the place of the changes
            problem = describe_problem(error).happened
            return {"changes": dict.fromkeys(shown.pairs, problem)}
        return {
            "changes": {
                place: describe_changes(summaries[pair], is_first=pair.before is None)
                for place, pair in shown.pairs.items()
            }
        }

    def _read_entries(
        self, request: Request, package: Package, top_hash: str | None, damage: Damage
    ) -> dict[str, Any]:
        wanted = request.query_params
        glob, after = wanted.get("entries", ""), wanted.get("entries_after", "")
        answer = Answer[EntryPage]()
        if top_hash is not None:
            is_damaged = glob == DAMAGED
            query = EntryQuery(
                package,
                top_hash,
                "" if is_damaged else glob,
                damage.keys if is_damaged else None,
                after,
            )
            answer = self._views.packages.entries(query)
        page = answer.value
        return {
            "glob": glob,
            "after": after,
            "page": page,
            "rows": [damage.show(each) for each in page.entries] if page else [],
            "problem": _problem(answer),
        }

    def _compare(self, request: Request, package: Package, shown: Shown) -> dict[str, Any] | None:
        before, after = (request.query_params.get(name, "") for name in ("a", "b"))
        if not (before and after):
            return None
        answer = self._views.packages.comparison(Pair(package, _check(before), _check(after)))
        limit = MAX_DIFFERENCES if request.query_params.get("diff") == ALL else DIFFERENCES
        return {
            "before": before,
            "after": after,
            "numbers": [shown.number(each) for each in (before, after)],
            "value": answer.value,
            "rows": _first_differences(answer.value, limit),
            "is_all": limit == MAX_DIFFERENCES,
            "command": self._views.deployment.command(
                *("diff", package.name, before, after, "--registry", package.registry),
                names_stack=True,
            ),
            "problem": _problem(answer),
        }

    def _find_audit(self, package: Package, latest: str | None) -> ShownAudit:
        answer = self._views.audits()
        place = (package.registry, package.name)
        mine = (each for each in answer.value or () if (each.registry, each.package_name) == place)
        problem = describe_problem(answer.error) if answer.error else None
        return show_audit(next(mine, None), latest, problem, AUDIT_BADGES)

    def _export_lineage(self, request: Request, package: Package) -> Response:
        """Return the revisions one step away as events of OpenLineage."""
        shown = self._list_revisions(request, package)
        top_hash = _find_top_hash(request.query_params.get("revision", ""), shown)
        if top_hash is None:
            raise UnknownRevision(
                f"{package.registry} has no valid revision of {quote_name(package.name)}.",
                why="Its pointers hold no top hash.",
                remedy="Package the folder again.",
            )
        configuration = self._views.configuration().value
        table = configuration.settings.lineage_table if configuration else None
        tree = self._views.packages.lineage(package, top_hash, table)
        return download_json(list(export_events(tree)), "lineage.json")


def _first_differences(comparison: Comparison | None, limit: int) -> list[Any]:
    return list_differences(comparison)[:limit] if comparison else []


def _path(package: Package) -> str:
    return f"{PATH}/{quote(package.registry)}/{quote(package.name)}"


def _problem(answer: Answer[Any]) -> Problem | None:
    if isinstance(answer.error, ValueError):
        return Problem(
            "InvalidGlob", f"The filter is not a glob: {answer.error}.", "", "Change the filter."
        )
    return describe_problem(answer.error) if answer.error and answer.value is None else None


def _find_top_hash(name: str, shown: Shown) -> str | None:
    if name:
        return _check(name)
    newest = (each.top_hash for each in shown.revisions if each.top_hash)
    return shown.page.latest or next(newest, None)


def _check(top_hash: str) -> str:
    if not TOP_HASH.fullmatch(top_hash):
        raise UnknownRevision(
            f"There is no revision {quote_name(top_hash)}.",
            why="A top hash has 64 hexadecimal digits.",
            remedy="Choose a revision from the list.",
        )
    return top_hash
