"""Writes the details of one job."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from quilt_packager.cli.console.outcomes import describe_verified
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.operations import formats
from quilt_packager.operations.jobs.job import Attempt, Job, Phase
from quilt_packager.operations.jobs.labels import describe_progress, trigger_label

if TYPE_CHECKING:
    from quilt_packager.operations.jobs.links import Links
    from quilt_packager.operations.jobs.log_lines import LogLine
    from quilt_packager.operations.jobs.record import JobRecord

HASH_CHARACTERS = 32

SHOWN_ELSEWHERE = frozenset(
    {
        # In the line itself, or equal in all lines of a job.
        "message",
        "message_id",
        # Above the log.
        "outcome",
        "package_name",
        "registry",
        "source",
        "trigger",
        "event_id",
        "top_hash",
        "previous_top_hash",
        "reason",
        "why",
        "remedy",
    }
)
"""Fields of an event that its line omits; `--json` has them all."""


def write_record(terminal: Terminal, record: "JobRecord", links: "Links") -> None:
    """Write a job, its attempts and its log."""
    job = record.job
    name = job.package_name or job.source or job.id
    seconds = "" if job.seconds is None else f", {formats.duration(job.seconds)}"
    terminal.outcome(job.outcome, f"{name}  {terminal.when(job.started)}{seconds}")
    if job.code is not None:
        sentences = [("code", job.code), ("happened", job.happened), ("why", job.why)]
        sentences += [("do", job.remedy), ("", None if job.final else "It will be retried.")]
        terminal.fields((label, text) for label, text in sentences if text)
    terminal.facts([*_facts(terminal, job, record.attempts), *_links(job, links)])
    terminal.write()
    for line in record.lines:
        terminal.log_line(line.at, line.level, line.message, _details(line))
    if record.is_cut_off:
        terminal.hint("The job has more lines; the first ones are left out.")


def record_to_json(record: "JobRecord", links: "Links") -> dict[str, Any]:
    """Convert a job, its attempts and its lines, with all of their fields, to JSON."""
    parts = {
        "job": record.job,
        "links": links._asdict(),
        "attempts": record.attempts,
        "lines": [{"at": line.at, **msgspec.json.decode(line.text)} for line in record.lines],
    }
    written: dict[str, Any] = msgspec.to_builtins(parts, builtin_types=(datetime,))
    return written


def _facts(terminal: Terminal, job: Job, attempts: Sequence[Attempt]) -> Iterator[tuple[str, str]]:
    yield from _revision(terminal, job)
    if job.progress is not None:
        yield "Progress", describe_progress(job.progress)
    if job.source is not None:
        event = f" event {job.event_id}" if job.event_id else ""
        yield "Source", f"{job.source}  {trigger_label(job)}{event}"
    for number, each in enumerate(job.sources or ()):
        yield "" if number else "Sources", f"{each.prefix}  {each.into or '/'}"
    if job.phases:
        yield "Phases", ", ".join(_describe_phase(phase) for phase in job.phases)
    if len(attempts) > 1:
        for number, attempt in enumerate(attempts):
            yield "" if number else "Attempts", _describe_attempt(terminal, attempt)
    yield "Message", job.id


def _revision(terminal: Terminal, job: Job) -> Iterator[tuple[str, str]]:
    if job.top_hash is not None:
        yield "Top hash", terminal.shorten(job.top_hash, HASH_CHARACTERS)
    if job.previous_top_hash is not None:
        yield "Previous", terminal.shorten(job.previous_top_hash, HASH_CHARACTERS)
    if job.registry is not None:
        yield "Registry", job.registry
    if job.objects is not None and job.bytes is not None:
        yield "Objects", f"{job.objects:,}, {formats.size(job.bytes)}"
        counts = {"reused": job.reused, "stored": job.stored, "computed": job.computed}
        yield "Checksums", ", ".join(f"{count or 0:,} {name}" for name, count in counts.items())
    if verified := describe_verified(job):
        yield "Verified", verified
    if job.remark is not None:
        yield "Remark", job.remark


def _links(job: Job, links: "Links") -> Iterator[tuple[str, str]]:
    found = {
        "Package": job.link,
        "Quarantine": job.quarantine,
        "Catalog": links.catalog,
        "Execution": links.execution,
    }
    yield from ((label, link) for label, link in found.items() if link is not None)


def _describe_phase(phase: Phase) -> str:
    seconds = "" if phase.seconds is None else f" {formats.duration(phase.seconds)}"
    return phase.name + seconds


def _describe_attempt(terminal: Terminal, attempt: Attempt) -> str:
    parts = [terminal.clock(attempt.started)]
    parts.append("no outcome logged" if attempt.outcome is None else attempt.outcome.value)
    if attempt.seconds is not None:
        parts.append(formats.duration(attempt.seconds))
    if attempt.code is not None:
        parts.append(attempt.code)
    return "  ".join(parts)


def _details(line: "LogLine") -> str:
    if line.event is None:
        return line.text
    fields = msgspec.to_builtins(line.event).items()
    shown = ((name, value) for name, value in fields if name not in SHOWN_ELSEWHERE)
    return "  ".join(f"{name}={_show_value(value)}" for name, value in shown)


def _show_value(value: object) -> str:
    is_word = isinstance(value, str) and value and " " not in value
    return str(value) if is_word else json.dumps(value)
