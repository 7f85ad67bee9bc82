"""The names of an engine's event sources, for the command and the page.

The rule that switches a source on and off has the name in its CloudFormation metadata.
"""

from typing import Literal

from aws_cdk import aws_events as events
from quilt_packager_runtime.settings.source_options import SourceKind

from quilt_packager.contract import SOURCE_METADATA, join_names

RuleKind = SourceKind | Literal["custom"]
"""The kind of a rule's events; `custom` where the rule alone knows what they mean."""


class SourceNames:
    """The registered names of an engine's sources.

    Args:
        engine_name: The engine's name in its stack, or None.
    """

    def __init__(self, engine_name: str | None) -> None:
        self._engine_name = engine_name
        self._taken: set[str] = set()

    def register(
        self, rule: events.CfnRule, name: str, kind: RuleKind, *, sender: str | None = None
    ) -> None:
        """Register the name of the source that a rule switches on and off.

        Args:
            rule: The rule.
            name: The name, unique in the engine; in the template also in the stack.
            kind: The kind of its events.
            sender: The `source` of the events that make jobs, where others than the rule's do.

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
    """Return the name of a source: its flag's, or for a second one of its kind its id.

    Args:
        construct_id: The id of the source.
        usual_id: The default id of the source's class.
        usual_name: The name of the source with the default id: the name of its flag.

    Example:
        >>> find_name("HealthOmicsRuns", "HealthOmicsRuns", "omics")
        'omics'
        >>> find_name("FailedRuns", "HealthOmicsRuns", "omics")
        'FailedRuns'
    """
    return usual_name if construct_id == usual_id else construct_id
