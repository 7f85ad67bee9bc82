"""The Settings tab: event sources with their switches, and the engine's configuration."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quilt_packager.admin.model import links
from quilt_packager.admin.model.caching import Cached
from quilt_packager.admin.model.periods import HISTORIES
from quilt_packager.admin.model.views import Views
from quilt_packager.admin.pages.page import Page
from quilt_packager.admin.web.problems import Problem, describe_problem
from quilt_packager.admin.web.rendering import Confirmation, Renderer, Tab, is_whole
from quilt_packager.admin.web.security import form_of
from quilt_packager.operations import formats
from quilt_packager.operations.deployment.configurations import Configuration
from quilt_packager.operations.deployment.deployments import Deployment
from quilt_packager.operations.errors import UnknownSource
from quilt_packager.operations.sources.activity import DAY, Activity, count_events, count_jobs
from quilt_packager.operations.sources.sources import Source, list_sources, set_enabled

TAB = Tab("Settings", "/settings")

SOURCES_SECONDS = 10
"""Time before sources are read again: they may be switched in the console."""

EVENTS_SECONDS = 60
"""Time before events are counted again: CloudWatch metrics arrive late."""

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

    def __init__(self, views: Views, renderer: Renderer) -> None:
        super().__init__(views, renderer)
        self._sources = Cached(lambda: list_sources(views.deployment))
        self._events = Cached(self._count_events)

    def routes(self) -> list[Route]:
        """Return the routes of the tab."""
        return [
            Route(TAB.path, self.show),
            Route("/settings/sources", self.show_sources),
            Route("/settings/activity", self.show_activity),
            Route("/settings/engine", self.show_engine),
            Route("/settings/ask", self.ask, methods=["POST"]),
            Route("/settings/switch", self.switch, methods=["POST"]),
        ]

    def show(self, request: Request) -> Response:
        """Show the frame, with the parts that are cached."""
        whole = is_whole(request)
        has_fresh_sources = whole or self._sources.is_fresh(SOURCES_SECONDS)
        last = self._views.last_configuration()
        facts = self._facts() if whole else list(self._list_facts(last)) if last else None
        return self._renderer.page(
            request,
            "settings.html",
            whole=whole,
            facts=facts,
            at=request.query_params.get("at", ""),
            **(
                self._list(counts=whole)
                if has_fresh_sources
                else {"sources": None, "problem": None}
            ),
        )

    def show_sources(self, request: Request) -> Response:
        """Show the sources."""
        at = request.query_params.get("at", "")
        return self._renderer.part(
            request, "settings_sources.html", at=at, whole=False, **self._list(counts=False)
        )

    def show_activity(self, request: Request) -> Response:
        """Show the events and jobs of each source in the last day."""
        return self._renderer.part(request, "settings_activity_part.html", **self._list())

    def show_engine(self, request: Request) -> Response:
        """Show the configuration of the engine."""
        return self._renderer.part(request, "settings_engine.html", facts=self._facts())

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
        after = set_enabled(self._views.deployment, form.get("name", ""), enabled=enabled)
        self._sources.invalidate()
        self._sources.get(SOURCES_SECONDS)
        state = "on" if after.enabled else "off"
        self._renderer.toast(f"{after.title}: turned {state}.")
        query = {"at": after.name, **({"whole": "1"} if "whole" in form else {})}
        return self._renderer.redirect(f"{TAB.path}?{urlencode(query)}")

    def _find(self, name: str) -> Source:
        known: Sequence[Source] = self._sources.get(SOURCES_SECONDS).value or []
        for source in known:
            if source.name == name:
                return source
        raise UnknownSource(
            "The event source does not exist.",
            why="A deployment since the page was loaded may have renamed or removed it.",
            remedy="Reload the page.",
        )

    def _list(self, *, counts: bool = True) -> dict[str, Any]:
        answer = self._sources.get(SOURCES_SECONDS)
        activity: dict[str, Activity] | None = None
        count_problem: Problem | None = None
        # Cached counts are shown at once.
        if answer.value and (counts or self._events.is_fresh(EVENTS_SECONDS)):
            activity, count_problem = self._count(answer.value)
        return {
            "sources": answer.value,
            "problem": describe_problem(answer.error) if answer.error else None,
            "stale_at": answer.at,
            "activity": activity,
            "count_problem": count_problem,
            "differing": [each for each in answer.value or [] if each.differs],
        }

    def _count(self, sources: Sequence[Source]) -> tuple[dict[str, Activity], Problem | None]:
        """Count the events and jobs of sources; the second value is the error of the counts."""
        jobs = self._views.jobs(HISTORIES["24h"])
        events = self._events.get(EVENTS_SECONDS)
        since = datetime.now(UTC) - DAY
        of_day = [job for job in jobs.value.jobs if job.started >= since] if jobs.value else None
        counted = count_jobs(sources, of_day) if of_day is not None else {}
        matched = events.value or {}
        error = jobs.error or events.error
        return {
            each.name: Activity(
                counted[each.name].jobs if counted else None,
                counted[each.name].failed if counted else None,
                matched.get(each.name),
            )
            for each in sources
        }, describe_problem(error) if error else None

    def _count_events(self) -> dict[str, int]:
        sources = self._sources.get(SOURCES_SECONDS).value
        return count_events(self._views.deployment, sources or [])

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
