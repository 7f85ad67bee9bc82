"""Output of a job's outcome, for readers and for programs."""

from quilt_packager_runtime.errors import PackagerError
from quilt_packager_runtime.formats.outcome import Outcome

from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.operations import formats
from quilt_packager.operations.jobs.job import Job

JSON_FIELDS = (
    "outcome",
    "package_name",
    "registry",
    "top_hash",
    "objects",
    "bytes",
    "manifest_refreshed",
    "remark",
    "code",
    "reason",
)
"""Fields of `--json`. All are always present; unknown values are null."""


def write_json(terminal: Terminal, outcome: Outcome, **more: object) -> None:
    """Write an outcome as one JSON object, with more fields."""
    terminal.json({**{field: getattr(outcome, field) for field in JSON_FIELDS}, **more})


def write_success(
    terminal: Terminal, outcome: Outcome | Job, *, seconds: float, source: str | None = None
) -> None:
    """Write an outcome that is `created` or `unchanged`, with the duration of its job."""
    facts = [f"{outcome.package_name} in {outcome.registry}"]
    if outcome.objects is not None:
        facts += [formats.count(outcome.objects, "object"), formats.size(outcome.bytes or 0)]
    terminal.outcome(outcome.outcome, ", ".join([*facts, formats.duration(seconds)]))
    fields = {
        "source": source,
        "top hash": outcome.top_hash,
        "verified": describe_verified(outcome),
        "made from": ", ".join(outcome.input_packages or ()),
        "warning": outcome.remark,
    }
    terminal.fields([(name, value) for name, value in fields.items() if value])


def describe_verified(outcome: Outcome | Job) -> str | None:
    """Return the number of objects that match their checksum lists; None without lists."""
    if outcome.verified is None:
        return None
    return f"{formats.count(outcome.verified, 'object')} by {outcome.checksum_lists}"


def write_failure(
    terminal: Terminal, outcome: Outcome, error: PackagerError, *, source: str | None = None
) -> None:
    """Write an outcome that is `rejected` or `failed`, with its error."""
    terminal.outcome(outcome.outcome, error.code)
    known = [("source", source)] if source is not None else []
    terminal.fields(
        [*known, ("happened", error.happened), ("why", error.why), ("do", error.remedy)]
    )
