"""The verdict on a message: whether it can be packaged, and what may not be meant."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple
from urllib.parse import quote

from quilt_packager_runtime.errors import (
    AccessDenied,
    Explanation,
    HeldForReview,
    InvalidCrate,
    InvalidMetadata,
    PackageNameTaken,
    printable,
)

from quilt_packager.admin.pages.field_notes import is_folder_above
from quilt_packager.admin.pages.package_form import FOUND, LABELS, NO_METADATA, Checked
from quilt_packager.admin.web.problems import Problem
from quilt_packager.operations import formats
from quilt_packager.operations.plans.plan import Plan

Kind = Literal["ok", "info", "warn", "bad"]

SHOWN_FIELDS = 3
"""Number of metadata fields that are named."""


class Planned(NamedTuple):
    """The result of planning.

    Attributes:
        plan: The plan; None if planning failed.
        problem: Error of planning; None if it succeeded.
        fingerprint: Fingerprint of the planned message, as `Checked.fingerprint`.
        origin: Origin of the metadata that the folder has, if the package would lose some.
    """

    plan: Plan | None
    problem: Problem | None
    fingerprint: str
    origin: str | None = None

    @property
    def refusals(self) -> Sequence[Explanation]:
        """Return the reasons for which the job would not package the folder."""
        return self.plan.refusals if self.plan else ()

    @property
    def denied(self) -> list[Explanation]:
        """Return what AWS denied: planning uses the user's credentials, unlike a job."""
        return [each for each in self.refusals if each.code == AccessDenied.__name__]

    @property
    def rejected(self) -> list[Explanation]:
        """Return the reasons for which the engine would reject the message."""
        return [each for each in self.refusals if each.code != AccessDenied.__name__]


class Cure(NamedTuple):
    """A link that changes the form, or leads to what decides.

    Attributes:
        label: Its text.
        url: Path and query, or an anchor on the page.
    """

    label: str
    url: str


class Finding(NamedTuple):
    """A line of the verdict.

    Attributes:
        kind: `warn` for something that may not be meant, or `bad` for what prevents the package.
        subject: The sentence that matters.
        text: The rest.
        code: Value after the text.
        rest: Text after the value.
        cures: Links that help.
    """

    kind: Kind
    subject: str
    text: str = ""
    code: str = ""
    rest: str = ""
    cures: tuple[Cure, ...] = ()


class Verdict(NamedTuple):
    """The verdict.

    Attributes:
        kind: Worst kind of the findings; `run` without a check.
        title: The answer.
        text: The effect.
        findings: Its lines.
        is_whole_bucket: The package needs a confirmation.
        is_advised: Nothing is known that prevents the package.
    """

    kind: Kind | Literal["run"]
    title: str
    text: str
    findings: tuple[Finding, ...]
    is_whole_bucket: bool
    is_advised: bool

    @property
    def warnings(self) -> int:
        """Return the number of warnings."""
        return sum(each.kind == "warn" for each in self.findings)

    @property
    def button(self) -> str:
        """Return the label of the button that packages."""
        if not self.is_advised:
            return "Package anyway"
        label, others = "Package", self.warnings
        if self.is_whole_bucket:
            label, others = "Package the bucket", self.warnings - 1
        return f"{label} with {formats.count(others, 'warning')}" if others else label

    @property
    def state(self) -> str:
        """Return the state in few words, for a small screen."""
        return formats.count(self.warnings, "warning") if self.kind == "warn" else self.title


def judge(checked: Checked, planned: Planned | None, *, is_known: bool = True) -> Verdict:
    """Judge a message.

    Args:
        checked: The message.
        planned: Its plan; None if it was not planned.
        is_known: The settings of the engine are known.
    """
    request = checked.request
    is_whole_bucket = request is not None and not request.source.prefix
    found = tuple(_find(checked, planned, is_known=is_known))
    kinds = {each.kind for each in found}
    kind: Kind = next((each for each in ("bad", "warn") if each in kinds), "ok")
    title, text = _summarise(checked, planned, kind)
    is_checked = planned is not None or kind != "ok"
    return Verdict(
        kind=kind if is_checked else "run",
        title=title,
        text=text,
        findings=found,
        is_whole_bucket=is_whole_bucket,
        is_advised=kind != "bad" or not checked.is_good,
    )


def _summarise(checked: Checked, planned: Planned | None, kind: Kind) -> tuple[str, str]:
    """Return the title and the text of a verdict."""
    if not checked.draft.source_prefix:
        return "Which folder?", "Enter one, or choose one below."
    if checked.request is None or checked.wrong:
        wrong = ", ".join(checked.wrong) or "the form"
        return "This cannot be packaged", f"Correct first: {wrong}."
    if planned is not None:
        return _summarise_plan(planned, kind)
    title = "Ready to check" if kind == "ok" else _DOUBT
    if not checked.request.source.prefix:
        title = _WHOLE_BUCKET
    return title, "The check shows what the engine would do. It writes nothing."


def _summarise_plan(planned: Planned, kind: Kind) -> tuple[str, str]:
    plan = planned.plan
    if plan is None:
        return "The check failed", "Nothing was written."
    if planned.rejected:
        count = formats.count(len(planned.rejected), "reason")
        return "This would be rejected", f"For {count}. Nothing was written."
    if planned.denied:
        return "Your permissions are not sufficient for a check", "Those of the engine may be."
    if plan.unchanged:
        revision = f"Revision {plan.revision:,}" if plan.revision is not None else "The newest one"
        return "Already packaged", f"{revision} of {plan.package_name} has the same contents."
    title = "Can be packaged" if kind == "ok" else f"Can be packaged, but {_DOUBT.lower()}"
    return _WHOLE_BUCKET if plan.is_whole_bucket else title, _describe(plan)


_DOUBT = "Is this what you mean?"
_WHOLE_BUCKET = "This is a whole bucket"


def _describe(plan: Plan) -> str:
    revision = f"revision {plan.revision:,} of " if plan.revision is not None else ""
    by = (
        f"Workflow {plan.workflow} finds no violations."
        if plan.workflow
        else "No workflow checks it."
    )
    return f"Creates {revision}{plan.package_name} in {plan.registry}. {by}"


def _find(checked: Checked, planned: Planned | None, *, is_known: bool) -> Iterator[Finding]:
    if not checked.draft.source_prefix:
        return
    if not checked.is_good:
        yield from _find_errors(checked)
        return
    if planned is not None:
        if not is_known:
            text = "This assumes default settings: the engine may act differently."
            yield Finding("warn", "The engine's settings are unknown.", text)
        yield from _find_refusals(checked, planned)
    # A plan without permissions says nothing about the folder.
    plan = planned.plan if planned and not planned.denied else None
    yield from _find_doubts(checked, plan)
    if planned is not None and planned.plan is not None:
        yield from _find_losses(checked, planned, planned.plan)


def _find_errors(checked: Checked) -> Iterator[Finding]:
    for name, note in checked.notes.items():
        if note.kind == "bad":
            label = f"{LABELS[name][:1].upper()}{LABELS[name][1:]}."
            yield Finding("bad", label, note.text, note.code, note.rest)
    if checked.problem:
        yield Finding("bad", checked.problem)


def _find_refusals(checked: Checked, planned: Planned) -> Iterator[Finding]:
    if planned.problem is not None:
        problem = planned.problem
        yield Finding("bad", problem.happened, f"{problem.why} {problem.remedy}", problem.code)
    for each in planned.rejected:
        text = f"{each.why} {each.remedy}"
        yield Finding("bad", each.happened, text, each.code, cures=_cure(checked, each))
    for each in planned.denied:
        text = "Ask for this permission, or choose Package: the engine has its own permissions."
        yield Finding("warn", f"AWS denied you: {each.happened}", text, each.code)


def _find_doubts(checked: Checked, plan: Plan | None) -> Iterator[Finding]:
    """Find what may not be meant about the folder."""
    request, draft = checked.request, checked.draft
    if request is None:
        return
    if is_folder_above(request):
        entered = draft.source_prefix
        use = Cure(
            f"Use …/{'/'.join(entered.split('/')[-2:])}/",
            draft.address(source_prefix=f"{entered}/", is_planned=True),
        )
        yield Finding(
            "warn",
            "This is the folder above.",
            "Without a slash at its end, the engine packages",
            str(request.source),
            ".",
            # A plan finds no folder if a file was entered.
            (use,) if plan is None or plan.meant is not None else (),
        )
    if not request.source.prefix:
        count = f"{plan.contents.objects:,} objects, " if plan and plan.contents else ""
        yield Finding(
            "warn",
            f"Everything in {request.source.bucket},",
            f"{count}becomes one package.",
            cures=(Cure("Choose one of its folders", "#found"),),
        )


def _find_losses(checked: Checked, planned: Planned, plan: Plan) -> Iterator[Finding]:
    """Find what the newest revision has, and this one would not."""
    draft = checked.draft
    newest = Cure(
        "Show the newest revision", f"/packages/{quote(plan.registry)}/{quote(plan.package_name)}"
    )
    if lost := plan.metadata_lost:
        shown = [printable(name) for name in lost[:SHOWN_FIELDS]]
        if (others := len(lost) - SHOWN_FIELDS) > 0:
            shown.append(f"{others} more")
        take = (
            Cure(
                f"Take them from {planned.origin}",
                draft.address(metadata_kind=FOUND, is_planned=True),
            )
            if planned.origin
            else newest
        )
        yield Finding(
            "warn",
            f"{formats.count(len(lost), 'metadata field')} would be lost.",
            f"The newest revision has {'it' if len(lost) == 1 else 'them'}, this one would not: "
            f"{', '.join(shown)}.",
            cures=(take,),
        )
    if plan.replaced is not None:
        carry = draft.address(on_foreign_revision="carry", is_planned=True)
        yield Finding(
            "warn",
            "A person changed the newest revision.",
            f"{plan.replaced_changes or 'The changes'} would be replaced, and stay in",
            plan.replaced[:8],
            ".",
            (Cure("Carry them over", carry), newest),
        )
    for warning in plan.warnings:
        subject, colon, rest = warning.partition(": ")
        yield Finding("warn", f"{subject}{colon.rstrip() or '.'}", f"{rest}." if rest else "")
    for note in plan.notes:
        if note not in {*plan.warnings, *plan.dangers}:
            yield Finding("info", "", f"{note}.")


def _cure(checked: Checked, refusal: Explanation) -> tuple[Cure, ...]:
    """Return the changes of the form after which the engine may accept the message."""
    draft, code = checked.draft, refusal.code

    def change(label: str, **changed: str) -> Cure:
        return Cure(label, draft.address(is_planned=True, **changed))

    if code == PackageNameTaken.__name__:
        return (Cure("Give it a name", "#package_name"),)
    if code == HeldForReview.__name__:
        carry = change("Carry the changes over", on_foreign_revision="carry")
        replace = change("Replace them", on_foreign_revision="replace")
        is_carrying = draft.options.get("on_foreign_revision") == "carry"
        return (replace,) if is_carrying else (carry, replace)
    if code == InvalidCrate.__name__ and "missing_parts" in refusal.remedy:
        return (change("Leave the parts out", missing_parts="leave_out"),)
    if code == InvalidMetadata.__name__:
        return (change("Package without metadata", metadata_kind=NO_METADATA),)
    return ()
