"""The page of a package: its revisions, their differences, and the entries of one."""

import json
from typing import Any
from urllib.parse import quote

from quilt_packager_runtime.errors import quote as quote_name
from quilt_packager_runtime.formats.outcome import OutcomeFields
from quilt_packager_runtime.registry.publish import Package
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quilt_packager.admin.model import links
from quilt_packager.admin.model.caching import Answer
from quilt_packager.admin.model.package_views import EntryQuery
from quilt_packager.admin.pages.job_page import read_lineage
from quilt_packager.admin.pages.packages_page import PATH, may_read
from quilt_packager.admin.pages.page import Page
from quilt_packager.admin.web.problems import Problem, describe_problem
from quilt_packager.admin.web.rendering import is_whole
from quilt_packager.operations.errors import UnknownPackage, UnknownRevision
from quilt_packager.operations.revisions.contents import TOP_HASH
from quilt_packager.operations.revisions.packages import EntryPage, RevisionPage


class PackagePage(Page):
    """The page of one package."""

    def routes(self) -> list[Route]:
        """Return the routes of the page."""
        path = f"{PATH}/{{registry}}/{{first}}/{{second}}"
        return [Route(path, self.show), Route(f"{path}/body", self.show_body)]

    def show(self, request: Request) -> Response:
        """Show the frame, without JavaScript with everything."""
        whole = is_whole(request)
        values = self._read(request) if whole else {}
        package = self._package(request)
        return self._renderer.page(
            request, "package.html", whole=whole, package=package, values=values, at=_path(package)
        )

    def show_body(self, request: Request) -> Response:
        """Show everything."""
        package = self._package(request)
        return self._renderer.part(
            request,
            "package_body.html",
            package=package,
            at=_path(package),
            **self._read(request),
        )

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
        wanted = request.query_params
        answer = self._views.packages.revisions(package)
        if answer.value is None:
            raise answer.error or LookupError(package.name)
        top_hash = _find_top_hash(wanted.get("revision", ""), answer.value)
        glob, after = wanted.get("entries", ""), wanted.get("entries_after", "")
        entries = self._read_entries(package, top_hash, glob, after)
        configuration = self._views.configuration().value
        revision = OutcomeFields(
            registry=package.registry, package_name=package.name, top_hash=top_hash
        )
        metadata = (entries.value.header.user_meta or {}) if entries.value else {}
        return {
            "revisions": answer.value,
            "chosen": top_hash,
            "glob": glob,
            "after": after,
            "entries": entries.value,
            "entries_problem": _problem(entries),
            "metadata": metadata,
            "comparison": self._compare(request, package),
            "catalog": revision.catalog_link(
                configuration.settings.catalog_url if configuration else None
            ),
            "console": links.bucket_folder(
                self._views.deployment, package.registry, package.pointer("").key
            ),
            "damage": self._find_damage(package),
            "lineage": read_lineage(self._views, revision, metadata),
            "job": revision,
            "line": browse_line(package, top_hash),
        }

    def _read_entries(
        self, package: Package, top_hash: str | None, glob: str, after: str
    ) -> Answer[EntryPage]:
        if top_hash is None:
            return Answer()
        return self._views.packages.entries(EntryQuery(package, top_hash, glob, after))

    def _compare(self, request: Request, package: Package) -> dict[str, Any] | None:
        before, after = (request.query_params.get(name, "") for name in ("a", "b"))
        if not (before and after):
            return None
        answer = self._views.packages.comparison(package, _check(before), _check(after))
        return {
            "before": before,
            "after": after,
            "value": answer.value,
            "problem": _problem(answer),
        }

    def _find_damage(self, package: Package) -> object:
        found = self._views.damaged().value or []
        mine = (
            each
            for each in found
            if (each.registry, each.package_name) == (package.registry, package.name)
        )
        return next(mine, None)


def browse_line(package: Package, top_hash: str | None) -> str:
    """Return the line of Python that opens a revision. Names are escaped: any writer chose them.

    Example:
        >>> browse_line(Package("lab", "runs/42"), "ab12")
        'quilt3.Package.browse("runs/42", registry="s3://lab", top_hash="ab12")'
    """
    name, registry = json.dumps(package.name), json.dumps(f"s3://{package.registry}")
    return f"quilt3.Package.browse({name}, registry={registry}, top_hash={json.dumps(top_hash)})"


def _path(package: Package) -> str:
    return f"{PATH}/{quote(package.registry)}/{quote(package.name)}"


def _problem(answer: Answer[Any]) -> Problem | None:
    if isinstance(answer.error, ValueError):
        return Problem(
            "InvalidGlob", f"The filter is not a glob: {answer.error}.", "", "Change the filter."
        )
    return describe_problem(answer.error) if answer.error and answer.value is None else None


def _find_top_hash(name: str, revisions: RevisionPage) -> str | None:
    if name:
        return _check(name)
    newest = (each.top_hash for each in revisions.revisions if each.top_hash)
    return revisions.latest or next(newest, None)


def _check(top_hash: str) -> str:
    if not TOP_HASH.fullmatch(top_hash):
        raise UnknownRevision(
            f"There is no revision {quote_name(top_hash)}.",
            why="A top hash has 64 hexadecimal digits.",
            remedy="Choose a revision from the list.",
        )
    return top_hash
