"""How the command writes the outcome of a job, for a reader and for a program."""

from quilt_packager_runtime.errors import PackagerError
from quilt_packager_runtime.formats.outcome import Outcome

from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.operations import formats

JSON_FIELDS = (
    "outcome",
    "package_name",
    "registry",
    "top_hash",
    "objects",
    "bytes",
    "code",
    "reason",
)
"""What `--json` writes: always all of them, null where a job did not get that far."""


def write_json(terminal: Terminal, outcome: Outcome) -> None:
    """Write an outcome as one JSON object.

    Args:
        terminal: Where to.
        outcome: How a job ended.
    """
    terminal.json({field: getattr(outcome, field) for field in JSON_FIELDS})


def write_success(terminal: Terminal, outcome: Outcome, *, seconds: float) -> None:
    """Tell of a package.

    Args:
        terminal: Where to.
        outcome: How a job ended: `created` or `unchanged`.
        seconds: How long it took.
    """
    facts = [
        f"{outcome.package_name} in {outcome.registry}",
        formats.count(outcome.objects or 0, "object"),
        formats.size(outcome.bytes or 0),
        formats.duration(seconds),
    ]
    terminal.outcome(outcome.outcome, ", ".join(facts))
    terminal.fields([("top hash", outcome.top_hash or "")])


def write_failure(terminal: Terminal, outcome: Outcome, error: PackagerError) -> None:
    """Tell why there is no package.

    Args:
        terminal: Where to.
        outcome: How a job ended: `rejected` or `failed`.
        error: What ended it.
    """
    terminal.outcome(outcome.outcome, error.code)
    terminal.fields([("happened", error.happened), ("why", error.why), ("do", error.remedy)])
