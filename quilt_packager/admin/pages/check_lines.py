"""Lists of checks: the engine's check, and the reasons for which a folder is not packaged."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal, NamedTuple
from urllib.parse import urlencode

from quilt_packager.admin.model.settings_views import Explained, SettingsViews
from quilt_packager.admin.web.problems import Problem, describe_problem
from quilt_packager.operations import formats
from quilt_packager.operations.checks.finding import Finding, Status
from quilt_packager.operations.checks.summary import describe_counts, group, name_subjects
from quilt_packager.operations.folders.answer import NONE
from quilt_packager.operations.folders.contents import parse_folder
from quilt_packager.operations.folders.verdicts import Verdict
from quilt_packager.operations.jobs.job import State

FOLDED_AFTER = 3
"""Number of successful checks that are shown unless all are wanted."""


Kind = Literal["ok", "info", "warn", "bad"]

KINDS: dict[Status, Kind] = {
    Status.WRONG: "bad",
    Status.NOTICE: "warn",
    Status.UNCONFIRMED: "info",
    Status.OK: "ok",
}
VERDICTS: dict[Verdict, Kind] = {
    Verdict.PACKAGES: "ok",
    Verdict.WAITS: "info",
    Verdict.IGNORES: "info",
    Verdict.OFF: "warn",
}
STATES: dict[str, Kind] = {
    State.CREATED: "ok",
    State.UNCHANGED: "ok",
    State.REJECTED: "bad",
    State.FAILED: "bad",
    NONE: "warn",
}


class CheckLine(NamedTuple):
    """A line of a list of checks.

    Attributes:
        kind: Look of the line.
        subject: Resource or event source, in bold.
        text: Fact.
        remedy: Action to take; empty if none is needed.
        links: Texts and paths of links after the remedy.
    """

    kind: Kind
    subject: str
    text: str
    remedy: str = ""
    links: Sequence[tuple[str, str]] = ()


class CheckList(NamedTuple):
    """The last check of the engine.

    Attributes:
        lines: Lines, the worst first; None if the engine was not checked.
        hidden: Number of successful checks that are not shown.
        counts: Number of findings by status, in words.
        total: Number of findings.
        wrong: Number of findings that prevent packages.
        at: Time of the check.
        is_running: A check is running.
        problem: Error of the last check; None if it succeeded.
    """

    lines: Sequence[CheckLine] | None
    hidden: int
    counts: str
    total: int
    wrong: int
    at: datetime | None
    is_running: bool
    problem: Problem | None

    @property
    def summary(self) -> str:
        """The result for a screen reader."""
        return f"{formats.count(self.total, 'check')}: {self.wrong:,} wrong."


def read_check(views: SettingsViews, *, shows_all: bool, waits: bool) -> CheckList:
    """Return the last check.

    Args:
        views: The engine.
        shows_all: Show all successful checks.
        waits: Wait for a check that is running.
    """
    answer = views.last_check(waits=waits)
    is_running = views.is_checking()
    findings = answer.value
    lines = list(_list_findings(findings)) if findings is not None else None
    hidden = 0
    if lines and not shows_all:
        right = [line for line in lines if line.kind == "ok"]
        hidden = max(0, len(right) - FOLDED_AFTER)
        lines = lines[: len(lines) - hidden]
    return CheckList(
        lines,
        hidden,
        describe_counts(findings or ()),
        len(findings or ()),
        sum(each.status is Status.WRONG for each in findings or ()),
        answer.at,
        is_running,
        describe_problem(answer.error) if answer.error and not is_running else None,
    )


def _list_findings(findings: Sequence[Finding]) -> Iterator[CheckLine]:
    for subjects, each in group(findings):
        yield CheckLine(KINDS[each.status], name_subjects(subjects), each.text, each.remedy)


class Reasons(NamedTuple):
    """The reasons for which a folder was packaged, or was not.

    Attributes:
        folder: Folder in the field.
        lines: Lines; None without an answer.
        problem: Error; None if there is none.
        mistake: Description of an unusable folder; empty for none.
        is_open: The question was not asked yet.
    """

    folder: str = ""
    lines: Sequence[CheckLine] | None = None
    problem: Problem | None = None
    mistake: str = ""
    is_open: bool = False


def read_reasons(views: SettingsViews, text: str) -> Reasons:
    """Ask why a folder was packaged, or was not."""
    if not text:
        return Reasons()
    try:
        folder = parse_folder(text)
    except ValueError as error:
        return Reasons(text, mistake=str(error))
    answer = views.explained(folder)
    problem = describe_problem(answer.error) if answer.error else None
    lines = list(_list_reasons(answer.value)) if answer.value else None
    return Reasons(text, lines, problem)


def _list_reasons(explained: Explained) -> Iterator[CheckLine]:
    history, found = explained
    links = [("Its last job", f"/jobs/{each.id}") for each in history.jobs[:1]]
    links += [
        ("Its failure", f"/failures?{urlencode({'q': each.id})}") for each in history.failures[:1]
    ]
    if history.contents.objects:
        form = urlencode({"source_prefix": history.folder})
        links.append(("Package it now", f"/new?{form}"))
    kind = STATES.get(found.state, "info")
    yield CheckLine(kind, found.happened, found.why, found.remedy, links)
    for each in history.sources:
        yield CheckLine(VERDICTS[each.verdict], each.title, each.why, each.remedy)
