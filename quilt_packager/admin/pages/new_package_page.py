"""The New package tab: a form that is checked as one types, its plan, and sending it."""

import asyncio
from typing import Any, NamedTuple

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import AccessDenied, Explanation
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from quilt_packager.admin.model import links
from quilt_packager.admin.model.views import Views, make_queued
from quilt_packager.admin.pages.package_form import Checked, Draft, check_draft
from quilt_packager.admin.web.problems import Problem, describe_problem
from quilt_packager.admin.web.rendering import Renderer, Tab
from quilt_packager.admin.web.security import form_of
from quilt_packager.operations import formats
from quilt_packager.operations.deployment.configurations import Configuration
from quilt_packager.operations.deployment.credentials import environment_of
from quilt_packager.operations.deployment.messages import send
from quilt_packager.operations.plans.plan import Plan
from quilt_packager.operations.plans.planner import plan

TAB = Tab("New package", "/new")

ALLOWED_WHEN_READ_ONLY = ("/new/check", "/new/plan")
"""Forms that read only."""

MAX_KINDS = 2
"""How many kinds of requests are told apart."""

INVALID = 422
BAD_GATEWAY = 502


class Planned(NamedTuple):
    """What a plan came to.

    Attributes:
        plan: The plan; None if there is none.
        problem: Why not; None if that is not known or not so.
        print: What was planned, as `Checked.print`.
    """

    plan: Plan | None
    problem: Problem | None
    print: str

    @property
    def denied(self) -> list[Explanation]:
        """What AWS refused to whoever looks: a plan is made by their credentials, a job is not."""
        refusals = self.plan.refusals if self.plan else ()
        return [each for each in refusals if each.code == AccessDenied.__name__]

    @property
    def rejected(self) -> list[Explanation]:
        """Why the engine would reject it."""
        refusals = self.plan.refusals if self.plan else ()
        return [each for each in refusals if each.code != AccessDenied.__name__]


class Known(NamedTuple):
    """What is known of how the engine does its jobs.

    Attributes:
        configuration: That; of an engine without props where it is not known.
        problem: Why it is not known; None: it is, or nobody asked yet.
    """

    configuration: Configuration
    problem: Problem | None = None


class NewPackagePage:
    """The New package tab.

    Args:
        views: What is known of the engine.
        renderer: Makes pages.
    """

    def __init__(self, views: Views, renderer: Renderer) -> None:
        self._views = views
        self._renderer = renderer

    def routes(self) -> list[Route]:
        """What this tab answers."""
        return [
            Route(TAB.path, self.show),
            Route(TAB.path, self.package, methods=["POST"]),
            Route("/new/check", self.check, methods=["POST"]),
            Route("/new/plan", self.plan, methods=["POST"]),
        ]

    def show(self, request: Request) -> Response:
        """The form, empty or as the query fills it in, maybe from a job; it needs no AWS."""
        draft = Draft.read(request.query_params)
        known = Known(self._views.known_configuration() or Configuration())
        checked = check_draft(draft, known.configuration.settings, is_new=True)
        return self._show(request, checked, known)

    def check(self, request: Request) -> Response:
        """What to say of each field while one types."""
        form = form_of(request)
        known = self._ask()
        checked = check_draft(Draft.read(form), known.configuration.settings, is_new=True)
        planned = form.get("planned", "")
        return self._renderer.part(
            request,
            "new_check_part.html",
            checked=checked,
            changed=checked.changed(planned) if planned else [],
            is_live=True,
            **self._values(checked, known),
        )

    def plan(self, request: Request) -> Response:
        """What the message would come to; nothing is written."""
        known = self._ask()
        checked = check_draft(Draft.read(form_of(request)), known.configuration.settings)
        planned = self._plan(checked, known.configuration) if checked.is_good else None
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
        """Send the message, and go where its job is followed."""
        known = self._ask()
        checked = check_draft(Draft.read(form_of(request)), known.configuration.settings)
        if not checked.is_good or checked.request is None:
            return self._show(request, checked, known, status=INVALID)
        try:
            job_id = send(self._views.deployment, checked.body)
        except Exception as error:  # noqa: BLE001 - shown above the form, which keeps what it holds
            return self._show(
                request, checked, known, status=BAD_GATEWAY, unsent=describe_problem(error)
            )
        wanted = checked.request
        self._views.expect(
            make_queued(
                job_id,
                source=str(wanted.source),
                registry=wanted.registry,
                package_name=wanted.package_name,
            )
        )
        self._views.forget()
        return RedirectResponse(f"/jobs/{job_id}", status_code=303)

    def _ask(self) -> Known:
        # Without it, the engine itself will say what it does not allow.
        answer = self._views.configuration()
        if answer.value is not None:
            return Known(answer.value)
        return Known(Configuration(), describe_problem(answer.error or LookupError()))

    def _plan(self, checked: Checked, configuration: Configuration) -> Planned | None:
        if checked.request is None:
            return None
        try:
            s3 = S3.from_environment(environment_of(self._views.deployment.session))
            made = asyncio.run(
                plan(
                    checked.request,
                    settings=configuration.settings,
                    s3=s3,
                    memory_mib=configuration.memory_mib,
                )
            )
        except Exception as error:  # noqa: BLE001 - shown where the plan would be
            return Planned(None, describe_problem(error), checked.print)
        return Planned(made, None, checked.print)

    def _show(
        self,
        request: Request,
        checked: Checked,
        known: Known,
        planned: Planned | None = None,
        *,
        status: int = 200,
        unsent: Problem | None = None,
    ) -> Response:
        fields = request.query_params if request.method == "GET" else form_of(request)
        return self._renderer.page(
            request,
            "new.html",
            status=status,
            from_job=fields.get(links.FROM_JOB, ""),
            rebuilt=links.REBUILT,
            checked=checked,
            planned=planned,
            changed=[],
            # Without JavaScript, nothing would enable what is disabled now.
            is_live=False,
            unsent=unsent,
            **self._values(checked, known),
        )

    def _values(self, checked: Checked, known: Known) -> dict[str, Any]:
        deployment = self._views.deployment
        return {
            "draft": checked.draft,
            "unknown": known.problem,
            "registries": known.configuration.settings.registry_buckets,
            "command": deployment.command("send", checked.body, names_stack=True),
            "span": formats.span,
            "usd": formats.usd,
            "requests": tell_requests,
        }


def tell_requests(counts: dict[str, int]) -> str:
    """The most frequent kinds of requests.

    Args:
        counts: How many there are of each.

    Example:
        >>> tell_requests({"LIST": 13, "HEAD": 12408, "PUT": 3})
        '12,408 HEAD, 13 LIST'
    """
    kinds = sorted(counts.items(), key=lambda each: -each[1])
    return ", ".join(f"{count:,} {kind}" for kind, count in kinds[:MAX_KINDS])
