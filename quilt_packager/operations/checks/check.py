"""Checks a deployed engine. Every part that cannot be read is a finding, too."""

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from quilt_packager_runtime.aws.boto_errors import Kind

from quilt_packager.operations.aws_errors import explain_aws_error
from quilt_packager.operations.checks.buckets import check_bucket
from quilt_packager.operations.checks.finding import Finding, judge, unconfirmed
from quilt_packager.operations.checks.functions import check_function
from quilt_packager.operations.checks.inspection import Inspection
from quilt_packager.operations.checks.keys import check_key, find_keys
from quilt_packager.operations.checks.last_events import check_last_events
from quilt_packager.operations.checks.outcomes import check_outcome_bus
from quilt_packager.operations.checks.roles import check_role
from quilt_packager.operations.checks.rules import check_rule
from quilt_packager.operations.checks.scratch import check_scratch

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

MAX_CALLS = 8
"""Maximum number of concurrent checks."""

PARTS = ("configuration", "functions", "queues", "rules", "sources")
"""Parts of `Inspection` that several checks need."""


class Check(NamedTuple):
    """A check of one resource."""

    subject: str
    run: Callable[[], Iterable[Finding]]


def check(deployment: "Deployment") -> list[Finding]:
    """Check an engine. Only attempts in its scratch bucket write, and they are removed.

    Returns:
        The findings, the worst first.
    """
    engine = Inspection(deployment)
    unread = {part: run(Check(part, partial(_read, engine, part))) for part in PARTS}
    readable = {part for part, findings in unread.items() if not findings}
    with ThreadPoolExecutor(MAX_CALLS) as pool:
        found = list(pool.map(run, _plan(engine, readable)))
    return judge(
        (each for part in [*unread.values(), *found] for each in part), on_aws=engine.on_aws
    )


def run(check: Check) -> list[Finding]:
    """Run a check. An error that concerns only this check becomes a finding.

    Raises:
        Exception: The credentials are not valid, or the error is not one of AWS.
    """
    findings: list[Finding] = []
    try:
        # Findings that precede an error are kept.
        findings.extend(check.run())
    except Exception as error:
        found = explain_aws_error(error)
        if found is None or found.is_session:
            raise
        failed = unconfirmed(check.subject, f"Unknown: {found.happened} {found.why}", found.remedy)
        denied = found.kind is Kind.DENIED
        findings.append(msgspec.structs.replace(failed, denied=denied))
    return findings


def _read(engine: Inspection, part: str) -> Iterable[Finding]:
    getattr(engine, part)
    return ()


def _plan(engine: Inspection, readable: AbstractSet[str]) -> Iterator[Check]:
    """Yield the checks whose parts could be read."""
    for needs, subject_of, list_items, function in CHECKS:
        if readable >= needs:
            for each in list_items(engine):
                yield Check(subject_of(each), partial(function, engine, each))
    yield Check("scratch bucket", partial(check_scratch, engine))
    if "sources" in readable:
        yield Check("last events", partial(check_last_events, engine))


class _Kind(NamedTuple):
    """Checks of all resources of a kind: needed parts, subject, resources, and check of one."""

    needs: frozenset[str]
    subject_of: Callable[[Any], str]
    list_items: Callable[[Inspection], Iterable[Any]]
    check: Callable[[Inspection, Any], Iterable[Finding]]


CHECKS = (
    _Kind(
        frozenset({"configuration", "functions", "sources"}),
        str,
        lambda engine: engine.buckets,
        check_bucket,
    ),
    _Kind(
        frozenset({"configuration"}),
        str,
        lambda engine: filter(None, [engine.configuration.settings.event_bus]),
        check_outcome_bus,
    ),
    _Kind(
        frozenset({"queues", "rules"}),
        lambda each: str(each.rule.name),
        lambda engine: engine.rules,
        check_rule,
    ),
    _Kind(
        frozenset({"functions", "queues"}),
        lambda each: str(each.name),
        lambda engine: engine.functions,
        check_function,
    ),
    _Kind(
        frozenset({"configuration", "functions", "queues"}),
        lambda each: str(each.role),
        lambda engine: engine.functions,
        check_role,
    ),
    _Kind(
        frozenset({"configuration", "functions", "queues", "sources"}),
        lambda each: str(each.key),
        find_keys,
        check_key,
    ),
)
