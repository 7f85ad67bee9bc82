"""The names of an engine's event sources, for the command and the page.

The rule that switches a source on and off has the name in its CloudFormation metadata.
"""

from typing import Literal

from aws_cdk import aws_events as events
from quilt_packager_runtime.settings.source_options import SourceKind

from quilt_packager.contract import SOURCE_METADATA, join_names

RuleKind = SourceKind | Literal["custom"]
"""The kind of a rule's events; `custom` if its events are translated by the rule."""


class SourceNames:
    """The registered names of an engine's sources."""

    def __init__(self, engine_name: str | None) -> None:
        self._engine_name = engine_name
        self._taken: set[str] = set()

    def register(
        self, rule: events.CfnRule, name: str, kind: RuleKind, *, sender: str | None = None
    ) -> None:
        """Register the name of the source that a rule switches on and off.

        Raises:
            ValueError: Another source has the name.
        """
        if name in self._taken:
            raise ValueError(
                f"two event sources have the name {name!r}; give one of them another construct_id"
            )
        self._taken.add(name)
        full_name = join_names(self._engine_name, name)
        given = {"name": full_name, "kind": kind}
        rule.add_metadata(SOURCE_METADATA, given if sender is None else {**given, "sender": sender})


def find_name(construct_id: str, usual_id: str, usual_name: str) -> str:
    """Return the name of a source: the name of its flag, or the id of one with another id.

    Example:
        >>> find_name("HealthOmicsRuns", "HealthOmicsRuns", "omics")
        'omics'
        >>> find_name("FailedRuns", "HealthOmicsRuns", "omics")
        'FailedRuns'
    """
    return usual_name if construct_id == usual_id else construct_id
