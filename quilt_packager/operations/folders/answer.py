"""The answer to the question why a folder was packaged, or was not."""

from typing import TYPE_CHECKING

import msgspec

from quilt_packager.operations import formats
from quilt_packager.operations.folders.verdicts import Verdict
from quilt_packager.operations.jobs.job import Job, State
from quilt_packager.operations.jobs.labels import trigger_label

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment
    from quilt_packager.operations.folders.history import FolderHistory


class Answer(msgspec.Struct, frozen=True):
    """The answer for a folder.

    Attributes:
        state: State of its last job; `none` without one.
        happened: Fact, as a sentence.
        why: Reason.
        remedy: Action to take; empty if none is needed.
    """

    state: str
    happened: str
    why: str
    remedy: str = ""


NONE = "none"


def answer(deployment: "Deployment", history: "FolderHistory") -> Answer:
    """Answer from the strongest evidence: a job, a dead letter, a revision, the sources."""
    if history.jobs:
        return _answer_by_job(deployment, history, history.jobs[0])
    if history.failures:
        letter = history.failures[0]
        retry = deployment.command("failures", "retry", letter.id)
        remedy = f"{letter.remedy} Then: {retry}"
        return Answer(State.REJECTED, letter.happened, letter.why, remedy)
    return _answer_without_job(deployment, history)


def _answer_by_job(deployment: "Deployment", history: "FolderHistory", job: Job) -> Answer:
    if job.code is not None:
        show = deployment.command("jobs", "show", job.id)
        return Answer(
            job.outcome,
            job.happened or job.reason or job.code,
            job.why or "",
            f"{job.remedy} The log: {show}" if job.remedy else show,
        )
    if job.outcome not in {State.CREATED, State.UNCHANGED}:
        show = deployment.command("jobs", "show", job.id)
        return Answer(job.outcome, "A job of the folder has not ended.", "", show)
    trigger = f"Trigger of its last job: {trigger_label(job) or 'unknown'}."
    happened = f"It is the package {job.package_name} in {job.registry}."
    newest = history.contents.newest
    if newest is not None and newest > job.started:
        return Answer(
            job.outcome,
            f"{happened} Objects were written after the last job began.",
            f"{trigger} No event was seen since.",
            deployment.command("send", history.folder),
        )
    return Answer(job.outcome, happened, trigger)


def _answer_without_job(deployment: "Deployment", history: "FolderHistory") -> Answer:
    send = deployment.command("send", history.folder)
    if history.contents.objects == 0:
        why = "The name is wrong, or nothing was uploaded yet."
        return Answer(NONE, "The folder has no objects.", why, "Check the name of the folder.")
    if history.covered_by:
        whole = history.covered_by[0]
        happened = f"It is part of {whole.source}, which is the package {whole.package_name}."
        if whole.sources:
            happened = f"It is part of the package {whole.package_name}, of several sources."
        return Answer(NONE, happened, "Only the whole package has jobs.")
    verdicts = {each.verdict for each in history.sources}
    if Verdict.PACKAGES in verdicts:
        names = [each.name for each in history.sources if each.verdict is Verdict.PACKAGES]
        check = deployment.command("check")
        return Answer(
            NONE,
            f"No job was seen, although {', '.join(names)} packages the folder.",
            "The uploads preceded the engine, the bucket sends no events, or jobs are waiting. "
            f"{_describe_revision(history)}".strip(),
            f"{check} finds the reason; {send} packages it now.",
        )
    off = [each for each in history.sources if each.verdict is Verdict.OFF]
    return Answer(
        NONE,
        "No event source packages this folder as it is.",
        f"Each source below says why. {_describe_revision(history)}".strip(),
        f"{off[0].remedy}, or package it now: {send}" if off else send,
    )


def _describe_revision(history: "FolderHistory") -> str:
    if history.revision is None:
        return ""
    package = f"{history.package_name} in {history.registry}"
    published = history.revision.published
    if published is None:
        return f"A package {package} exists."
    return f"A package {package} was published on {published:%Y-%m-%d}; its job is not in the log."


def describe_contents(history: "FolderHistory") -> str:
    """Describe the objects of a folder in a few words."""
    contents = history.contents
    count = formats.count(contents.objects, "object")
    return f"more than {count}" if contents.is_cut_off else count
