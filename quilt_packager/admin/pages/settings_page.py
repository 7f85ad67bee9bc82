"""The Settings tab: event sources with their switches, checks, flags and the configuration."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quilt_packager import contract
from quilt_packager.admin.model import links
from quilt_packager.admin.model.settings_views import SettingsViews
from quilt_packager.admin.pages.check_lines import Reasons, read_check, read_reasons
from quilt_packager.admin.pages.page import Page
from quilt_packager.admin.pages.source_cards import read_activity, read_treatments
from quilt_packager.admin.web.problems import Problem, describe_problem
from quilt_packager.admin.web.rendering import Confirmation, Tab, is_whole
from quilt_packager.admin.web.security import form_of
from quilt_packager.operations import formats
from quilt_packager.operations.deployment.configurations import Configuration
from quilt_packager.operations.deployment.deployments import Deployment
from quilt_packager.operations.errors import UnknownSource
from quilt_packager.operations.sources.flags import FlagsInForce, find_flags_in_force
from quilt_packager.operations.sources.sources import Source

TAB = Tab("Settings", "/settings")

OFF = "Events that arrive while it is off are lost; quilt-packager backfill can find their folders."


class Fact(NamedTuple):
    """A setting of the deployment.

    Attributes:
        name: Name of the setting.
        value: Value of the setting.
        url: Link to it; empty for none.
        rest: Text after the value.
    """

    name: str
    value: str
    url: str = ""
    rest: str = ""


class SettingsPage(Page):
    """The Settings tab."""

    def routes(self) -> list[Route]:
        """Return the routes of the tab."""
        return [
            Route(TAB.path, self.show),
            Route("/settings/sources", self.show_sources),
            Route("/settings/activity", self.show_activity),
            Route("/settings/engine", self.show_engine),
            Route("/settings/check", self.show_check),
            Route("/settings/check", self.check, methods=["POST"]),
            Route("/settings/explain", self.explain),
            Route("/settings/ask", self.ask, methods=["POST"]),
            Route("/settings/switch", self.switch, methods=["POST"]),
        ]

    def show(self, request: Request) -> Response:
        """Show the frame, with the parts that are cached."""
        whole, query = is_whole(request), request.query_params
        if whole:
            self._start()
        is_ready = whole or self._settings.is_fresh()
        explained = query.get("explain", "").strip()
        reasons = (
            read_reasons(self._settings, explained)
            if whole
            else Reasons(explained, is_open=bool(explained))
        )
        return self._renderer.page(
            request,
            "settings.html",
            whole=whole,
            facts=self._facts() if is_ready else None,
            at=query.get("at", ""),
            flags=self._flags() if is_ready else None,
            reasons=reasons,
            **self._check(request, waits=whole),
            **(self._list(counts=whole) if is_ready else {"sources": None, "problem": None}),
        )

    def show_sources(self, request: Request) -> Response:
        """Show the sources."""
        self._start()
        at = request.query_params.get("at", "")
        return self._renderer.part(
            request, "settings_sources_part.html", at=at, whole=False, **self._list(counts=False)
        )

    def show_activity(self, request: Request) -> Response:
        """Show the events, the packages and the failures of each source."""
        return self._renderer.part(request, "settings_activity_part.html", **self._list())

    def show_engine(self, request: Request) -> Response:
        """Show the flags and the configuration of the engine."""
        self._start()
        return self._renderer.part(
            request, "settings_engine.html", facts=self._facts(), flags=self._flags()
        )

    def show_check(self, request: Request) -> Response:
        """Show the last check, waiting for one that is running."""
        return self._renderer.part(request, "settings_check_part.html", **self._check(request))

    def check(self, request: Request) -> Response:
        """Begin a check."""
        self._settings.run_check()
        if "hx-request" in request.headers:
            return self._renderer.part(
                request, "settings_check.html", **self._check(request, waits=False)
            )
        return self._renderer.redirect(f"{TAB.path}?whole=1#check")

    def explain(self, request: Request) -> Response:
        """Show the reasons for which a folder was packaged, or was not."""
        folder = request.query_params.get("explain", "").strip()
        reasons = read_reasons(self._settings, folder)
        response = self._renderer.part(request, "settings_reasons.html", reasons=reasons)
        here = f"{TAB.path}?{urlencode({'explain': folder})}" if folder else TAB.path
        response.headers["HX-Replace-Url"] = self._renderer.root + here
        return response

    def ask(self, request: Request) -> Response:
        """Ask for confirmation before turning a source off."""
        form = form_of(request)
        source = self._find(form.get("name", ""))
        whole = [("whole", "1")] if "whole" in form else []
        question = Confirmation(
            f"Turn off {source.title}?",
            "/settings/switch",
            [("name", source.name), ("to", "off"), *whole],
            f"Turn off {source.title}",
            "Leave it on",
            TAB.path,
            effects=[
                OFF,
                "It stays off until it is turned on again, or a deployment changes its rule.",
            ],
            is_danger=True,
        )
        return self._renderer.confirm(request, question)

    def switch(self, request: Request) -> Response:
        """Turn a source on or off. The next page shows its state in EventBridge."""
        form = form_of(request)
        enabled = form.get("to") == "on"
        after = self._settings.switch(form.get("name", ""), enabled=enabled)
        state = "on" if after.enabled else "off"
        self._renderer.toast(f"{after.title}: turned {state}.")
        query = {"at": after.name, **({"whole": "1"} if "whole" in form else {})}
        return self._renderer.redirect(f"{TAB.path}?{urlencode(query)}")

    def _find(self, name: str) -> Source:
        known: Sequence[Source] = self._settings.sources().value or []
        for source in known:
            if source.name == name:
                return source
        raise UnknownSource(
            "The event source does not exist.",
            why="A deployment since the page was loaded may have renamed or removed it.",
            remedy="Reload the page.",
        )

    @property
    def _settings(self) -> SettingsViews:
        return self._views.settings

    def _start(self) -> None:
        """Begin to read all that the page shows, so that it has one wait."""
        self._settings.start()
        self._views.start_configuration()

    def _list(self, *, counts: bool = True) -> dict[str, Any]:
        answer = self._settings.sources()
        sources = answer.value or []
        # Cached counts are shown at once.
        has_counts = counts or self._settings.has_fresh_events()
        return {
            "sources": answer.value,
            "problem": describe_problem(answer.error) if answer.error else None,
            "stale_at": answer.at,
            "zone": datetime.now().astimezone().tzname(),
            "treatments": read_treatments(self._views, sources),
            "activity": read_activity(self._views, sources) if sources and has_counts else None,
            "differing": list(self._find_differing(sources)),
        }

    def _find_differing(self, sources: Sequence[Source]) -> Iterator[tuple[Source, str]]:
        """Yield the switched sources, with the lines of their flags; empty for none."""
        in_force = self._find_in_force(sources)
        for each in sources:
            if each.differs:
                name = contract.FLAG_PREFIX + each.name
                is_flag = in_force is not None and name in in_force.changed
                yield each, in_force.line(name) if in_force and is_flag else ""

    def _find_in_force(self, sources: Sequence[Source]) -> FlagsInForce | None:
        deployed = self._settings.flags().value
        return None if deployed is None else find_flags_in_force(deployed, sources)

    def _flags(self) -> FlagsInForce | Problem | None:
        answer = self._settings.flags()
        if answer.value is None and answer.error is not None:
            return describe_problem(answer.error)
        return self._find_in_force(self._settings.sources().value or [])

    def _check(self, request: Request, *, waits: bool = True) -> dict[str, Any]:
        shows_all = request.query_params.get("check") == "all"
        return {
            "check": read_check(self._settings, shows_all=shows_all, waits=waits),
            "announces": "announce" in request.query_params,
        }

    def _facts(self) -> Sequence[Fact] | Problem:
        answer = self._views.configuration()
        if answer.value is None:
            return describe_problem(answer.error or LookupError())
        return list(self._list_facts(answer.value))

    def _list_facts(self, configuration: Configuration) -> Iterator[Fact]:
        deployment, settings = self._views.deployment, configuration.settings
        queues = self._views.last_queues()
        kept = queues.dead_letter_retention_seconds if queues else None
        yield _queue(deployment, "Queue", deployment.queue_url)
        letters = _queue(deployment, "Dead letters", deployment.dead_letter_queue_url)
        yield letters._replace(rest=f", kept for {formats.age(kept)}" if kept else "")
        yield Fact("Source buckets", ", ".join(settings.source_buckets) or "any allowed by IAM")
        yield Fact("Registries", ", ".join(settings.registry_buckets) or "any allowed by IAM")
        default = settings.default_registry or "the bucket of the folder"
        yield Fact("Default registry", default)
        if settings.quarantine_registry:
            yield Fact("Quarantine", settings.quarantine_registry)
        yield Fact("Checksums", ", ".join(settings.checksum_algorithms))
        yield Fact(
            "Scratch bucket", settings.scratch_bucket or "none; large objects are downloaded"
        )
        yield Fact(
            "Large jobs",
            f"more than {settings.max_inline_objects:,} checksums, or "
            f"{formats.size(settings.max_inline_bytes)} to hash"
            if settings.state_machine_arn
            else "off; each job runs in one invocation",
        )
        yield Fact("Memory", f"{configuration.memory_mib:,} MiB")
        if settings.event_bus:
            yield Fact("Outcome events", settings.event_bus.rpartition("/")[2])
        if settings.notifications_topic_arn:
            yield Fact("Notifications", settings.notifications_topic_arn.rpartition(":")[2])
        if settings.catalog_url:
            yield Fact("Catalog", settings.catalog_url, links.safe(settings.catalog_url))
        for name, label in (("packager", "Log"), ("checksum", "Log of workers")):
            if group := deployment.log_group(name):
                yield Fact(label, group, links.log_group(deployment, group))


def _queue(deployment: Deployment, name: str, url: str) -> Fact:
    return Fact(name, url.rpartition("/")[2], links.queue(deployment, url))
