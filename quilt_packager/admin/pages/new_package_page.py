"""The New package tab: a form whose state is in its address, a verdict, and sending the message."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.settings import Settings
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quilt_packager.admin.model import links
from quilt_packager.admin.model.caching import CachedEach
from quilt_packager.admin.model.views import Views, make_queued
from quilt_packager.admin.pages.failure_questions import nothing_left
from quilt_packager.admin.pages.found_folders import FoundFolders, key_of, list_rows
from quilt_packager.admin.pages.message_options import OPTIONS
from quilt_packager.admin.pages.package_form import (
    CHOICES,
    DEFAULT,
    FOUND,
    OTHER,
    PATH,
    Checked,
    Draft,
    Edited,
    Facts,
    check_draft,
    read_message,
)
from quilt_packager.admin.pages.package_verdict import Planned, judge
from quilt_packager.admin.pages.packages_page import may_read
from quilt_packager.admin.pages.page import Page
from quilt_packager.admin.web.problems import Problem, describe_problem
from quilt_packager.admin.web.rendering import Renderer, Tab, is_whole
from quilt_packager.admin.web.security import form_of
from quilt_packager.operations import formats
from quilt_packager.operations.deployment.configurations import Configuration
from quilt_packager.operations.deployment.credentials import connect_s3
from quilt_packager.operations.deployment.known_metadata import (
    LIMIT_SECONDS,
    Known,
    find_metadata,
)
from quilt_packager.operations.deployment.known_workflows import KnownWorkflows, find_workflows
from quilt_packager.operations.deployment.messages import send
from quilt_packager.operations.discovery.recognition import Recognised, recognise
from quilt_packager.operations.discovery.subfolders import Subfolders, find_subfolders
from quilt_packager.operations.plans.planning_process import plan_in_process

TAB = Tab("New package", PATH)

ALLOWED_WHEN_READ_ONLY = ("/new/check", "/new/plan")
"""Forms that change nothing in AWS."""

CONFIRMED = "whole_bucket"
"""The tick that confirms the package of a whole bucket. It is no part of the address."""

FACTS_SECONDS = 60
"""Time for which facts from S3 are shown."""

MAX_ADDRESS_CHARACTERS = 8000
"""Longer metadata is not kept in the address: servers and browsers limit it."""

NOTHING_BELOW = {"found": None, "found_key": "", "found_url": ""}
"""No folders to show."""

INVALID = 422
BAD_GATEWAY = 502

T = TypeVar("T")


class KnownConfiguration(NamedTuple):
    """The configuration of the engine, as far as it is known.

    Attributes:
        configuration: The configuration; that of an engine without props if it is unknown.
        problem: Error of reading it; None if there is none.
    """

    configuration: Configuration
    problem: Problem | None = None


class FolderQuery(NamedTuple):
    """A page of the folders below a folder."""

    folder: SourceFolder
    registry: str
    after: str


def find_in_form(
    body: str, settings: Settings, *, profile: str | None, region: str | None
) -> Known:
    """Find the metadata of a message's folder with the user's credentials."""
    return asyncio.run(find_metadata(connect_s3(profile, region), body, settings, for_form=True))


def recognise_in_form(
    folder: SourceFolder, *, profile: str | None, region: str | None
) -> Recognised | None:
    """Recognise a folder with the user's credentials."""
    return _run(recognise(connect_s3(profile, region), folder))


def find_workflows_in_form(
    registry: str, *, profile: str | None, region: str | None
) -> KnownWorkflows:
    """Find the workflows of a registry with the user's credentials."""
    return _run(find_workflows(connect_s3(profile, region), registry))


def find_subfolders_in_form(
    wanted: FolderQuery, *, profile: str | None, region: str | None
) -> Subfolders:
    """Find the folders below a folder with the user's credentials."""
    s3 = connect_s3(profile, region)
    return _run(find_subfolders(s3, wanted.folder, wanted.registry, after=wanted.after))


def _run(looking: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(looking, LIMIT_SECONDS))


class NewPackagePage(Page):
    """The New package tab."""

    def __init__(self, views: Views, renderer: Renderer) -> None:
        super().__init__(views, renderer)
        self._profile = views.deployment.options.profile
        self._region = views.deployment.region
        self._metadata = CachedEach(self._find_metadata)
        self._kinds = CachedEach(self._recognise)
        self._workflows = CachedEach(self._find_workflows)
        self._subfolders = CachedEach(self._find_subfolders)

    def routes(self) -> list[Route]:
        """Return the routes of the tab."""
        return [
            Route(PATH, self.show),
            Route(PATH, self.package, methods=["POST"]),
            Route(f"{PATH}/check", self.check, methods=["POST"]),
            Route(f"{PATH}/plan", self.plan, methods=["POST"]),
            Route(f"{PATH}/found", self.show_found),
        ]

    async def show(self, request: Request) -> Response:
        """Show the form, filled in from the query, or from a job or a message that failed.

        The frame makes no request to AWS, unless a job or a message fills it in.
        """
        query = request.query_params
        edited = await run_in_threadpool(self._read, query)
        is_planned = "plan" in query
        if not is_whole(request):
            known = KnownConfiguration(self._views.last_configuration() or Configuration())
            checked = check_draft(edited.draft, known.configuration.settings, is_new=True)
            values = self._values(checked, known, is_busy=is_planned and checked.is_good)
            values |= self._prepare_found(checked, query.get("found_after", ""))
        else:
            known, checked = await run_in_threadpool(
                self._check, edited.draft, is_new=not is_planned
            )
            planned = await self._plan(checked, known) if is_planned else None
            values = self._values(checked, known, planned)
            after = query.get("found_after", "")
            values["found"] = await run_in_threadpool(self._find_below, checked, after)
        return await run_in_threadpool(
            self._show, request, values, whole=is_whole(request), left_out=edited.left_out
        )

    def _read(self, query: Mapping[str, str]) -> Edited:
        """Read the form from its address."""
        draft = Draft.read(query)
        is_filled_in = draft != Draft(job=draft.job, message=draft.message)
        if draft.message:
            edited = self._edit(draft.message, is_needed=not is_filled_in)
            read = draft if is_filled_in else edited.draft._replace(message=draft.message)
            return Edited(read, edited.left_out)
        if draft.job and not is_filled_in:
            return Edited(self._rebuild(draft.job), ())
        return Edited(draft, ())

    def _edit(self, letter_id: str, *, is_needed: bool) -> Edited:
        """Read a failed message into the form.

        Raises:
            UnknownFailure: The message is needed, and does not exist or is none that the form can
                hold.
        """
        letters = self._views.dead_letters
        if is_needed and not letters.recall([letter_id]):
            letters.read()
        for letter in letters.recall([letter_id]):
            if edited := read_message(letter.body):
                return edited
        if is_needed:
            raise nothing_left(0)
        return Edited(Draft(), ())

    def _rebuild(self, job_id: str) -> Draft:
        """Rebuild the message of a job, as far as the log has it."""
        answer = self._views.job(job_id)
        if answer.value is None:
            raise answer.error or LookupError(job_id)
        job = answer.value.job
        return Draft(
            source_prefix="" if job.sources else job.source or "",
            registry=job.registry or "",
            package_name=job.package_name or "",
            job=job_id,
        )

    def check(self, request: Request) -> Response:
        """Check the form during input."""
        form = form_of(request)
        draft = Draft.read(form)
        known, checked = self._check(draft, is_new=True)
        is_same = checked.is_good and form.get("planned") == checked.fingerprint
        values = self._values(checked, known, is_confirmed=CONFIRMED in form)
        return self._update(
            request,
            "new_check_part.html",
            draft.address(is_planned=is_same),
            values,
            is_same=is_same,
        )

    def show_found(self, request: Request) -> Response:
        """Show the folders below that of the form."""
        query = request.query_params
        settings = self._configuration().configuration.settings
        checked = check_draft(Draft.read(query), settings)
        found = self._find_below(checked, query.get("found_after", ""))
        return self._renderer.part(request, "new_found.html", **{**NOTHING_BELOW, "found": found})

    def _prepare_found(self, checked: Checked, after: str = "") -> dict[str, Any]:
        """Return what the page needs to request the folders later."""
        wanted = checked.request
        if wanted is None or checked.notes["source_prefix"].kind == "bad":
            return NOTHING_BELOW
        return {
            "found": None,
            "found_key": key_of(wanted.source, wanted.registry),
            "found_url": checked.draft.address(f"{PATH}/found", found_after=after),
        }

    def _find_below(self, checked: Checked, after: str) -> FoundFolders | None:
        wanted = checked.request
        if wanted is None or checked.notes["source_prefix"].kind == "bad":
            return None
        query = FolderQuery(wanted.source, wanted.registry, after)
        answer = self._subfolders.of(query).get(FACTS_SECONDS)
        made = self._views.listed_packages()
        rows = list_rows(checked.draft, wanted.source, wanted.registry, answer.value, made)
        problem = describe_problem(answer.error) if answer.error else None
        return rows._replace(problem=problem)

    async def plan(self, request: Request) -> Response:
        """Plan the job of the message. Nothing is written."""
        draft = Draft.read(form_of(request))
        known, checked = await run_in_threadpool(self._check, draft)
        planned = await self._plan(checked, known)
        values = self._values(checked, known, planned, is_confirmed=CONFIRMED in form_of(request))
        return await run_in_threadpool(
            self._update,
            request,
            "new_plan_part.html",
            draft.address(is_planned=True),
            values,
            is_same=False,
        )

    def _update(
        self,
        request: Request,
        template: str,
        address: str,
        values: dict[str, Any],
        *,
        is_same: bool,
    ) -> Response:
        """Update the page, and its address without a step in the history."""
        form, below = form_of(request), self._prepare_found(values["checked"])
        if below["found_key"] not in {"", form.get("found")}:
            values |= below
        # The field beside a select stays while one types, whatever is entered.
        values["others"] = frozenset(name for name in CHOICES if form.get(name) == OTHER)
        response = self._renderer.part(request, template, is_same=is_same, **values)
        if len(address) <= MAX_ADDRESS_CHARACTERS:
            response.headers["HX-Replace-Url"] = self._renderer.root + address
        return response

    def package(self, request: Request) -> Response:
        """Send the message, and redirect to the page of its job."""
        form = form_of(request)
        draft = Draft.read(form)
        known, checked = self._check(draft)
        is_unconfirmed = (
            checked.request is not None
            and not checked.request.source.prefix
            and CONFIRMED not in form
        )
        if checked.request is None or not checked.is_good or is_unconfirmed:
            values = self._values(checked, known, is_unconfirmed=is_unconfirmed)
            return self._show(request, values, status=INVALID)
        try:
            job_id = send(self._views.deployment, checked.body)
        except Exception as error:  # noqa: BLE001 - shown above the form, which keeps its input
            values = self._values(checked, known, is_confirmed=CONFIRMED in form)
            return self._show(request, values, status=BAD_GATEWAY, unsent=describe_problem(error))
        wanted = checked.request
        self._views.add_pending(
            make_queued(
                job_id,
                source=str(wanted.source),
                registry=wanted.registry,
                package_name=wanted.package_name,
            )
        )
        if draft.message:
            self._discard(draft.message)
        self._views.invalidate()
        return self._renderer.redirect(f"/jobs/{job_id}")

    def _discard(self, letter_id: str) -> None:
        """Discard a message whose correction was sent. If this fails, it stays under Failures."""
        result = self._views.dead_letters.discard([letter_id])
        if result.done:
            self._renderer.toast("Sent. The failed message is discarded.")
            return
        self._renderer.toast(
            "Sent. The failed message could not be discarded.", url="/failures", link="Show it"
        )

    def _check(self, draft: Draft, *, is_new: bool = False) -> tuple[KnownConfiguration, Checked]:
        """Check the form, with the facts that S3 has about its folder and its registry."""
        known = self._configuration()
        settings = known.configuration.settings
        checked = check_draft(draft, settings, is_new=is_new)
        return known, check_draft(draft, settings, is_new=is_new, facts=self._look_up(checked))

    def _look_up(self, checked: Checked) -> Facts:
        """Look up all facts at the same time."""
        wanted, draft = checked.request, checked.draft
        workflows = metadata = kind = None
        if checked.registry is not None and may_read(self._views, checked.registry):
            workflows = self._workflows.of(checked.registry)
        if wanted is not None and checked.is_good and draft.source_prefix.endswith("/"):
            kind = self._kinds.of(wanted.source)
            if draft.metadata_kind == FOUND:
                metadata = self._metadata.of(checked.body)
        for each in (workflows, metadata, kind):
            if each is not None:
                each.start(FACTS_SECONDS)
        return Facts(
            metadata=metadata.get(FACTS_SECONDS).value if metadata else None,
            kind=kind.get(FACTS_SECONDS).value if kind else None,
            workflows=workflows.get(FACTS_SECONDS).value if workflows else None,
        )

    def _find_metadata(self, body: str) -> Known:
        settings = self._configuration().configuration.settings
        return find_in_form(body, settings, profile=self._profile, region=self._region)

    def _recognise(self, folder: SourceFolder) -> Recognised | None:
        return recognise_in_form(folder, profile=self._profile, region=self._region)

    def _find_workflows(self, registry: str) -> KnownWorkflows:
        return find_workflows_in_form(registry, profile=self._profile, region=self._region)

    def _find_subfolders(self, wanted: FolderQuery) -> Subfolders:
        return find_subfolders_in_form(wanted, profile=self._profile, region=self._region)

    def _configuration(self) -> KnownConfiguration:
        # The form works without it: the engine itself rejects invalid messages.
        answer = self._views.configuration()
        if answer.value is not None:
            return KnownConfiguration(answer.value)
        return KnownConfiguration(Configuration(), describe_problem(answer.error or LookupError()))

    async def _plan(self, checked: Checked, known: KnownConfiguration) -> Planned | None:
        if checked.request is None or not checked.is_good:
            return None
        configuration = known.configuration
        try:
            made = await plan_in_process(
                checked.request,
                settings=configuration.settings,
                memory_mib=configuration.memory_mib,
                profile=self._profile,
                region=self._region,
            )
        except Exception as error:  # noqa: BLE001 - shown where the plan would be
            return Planned(None, describe_problem(error), checked.fingerprint)
        origin = await run_in_threadpool(self._find_origin, checked) if made.metadata_lost else None
        return Planned(made, None, checked.fingerprint, origin)

    def _find_origin(self, checked: Checked) -> str | None:
        """Return the origin of the metadata that the folder has, unless it is taken already."""
        draft = checked.draft
        if draft.metadata_kind == FOUND:
            return None
        settings = self._configuration().configuration.settings
        body = check_draft(draft._replace(metadata_kind=FOUND), settings).body
        known = self._metadata.of(body).get(FACTS_SECONDS).value
        if known is None or not known.found:
            return None
        return (
            known.fields["metadata_uri"].rpartition("/")[2]
            if "metadata_uri" in known.fields
            else "the run"
        )

    def _show(
        self,
        request: Request,
        values: dict[str, Any],
        *,
        whole: bool = True,
        status: int = 200,
        unsent: Problem | None = None,
        left_out: Sequence[str] = (),
    ) -> Response:
        return self._renderer.page(
            request,
            "new.html",
            status=status,
            whole=whole,
            rebuilt=links.REBUILT,
            left_out=left_out,
            unsent=unsent,
            **values,
        )

    def _values(
        self,
        checked: Checked,
        known: KnownConfiguration,
        planned: Planned | None = None,
        *,
        is_busy: bool = False,
        is_confirmed: bool = False,
        is_unconfirmed: bool = False,
    ) -> dict[str, Any]:
        deployment = self._views.deployment
        settings = known.configuration.settings
        listed = () if settings.registry_buckets else self._views.listed_registries()
        registries = [*settings.registry_buckets, *listed]
        return {
            **NOTHING_BELOW,
            "checked": checked,
            "others": frozenset(name for name in CHOICES if getattr(checked.draft, name) == OTHER),
            "draft": checked.draft,
            "planned": planned,
            "verdict": judge(checked, planned, is_known=known.problem is None),
            "is_busy": is_busy,
            "is_confirmed": is_confirmed,
            "is_unconfirmed": is_unconfirmed,
            "unknown": known.problem,
            "default_registry": settings.default_registry,
            "registries": [each for each in registries if each != settings.default_registry],
            "buckets": settings.source_buckets,
            "workflows": checked.facts.workflows,
            "DEFAULT": DEFAULT,
            "OTHER": OTHER,
            "options": OPTIONS.values(),
            "command": deployment.command(
                "send",
                checked.body,
                *(["--no-metadata"] if checked.draft.metadata_kind == "none" else []),
                names_stack=True,
            ),
            "span": formats.span,
            "usd": formats.usd,
        }
