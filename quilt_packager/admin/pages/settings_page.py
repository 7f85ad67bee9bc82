"""The Settings tab: which events make packages, switches for them, and how it was deployed."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from quilt_packager.admin.model import links
from quilt_packager.admin.model.caching import Cached
from quilt_packager.admin.model.charts import PERIODS
from quilt_packager.admin.model.views import Views
from quilt_packager.admin.web.problems import Problem, describe_problem
from quilt_packager.admin.web.rendering import Confirmation, Renderer, Tab
from quilt_packager.admin.web.security import form_of
from quilt_packager.operations import formats
from quilt_packager.operations.deployment.configurations import Configuration
from quilt_packager.operations.deployment.deployments import Deployment
from quilt_packager.operations.errors import UnknownSource
from quilt_packager.operations.sources.activity import DAY, Activity, count_events, count_jobs
from quilt_packager.operations.sources.sources import Source, list_sources, set_enabled

TAB = Tab("Settings", "/settings")

SOURCES_SECONDS = 10
"""For how long sources are not looked at again: somebody may turn them in the console."""

EVENTS_SECONDS = 60
"""For how long events are not counted again, which CloudWatch hears of late."""

OFF = "Events that arrive while it is off are not kept; quilt-packager backfill can find them."


class Fact(NamedTuple):
    """Something that was set at deployment.

    Attributes:
        name: What.
        value: How; empty: not at all.
        url: Where to see it; empty: nowhere.
        rest: What else is to be said of it.
    """

    name: str
    value: str
    url: str = ""
    rest: str = ""


class SettingsPage:
    """The Settings tab.

    Args:
        views: What is known of the engine.
        renderer: Makes pages.
    """

    def __init__(self, views: Views, renderer: Renderer) -> None:
        self._views = views
        self._renderer = renderer
        self._sources = Cached(lambda: list_sources(views.deployment))
        self._events = Cached(self._count_events)

    def routes(self) -> list[Route]:
        """What this tab answers."""
        return [
            Route(TAB.path, self.show),
            Route("/settings/sources", self.show_sources),
            Route("/settings/activity", self.show_activity),
            Route("/settings/engine", self.show_engine),
            Route("/settings/ask", self.ask, methods=["POST"]),
            Route("/settings/switch", self.switch, methods=["POST"]),
        ]

    def show(self, request: Request) -> Response:
        """The frame, which needs no AWS; what is known already stands in it."""
        whole = "whole" in request.query_params
        knows = whole or self._sources.is_fresh(SOURCES_SECONDS)
        known = self._views.known_configuration()
        facts = self._facts() if whole else list(self._tell_facts(known)) if known else None
        return self._renderer.page(
            request,
            "settings.html",
            whole=whole,
            facts=facts,
            at=request.query_params.get("at", ""),
            **(self._look(counts=whole) if knows else {"sources": None, "problem": None}),
        )

    def show_sources(self, request: Request) -> Response:
        """The sources, when AWS has told them."""
        at = request.query_params.get("at", "")
        return self._renderer.part(
            request, "settings_sources.html", at=at, whole=False, **self._look(counts=False)
        )

    def show_activity(self, request: Request) -> Response:
        """What came of them in the last day."""
        return self._renderer.part(request, "settings_activity_part.html", **self._look())

    def show_engine(self, request: Request) -> Response:
        """How the engine was deployed."""
        return self._renderer.part(request, "settings_engine.html", facts=self._facts())

    def ask(self, request: Request) -> Response:
        """Ask before a source is turned off."""
        form = form_of(request)
        source = self._find(form.get("name", ""))
        whole = [("whole", "1")] if "whole" in form else []
        asked = Confirmation(
            f"Turn off {source.title}?",
            "/settings/switch",
            [("name", source.name), ("to", "off"), *whole],
            f"Turn off {source.title}",
            "Leave it on",
            TAB.path,
            words=[
                OFF,
                "It stays off until somebody turns it on, or a deployment changes its rule.",
            ],
            is_danger=True,
        )
        return self._renderer.confirm(request, asked)

    def switch(self, request: Request) -> Response:
        """Turn a source on or off; the page that follows shows what EventBridge then says."""
        form = form_of(request)
        enabled = form.get("to") == "on"
        after = set_enabled(self._views.deployment, form.get("name", ""), enabled=enabled)
        self._sources.forget()
        self._sources.get(SOURCES_SECONDS)
        state = "on" if after.enabled else "off"
        self._renderer.toast(f"{after.title}: turned {state}.")
        query = {"at": after.name, **({"whole": "1"} if "whole" in form else {})}
        return RedirectResponse(f"{TAB.path}?{urlencode(query)}", status_code=303)

    def _find(self, name: str) -> Source:
        known: Sequence[Source] = self._sources.get(SOURCES_SECONDS).value or []
        for source in known:
            if source.name == name:
                return source
        raise UnknownSource(
            "There is no such event source.",
            why="It was deployed anew since the page was loaded, perhaps under another name.",
            remedy="Load the page again.",
        )

    def _look(self, *, counts: bool = True) -> dict[str, Any]:
        answer = self._sources.get(SOURCES_SECONDS)
        activity: dict[str, Activity] | None = None
        untold: Problem | None = None
        # What is known already is shown at once.
        if answer.value and (counts or self._events.is_fresh(EVENTS_SECONDS)):
            activity, untold = self._count(answer.value)
        return {
            "sources": answer.value,
            "problem": describe_problem(answer.error) if answer.error else None,
            "stale_at": answer.at,
            "activity": activity,
            "untold": untold,
            "differing": [each for each in answer.value or [] if each.differs],
        }

    def _count(self, sources: Sequence[Source]) -> tuple[dict[str, Activity], Problem | None]:
        """What came of sources, as far as it is known, and why it is not."""
        jobs = self._views.jobs(PERIODS["24h"])
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
        return list(self._tell_facts(answer.value))

    def _tell_facts(self, configuration: Configuration) -> Iterator[Fact]:
        deployment, settings = self._views.deployment, configuration.settings
        queues = self._views.known_queues()
        kept = queues.dead_letter_retention_seconds if queues else None
        yield _queue(deployment, "Queue", deployment.queue_url)
        letters = _queue(deployment, "Dead letters", deployment.dead_letter_queue_url)
        yield letters._replace(rest=f", kept {formats.age(kept)}" if kept else "")
        yield Fact("Source buckets", ", ".join(settings.source_buckets) or "any that IAM allows")
        yield Fact("Registries", ", ".join(settings.registry_buckets) or "any that IAM allows")
        default = settings.default_registry or "the bucket of the folder"
        yield Fact("Default registry", default)
        if settings.quarantine_registry:
            yield Fact("Quarantine", settings.quarantine_registry)
        yield Fact("Checksums", ", ".join(settings.checksum_algorithms))
        yield Fact("Scratch bucket", settings.scratch_bucket or "none; large objects are read")
        yield Fact(
            "Large jobs",
            f"more than {settings.max_inline_objects:,} checksums, or "
            f"{formats.size(settings.max_inline_bytes)} to hash"
            if settings.state_machine_arn
            else "none; each is done by one invocation",
        )
        yield Fact("Memory", f"{configuration.memory_mib:,} MiB")
        if settings.event_bus:
            yield Fact("Outcomes are told to", settings.event_bus.rpartition("/")[2])
        if settings.notifications_topic_arn:
            yield Fact("People are told by", settings.notifications_topic_arn.rpartition(":")[2])
        if settings.catalog_url:
            yield Fact("Catalog", settings.catalog_url, links.safe(settings.catalog_url))
        for name, whose in (("packager", "Log"), ("checksum", "Log of the workers")):
            if group := deployment.log_group(name):
                yield Fact(whose, group, links.log_group(deployment, group))


def _queue(deployment: Deployment, name: str, url: str) -> Fact:
    return Fact(name, url.rpartition("/")[2], links.queue(deployment, url))
