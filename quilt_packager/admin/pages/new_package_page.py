"""The New package tab: a form that is checked during input, a plan, and sending the message."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from quilt_packager_runtime.errors import AccessDenied, Explanation
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
from quilt_packager.admin.pages.message_options import OPTIONS
from quilt_packager.admin.pages.package_form import (
    FOUND,
    Checked,
    Draft,
    Edited,
    check_draft,
    read_message,
)
from quilt_packager.admin.pages.page import Page
from quilt_packager.admin.web.problems import Problem, describe_problem
from quilt_packager.admin.web.rendering import Renderer, Tab
from quilt_packager.admin.web.security import form_of
from quilt_packager.operations import formats
from quilt_packager.operations.deployment.configurations import Configuration
from quilt_packager.operations.deployment.credentials import connect_s3
from quilt_packager.operations.deployment.known_metadata import (
    LIMIT_SECONDS,
    Known,
    find_metadata,
)
from quilt_packager.operations.deployment.messages import send
from quilt_packager.operations.discovery.recognition import Recognised, recognise
from quilt_packager.operations.plans.plan import Plan
from quilt_packager.operations.plans.planning_process import plan_in_process

TAB = Tab("New package", "/new")

ALLOWED_WHEN_READ_ONLY = ("/new/check", "/new/plan")
"""Forms that change nothing in AWS."""

MESSAGE = "message"
"""Form field with the id of the failed message that filled in the form."""

MAX_KINDS = 2
"""Number of kinds of requests that are named."""

FOUND_SECONDS = 60
"""Time for which the metadata that was found for a message is shown."""

INVALID = 422
BAD_GATEWAY = 502


class Planned(NamedTuple):
    """The result of planning.

    Attributes:
        plan: The plan; None if planning failed.
        problem: Error of planning; None if it succeeded.
        fingerprint: Fingerprint of the planned message, as `Checked.fingerprint`.
    """

    plan: Plan | None
    problem: Problem | None
    fingerprint: str

    @property
    def denied(self) -> list[Explanation]:
        """Return what AWS denied: planning uses the user's credentials, unlike a job."""
        refusals = self.plan.refusals if self.plan else ()
        return [each for each in refusals if each.code == AccessDenied.__name__]

    @property
    def rejected(self) -> list[Explanation]:
        """Return the reasons for which the engine would reject the message."""
        refusals = self.plan.refusals if self.plan else ()
        return [each for each in refusals if each.code != AccessDenied.__name__]


class KnownConfiguration(NamedTuple):
    """The configuration of the engine, as far as it is known.

    Attributes:
        configuration: The configuration; that of an engine without props if it is unknown.
        problem: Error of reading it; None if there is none.
    """

    configuration: Configuration
    problem: Problem | None = None


def find_in_form(
    body: str, settings: Settings, *, profile: str | None, region: str | None
) -> Known:
    """Find the metadata of a message's folder with the user's credentials."""
    return asyncio.run(find_metadata(connect_s3(profile, region), body, settings, for_form=True))


def recognise_in_form(
    folder: SourceFolder, *, profile: str | None, region: str | None
) -> Recognised | None:
    """Recognise a folder with the user's credentials."""
    looked_up = recognise(connect_s3(profile, region), folder)
    return asyncio.run(asyncio.wait_for(looked_up, LIMIT_SECONDS))


class NewPackagePage(Page):
    """The New package tab."""

    def __init__(self, views: Views, renderer: Renderer) -> None:
        super().__init__(views, renderer)
        self._found = CachedEach(self._find_metadata)
        self._recognised = CachedEach(self._recognise)

    def routes(self) -> list[Route]:
        """Return the routes of the tab."""
        return [
            Route(TAB.path, self.show),
            Route(TAB.path, self.package, methods=["POST"]),
            Route("/new/check", self.check, methods=["POST"]),
            Route("/new/plan", self.plan, methods=["POST"]),
        ]

    def show(self, request: Request) -> Response:
        """Show the form, filled in from the query, or from a message that failed.

        Without such a message this makes no request to AWS.
        """
        query = request.query_params
        edited = self._edit(query[MESSAGE]) if MESSAGE in query else None
        draft = edited.draft if edited else Draft.read(query)
        known = KnownConfiguration(self._views.last_configuration() or Configuration())
        checked = check_draft(draft, known.configuration.settings, is_new=True)
        left_out = edited.left_out if edited else ()
        return self._show(request, checked, known, left_out=left_out)

    def _edit(self, letter_id: str) -> Edited:
        """Read a failed message into the form.

        Raises:
            UnknownFailure: The message does not exist, or is none that the form can hold.
        """
        letters = self._views.dead_letters
        if not letters.recall([letter_id]):
            letters.read()
        for letter in letters.recall([letter_id]):
            if edited := read_message(letter.body):
                return edited
        raise nothing_left(0)

    def check(self, request: Request) -> Response:
        """Check the form during input."""
        form = form_of(request)
        known, checked = self._check(request, is_new=True)
        planned = form.get("planned", "")
        return self._renderer.part(
            request,
            "new_check_part.html",
            checked=checked,
            changed=checked.changed(planned) if planned else [],
            is_live=True,
            **self._values(checked, known),
        )

    async def plan(self, request: Request) -> Response:
        """Plan the job of the message. Nothing is written."""
        known, checked = await run_in_threadpool(self._check, request)
        planned = await self._plan(checked, known.configuration) if checked.is_good else None
        return await run_in_threadpool(self._show_plan, request, checked, known, planned)

    def _show_plan(
        self,
        request: Request,
        checked: Checked,
        known: KnownConfiguration,
        planned: Planned | None,
    ) -> Response:
        if "hx-request" not in request.headers:
            return self._show(request, checked, known, planned)
        return self._renderer.part(
            request,
            "new_plan_part.html",
            checked=checked,
            planned=planned,
            changed=[],
            **self._values(checked, known),
        )

    def package(self, request: Request) -> Response:
        """Send the message, and redirect to the page of its job."""
        known, checked = self._check(request)
        if not checked.is_good or checked.request is None:
            return self._show(request, checked, known, status=INVALID)
        try:
            job_id = send(self._views.deployment, checked.body)
        except Exception as error:  # noqa: BLE001 - shown above the form, which keeps its input
            return self._show(
                request, checked, known, status=BAD_GATEWAY, unsent=describe_problem(error)
            )
        wanted = checked.request
        self._views.add_pending(
            make_queued(
                job_id,
                source=str(wanted.source),
                registry=wanted.registry,
                package_name=wanted.package_name,
            )
        )
        if old := form_of(request).get(MESSAGE, ""):
            self._discard(old)
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

    def _check(
        self, request: Request, *, is_new: bool = False
    ) -> tuple[KnownConfiguration, Checked]:
        """Check the form, with the metadata that is known of its folder."""
        known = self._configuration()
        settings, draft = known.configuration.settings, Draft.read(form_of(request))
        checked = check_draft(draft, settings, is_new=is_new)
        if not (checked.is_good and checked.request and draft.source_prefix.endswith("/")):
            return known, checked
        found = None
        if draft.metadata_kind == FOUND:
            found = self._found.of(checked.body).get(FOUND_SECONDS).value
        recognised = self._recognised.of(checked.request.source).get(FOUND_SECONDS).value
        return known, check_draft(
            draft, settings, is_new=is_new, known=found, recognised=recognised
        )

    def _find_metadata(self, body: str) -> Known:
        deployment = self._views.deployment
        settings = self._configuration().configuration.settings
        return find_in_form(
            body, settings, profile=deployment.options.profile, region=deployment.region
        )

    def _recognise(self, folder: SourceFolder) -> Recognised | None:
        deployment = self._views.deployment
        return recognise_in_form(
            folder, profile=deployment.options.profile, region=deployment.region
        )

    def _configuration(self) -> KnownConfiguration:
        # The form works without it: the engine itself rejects invalid messages.
        answer = self._views.configuration()
        if answer.value is not None:
            return KnownConfiguration(answer.value)
        return KnownConfiguration(Configuration(), describe_problem(answer.error or LookupError()))

    async def _plan(self, checked: Checked, configuration: Configuration) -> Planned | None:
        if checked.request is None:
            return None
        deployment = self._views.deployment
        try:
            made = await plan_in_process(
                checked.request,
                settings=configuration.settings,
                memory_mib=configuration.memory_mib,
                profile=deployment.options.profile,
                region=deployment.region,
            )
        except Exception as error:  # noqa: BLE001 - shown where the plan would be
            return Planned(None, describe_problem(error), checked.fingerprint)
        return Planned(made, None, checked.fingerprint)

    def _show(
        self,
        request: Request,
        checked: Checked,
        known: KnownConfiguration,
        planned: Planned | None = None,
        *,
        status: int = 200,
        unsent: Problem | None = None,
        left_out: Sequence[str] = (),
    ) -> Response:
        fields = request.query_params if request.method == "GET" else form_of(request)
        return self._renderer.page(
            request,
            "new.html",
            status=status,
            from_job=fields.get(links.FROM_JOB, ""),
            rebuilt=links.REBUILT,
            message_id=fields.get(MESSAGE, ""),
            left_out=left_out,
            checked=checked,
            planned=planned,
            changed=[],
            # Without JavaScript, disabled buttons would never be enabled.
            is_live=False,
            unsent=unsent,
            **self._values(checked, known),
        )

    def _values(self, checked: Checked, known: KnownConfiguration) -> dict[str, Any]:
        deployment = self._views.deployment
        return {
            "draft": checked.draft,
            "unknown": known.problem,
            "registries": known.configuration.settings.registry_buckets,
            "options": OPTIONS.values(),
            "command": deployment.command(
                "send",
                checked.body,
                *(["--no-metadata"] if checked.draft.metadata_kind == "none" else []),
                names_stack=True,
            ),
            "span": formats.span,
            "usd": formats.usd,
            "requests": describe_requests,
        }


def describe_requests(counts: dict[str, int]) -> str:
    """Describe the most frequent kinds of requests.

    Example:
        >>> describe_requests({"LIST": 13, "HEAD": 12408, "PUT": 3})
        '12,408 HEAD, 13 LIST'
    """
    kinds = sorted(counts.items(), key=lambda each: -each[1])
    return ", ".join(f"{count:,} {kind}" for kind, count in kinds[:MAX_KINDS])
