"""The Packages tab: packages of a registry by name, with their newest revisions."""

import re
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quilt_packager.admin.model.package_views import PackageQuery
from quilt_packager.admin.model.views import Views
from quilt_packager.admin.pages.page import Page
from quilt_packager.admin.web.problems import describe_problem
from quilt_packager.admin.web.rendering import Tab, is_whole

PATH = "/packages"
TAB = Tab("Packages", PATH)
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class PackagesPage(Page):
    """The Packages tab."""

    def routes(self) -> list[Route]:
        """Return the routes of the tab."""
        return [Route(PATH, self.show), Route(f"{PATH}/list", self.show_list)]

    def show(self, request: Request) -> Response:
        """Show the frame, without JavaScript with the list."""
        whole = is_whole(request)
        listed = self._list(request) if whole else {}
        query = urlencode(
            {name: request.query_params.get(name, "") for name in ("registry", "q", "after")}
        )
        return self._renderer.page(
            request,
            "packages.html",
            whole=whole,
            listed=listed,
            list_query=query,
            text=request.query_params.get("q", ""),
        )

    def show_list(self, request: Request) -> Response:
        """Show the list."""
        return self._renderer.part(request, "packages_list.html", listed=self._list(request))

    def _list(self, request: Request) -> dict[str, Any]:
        wanted = request.query_params
        registries = find_registries(self._views)
        chosen = wanted.get("registry", "") or next(iter(registries), "")
        listed: dict[str, Any] = {
            "registries": registries,
            "registry": chosen,
            "text": wanted.get("q", ""),
            "after": wanted.get("after", ""),
            "page": None,
            "problem": None,
            "damaged": {},
        }
        if not may_read(self._views, chosen):
            return listed
        answer = self._views.packages.packages(
            PackageQuery(chosen, listed["text"], listed["after"])
        )
        found = self._views.damaged().value or []
        return listed | {
            "page": answer.value,
            "problem": describe_problem(answer.error) if answer.error else None,
            "damaged": {each.package_name: each for each in found if each.registry == chosen},
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
