"""The checks of a job: its promises, and what became of them, from its outcome and its log."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from quilt_packager_runtime.reporting.log_events import OutcomeNotPublished, StepFailed

from quilt_packager.operations import formats
from quilt_packager.operations.jobs.job import Job, Phase, State
from quilt_packager.operations.jobs.log_lines import LogLine
from quilt_packager.operations.jobs.record import JobRecord
from quilt_packager.operations.revisions.contents import RevisionContents

Kind = Literal["ok", "info", "warn"]

REMARKS: tuple[tuple[str, Kind, str], ...] = (
    ("Left out parts of the crate", "warn", "Left out."),
    ("Carried ", "ok", "Changes of another writer are kept."),
    ("Replaced by newer data of the source", "warn", "Not carried."),
    ("Replaced ", "warn", "A revision of another writer is replaced."),
    ("Files differ from their checksum lists", "warn", "Checksums differ."),
    ("Files in checksum lists are missing", "warn", "Listed files are missing."),
    ("Checksum lists not read", "warn", "Lists not read."),
    ("Lines not understood in checksum lists", "warn", "Lists not understood."),
    ("The metadata lacks ", "warn", "Metadata incomplete."),
    ("Kept from the newest revision", "info", "Metadata kept."),
    ("The crate was not used", "warn", "Crate not used."),
    ("The packages of the run's inputs could not", "warn", "Inputs unknown."),
    ("The lineage of the revision was not recorded", "warn", "Lineage."),
    ("The package is named after its folder", "info", "Name."),
    ("As requested by ", "info", "Request."),
    ("The manifest was written again", "info", "Versions."),
    ("A newer message has published this package", "info", "Superseded."),
)
"""Beginnings of remarks, with the kind and the subject of their check. Others are warnings."""

_BEGINNINGS = re.compile(rf"(?:^|(?<=\. ))(?={'|'.join(re.escape(each[0]) for each in REMARKS)})")


class Check(NamedTuple):
    """A promise of a job, and what became of it.

    Attributes:
        kind: `ok` for one that was kept, `warn` for one to look at, or `info`.
        subject: The promise in a few words.
        text: Finding, in words.
        end: A figure or a place.
    """

    kind: Kind
    subject: str
    text: str
    end: str = ""


def list_checks(record: JobRecord, contents: RevisionContents | None) -> list[Check]:
    """List the checks of a job, as far as its outcome, its log and its revision show them."""
    job = record.job
    if job.outcome is State.IGNORED:
        return [Check("info", "No package was requested.", job.why or "")]
    found = [*_check_package(record, contents), *_read_remarks(job.remark or "")]
    if job.quarantine is not None:
        found.append(Check("warn", "Quarantined.", "The package is in the quarantine registry."))
    found += _find_unpublished(record.lines)
    return found


def summarize(checks: Sequence[Check]) -> str:
    """Summarize checks, for the head of their list.

    Example:
        >>> summarize([Check("ok", "", ""), Check("warn", "", "")])
        'kept, 1 remark'
    """
    warnings = sum(each.kind == "warn" for each in checks)
    return "kept" + (f", {formats.count(warnings, 'remark')}" if warnings else "")


def _check_package(record: JobRecord, contents: RevisionContents | None) -> Iterator[Check]:
    job = record.job
    if job.top_hash is None:
        return
    if job.required is not None:
        files = (
            "The required file is"
            if job.required == 1
            else f"All {job.required:,} required files are"
        )
        yield Check("ok", "Complete.", f"{files} there.")
    if job.verified is not None:
        yield _check_lists(job)
    if contents is not None and contents.workflow is not None:
        text = "The metadata and the entries pass."
        yield Check("ok", f"Workflow {contents.workflow}.", text)
    if job.outcome is State.UNCHANGED and job.top_hash == job.previous_top_hash:
        yield Check("ok", "Up to date.", "The newest revision has these files and this metadata.")
    if job.outcome is State.CREATED and job.objects is not None:
        yield _check_passes(record)


def _check_lists(job: Job) -> Check:
    verified, read = job.verified or 0, job.verified_by_reading
    match = "file matches" if verified == 1 else "files match"
    end = "" if read is None else f"{verified - read:,} by known checksums, {read:,} read"
    return Check("ok", "Verified.", f"{verified:,} {match} {job.checksum_lists}.", end)


def _check_passes(record: JobRecord) -> Check:
    """Report whether the folder changed. A job lists it again once its revision is published."""
    passes = _count_passes(record.job.phases)
    is_retried = any(isinstance(line.event, StepFailed) for line in record.lines)
    if passes > 1 and not is_retried:
        text = "The folder or its package changed meanwhile, so that it was packaged again."
        return Check("info", "Changed while packaged.", text, f"{passes} passes")
    text = "Listed again after publishing: the package has what the folder holds."
    return Check("ok", "Nothing changed meanwhile.", text)


def _count_passes(phases: Iterable[Phase]) -> int:
    names = [phase.name for phase in phases]
    return 1 + sum(pair == ("publishing", "listing") for pair in pairwise(names))


def _read_remarks(remark: str) -> Iterator[Check]:
    """Divide a remark into the sentences that the runtime joined."""
    for text in map(str.strip, _BEGINNINGS.split(remark)):
        if text:
            known = (each[1:] for each in REMARKS if text.startswith(each[0]))
            kind, subject = next(known, ("warn", "Remark."))
            yield Check(kind, subject, text)


def _find_unpublished(lines: Iterable[LogLine]) -> Iterator[Check]:
    for line in lines:
        if isinstance(line.event, OutcomeNotPublished):
            yield Check("warn", "Not announced.", line.event.reason, line.event.destination)
