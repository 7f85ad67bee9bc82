"""Jobs, told from the lines of the engine's log. Nothing is read here: `jobs` does that.

Lines may come in any order, twice, from several functions and from older versions of them. A job
is what becomes of one message, in as many attempts as it takes.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from quilt_packager_runtime.formats.outcome import Result

from quilt_packager.operations.jobs.job import Attempt, Job, Phase, Progress, State
from quilt_packager.operations.jobs.log_lines import (
    HANDED_OVER,
    JOB_MESSAGES,
    OUTCOME_BY_MESSAGE,
    PROGRESS,
    PUT_OFF,
    STARTED,
    LogLine,
    count_of,
    number_of,
    text_of,
)

ATTEMPT_SECONDS = 960
"""Nothing is heard any more of an attempt that began so long ago: Lambda's limit, and a minute."""

SILENCE_SECONDS = 300
"""How long after its execution ended nothing is heard any more of a large job."""

EXECUTION_DAYS = 7
"""How long a large job may be silent whose execution is not known to have ended.

It says nothing until the shards of a round are hashed: of a folder of petabytes, that takes days.
All that comes after, the last resort included, takes hours.
"""

HASHING = "checksums"
"""The phase of a job that its workers go on with."""

LOST = "Lost"
"""The code of a job whose end nobody heard of."""


ORIGIN = ("package_name", "registry", "source", "trigger", "event_id", "event_source")
TEXTS = ("top_hash", "previous_top_hash", "remark", "quarantine", "code", "reason")
CREATED, UNCHANGED = (f"package {result}" for result in (Result.CREATED, Result.UNCHANGED))
SENTENCES = ("happened", "why", "remedy")
COUNTS = ("objects", "bytes", "reused", "stored", "computed")


def fold(
    lines: Iterable[LogLine],
    *,
    now: datetime,
    ended_executions: Mapping[str, datetime] | None = None,
) -> list[Job]:
    """Tell the jobs that lines are about.

    Args:
        lines: The lines, in any order, even twice.
        now: What makes silence an end.
        ended_executions: The executions of large jobs that are known to have ended, and when.

    Returns:
        The jobs; those that started last come first.
    """
    by_job: dict[str, list[LogLine]] = {}
    for line in lines:
        if line.message_id and line.message in JOB_MESSAGES:
            by_job.setdefault(line.message_id, []).append(line)
    jobs = [fold_job(each, now=now, ended_executions=ended_executions) for each in by_job.values()]
    return sorted(jobs, key=lambda job: (job.started, job.id), reverse=True)


def fold_job(
    lines: Iterable[LogLine],
    *,
    now: datetime,
    ended_executions: Mapping[str, datetime] | None = None,
) -> Job:
    """Tell the job that lines are about.

    Args:
        lines: Lines of one job, one of `JOB_MESSAGES` at least.
        now: As of `fold`.
        ended_executions: As of `fold`.
    """
    told = _in_order(lines)
    drafts = _split(told)
    last = told[-1]
    facts: dict[str, Any] = {"id": last.message_id, "updated": last.at, **_origin(told)}
    if not drafts:
        return Job(**facts, started=told[0].at, **_unstarted(last))
    executions = [draft for draft in drafts if draft.execution]
    execution = executions[-1].execution if executions else None
    facts |= {"attempts": len(drafts), "execution": execution}
    ended = _find_ended(drafts)
    if ended is not None and ended.end is not None:
        return Job(**{**facts, **_describe(ended, ended.end)})
    # A message that comes once more, of a job that goes on elsewhere, does not begin it anew.
    draft = next((each for each in executions if each.end is None), drafts[-1])
    facts |= {"started": draft.started, "phases": drafts[-1].finish().phases}
    lost_at = _lost_at(draft, execution, last.at, ended_executions or {})
    if now >= lost_at:
        return Job(**facts, **_lost(execution))
    return Job(
        **facts,
        outcome=State.RUNNING,
        seconds=max(0.0, (now - draft.started).total_seconds()),
        progress=drafts[-1].progress,
    )


def list_attempts(lines: Iterable[LogLine]) -> list[Attempt]:
    """Tell the attempts at a job, in their order.

    Args:
        lines: Lines of one job.
    """
    return [draft.finish() for draft in _split(_in_order(lines))]


class _AttemptBuilder:
    """An attempt, as far as it was read."""

    def __init__(self, line: LogLine) -> None:
        # What has no start of its own began when it says, or when it is first heard of.
        seconds = number_of(line.fields, "seconds") if line.message in OUTCOME_BY_MESSAGE else None
        self.started = _earlier(line.at, seconds or 0.0)
        self.delivery = count_of(line.fields, "delivery")
        self.execution: str | None = None
        self.end: LogLine | None = None
        self.progress: Progress | None = None
        self._phases: list[tuple[str, datetime]] = []

    def take_progress(self, line: LogLine) -> None:
        phase, done = text_of(line.fields, "phase"), count_of(line.fields, "done")
        if phase is None:
            return
        self.progress = Progress(phase, done or 0, count_of(line.fields, "total"))
        self._begin(phase, line.at)

    def take_hand_over(self, line: LogLine) -> None:
        self.execution = text_of(line.fields, "execution") or line.message_id
        # The workers count what they have done elsewhere.
        self.progress = None
        self._begin(HASHING, line.at)

    def _begin(self, phase: str, at: datetime) -> None:
        if not self._phases or self._phases[-1][0] != phase:
            self._phases.append((phase, at))

    @property
    def message(self) -> str:
        return self.end.message if self.end else ""

    @property
    def top_hash(self) -> object:
        return self.end.fields.get("top_hash") if self.end else None

    def finish(self) -> Attempt:
        ended = self.end.at if self.end else None
        bounds = [*(at for _, at in self._phases[1:]), ended]
        phases = tuple(
            Phase(name, at, max(0.0, (until - at).total_seconds()) if until else None)
            for (name, at), until in zip(self._phases, bounds, strict=False)
        )
        facts: dict[str, Any] = {}
        if self.end:
            facts = {name: text_of(self.end.fields, name) for name in ("code", "reason")}
            facts["outcome"] = _state(self.end)
            facts["seconds"] = number_of(self.end.fields, "seconds")
        return Attempt(
            started=self.started,
            ended=ended,
            delivery=self.delivery,
            execution=self.execution,
            phases=phases,
            **facts,
        )


def _in_order(lines: Iterable[LogLine]) -> list[LogLine]:
    """The lines that make the job, each once; of the same millisecond, as they came."""
    told = {(line.at, line.text): line for line in lines if line.message in JOB_MESSAGES}
    return sorted(told.values(), key=lambda line: line.at)


def _split(lines: list[LogLine]) -> list[_AttemptBuilder]:
    drafts: list[_AttemptBuilder] = []
    for line in lines:
        if line.message == STARTED:
            drafts.append(_AttemptBuilder(line))
        elif line.message in OUTCOME_BY_MESSAGE:
            # Where a message was delivered twice, two attempts are open: each end closes one.
            draft = next((each for each in reversed(drafts) if each.end is None), None)
            if draft is None:
                draft = _AttemptBuilder(line)
                drafts.append(draft)
            draft.end = line
        elif line.message == PROGRESS or line.message in HANDED_OVER:
            if not drafts or drafts[-1].end is not None:
                if drafts and _is_final(drafts[-1].end):
                    continue  # a function's clock was behind
                drafts.append(_AttemptBuilder(line))
            if line.message == PROGRESS:
                drafts[-1].take_progress(line)
            else:
                drafts[-1].take_hand_over(line)
    return drafts


def _find_ended(drafts: list[_AttemptBuilder]) -> _AttemptBuilder | None:
    """The attempt that the job ended with; None if it goes on."""
    ended = sorted(
        ((draft.end.at, number, draft) for number, draft in enumerate(drafts) if draft.end),
        key=lambda each: each[:2],
    )
    if not ended:
        return None
    ended_at, _, last = ended[-1]
    if drafts[-1].end is None and drafts[-1].started >= ended_at:
        return None
    if last.message == UNCHANGED:
        # A message that came twice: its second delivery found what the first one made.
        for _, _, draft in ended:
            if draft.message == CREATED and draft.top_hash == last.top_hash:
                return draft
    return last


def _describe(draft: _AttemptBuilder, end: LogLine) -> dict[str, Any]:
    fields = end.fields
    seconds = number_of(fields, "seconds")
    return {
        "outcome": _state(end),
        # What went on under the state machine may have begun with an earlier delivery.
        "started": min(draft.started, _earlier(end.at, seconds or 0.0)),
        "ended": end.at,
        "seconds": seconds,
        "final": _is_final(end),
        "phases": draft.finish().phases,
        **{name: text_of(fields, name) for name in (*TEXTS, *SENTENCES)},
        **{name: count_of(fields, name) for name in COUNTS},
    }


def _unstarted(line: LogLine) -> dict[str, Any]:
    if line.message == PUT_OFF:
        return {"outcome": State.QUEUED}
    why = text_of(line.fields, "why")
    return {"outcome": State.IGNORED, "ended": line.at, "why": why, "reason": why}


def _lost_at(
    draft: _AttemptBuilder, execution: str | None, heard_at: datetime, ended: Mapping[str, datetime]
) -> datetime:
    """When silence is the end of a job."""
    if execution is None:
        return _later(draft.started, ATTEMPT_SECONDS)
    if execution in ended:
        return _later(max(ended[execution], heard_at), SILENCE_SECONDS)
    return _later(heard_at, EXECUTION_DAYS * 86_400)


def _lost(execution: str | None) -> dict[str, Any]:
    happened = "The job did not say how it ended."
    if execution is None:
        why = "The function ran out of memory or was stopped."
        remedy = "SQS delivers its message again; if it ends so again, raise the function's memory."
    else:
        why = "The state machine's execution has ended without a word: somebody stopped it."
        remedy = f"Look at the execution {execution}, and send the message again."
    return {
        "outcome": State.FAILED,
        "code": LOST,
        "happened": happened,
        "why": why,
        "remedy": remedy,
        "reason": f"{happened} {why} {remedy}",
        # SQS has the message of a job that was not handed over.
        "final": execution is not None,
    }


def _origin(lines: list[LogLine]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for line in lines:
        for name in ORIGIN:
            found[name] = text_of(line.fields, name) or found.get(name)
    return found


def _state(end: LogLine) -> State:
    return State(OUTCOME_BY_MESSAGE[end.message].value)


def _is_final(end: LogLine | None) -> bool:
    """Whether nobody tries again; older versions do not say it."""
    if end is None:
        return False
    told = end.fields.get("final")
    return told if isinstance(told, bool) else OUTCOME_BY_MESSAGE[end.message] is not Result.FAILED


def _earlier(at: datetime, seconds: float) -> datetime:
    try:
        return at - timedelta(seconds=seconds)
    except OverflowError:
        return at


def _later(at: datetime, seconds: float) -> datetime:
    try:
        return at + timedelta(seconds=seconds)
    except OverflowError:
        return at
