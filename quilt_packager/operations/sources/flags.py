"""The context flags in force: those of the last deployment, with the current states of sources."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from quilt_packager import contract
from quilt_packager.operations.deployment.templates import read_template
from quilt_packager.operations.sources.sources import Source, is_made_of_flags

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment


class FlagsInForce(msgspec.Struct, frozen=True):
    """The flags that make the current state of an engine permanent.

    Attributes:
        values: Flags that are not the defaults, by name.
        changed: Names of the flags that differ from the last deployment.
    """

    values: dict[str, Any]
    changed: tuple[str, ...] = ()

    def line(self, name: str) -> str:
        """Return the line of a flag in the context of `cdk.json`, without a comma."""
        return f"{json.dumps(name)}: {json.dumps(self.values[name])}"

    @property
    def lines(self) -> str:
        """The lines of all flags, for the context of `cdk.json`."""
        return ",\n".join(map(self.line, self.values))


def read_deployed_flags(deployment: "Deployment") -> dict[str, Any] | None:
    """Read the flags of the last deployment that are not the defaults.

    Returns:
        The flags by name; None if the engine is not made of flags.
    """
    if not is_made_of_flags(deployment):
        return None
    metadata = read_template(deployment).get("Metadata", {})
    return dict(metadata.get(contract.FLAGS_METADATA) or {})


def find_flags_in_force(deployed: Mapping[str, Any], sources: Sequence[Source]) -> FlagsInForce:
    """Apply the current states of sources to the flags of the last deployment.

    States that only a file contains are left out: those of custom rules, and of uploads whose flag
    is the path of a file.

    Args:
        deployed: Flags of the last deployment.
        sources: Sources of the engine.
    """
    values, changed = dict(deployed), []
    for source in sources:
        name = contract.FLAG_PREFIX + source.name
        if source.differs and (value := _value_in_force(source, deployed.get(name))) is not None:
            values[name] = value
            changed.append(name)
    return FlagsInForce(values, tuple(changed))


def _value_in_force(source: Source, deployed: object) -> bool | str | None:
    match source.name:
        case contract.OMICS | contract.CRATES:
            return source.enabled
        case contract.EDP:
            return source.event_bus if source.enabled else ""
        case contract.UPLOADS:
            return _with_state(str(deployed), enabled=source.enabled)
    return None


def _with_state(uploads: str, *, enabled: bool) -> str | None:
    """Return the flag of uploads with a state; None if it is the path of a file.

    Example:
        >>> _with_state("true", enabled=False), _with_state("uploads.json", enabled=False)
        ('{"enabled": false}', None)
    """
    if uploads != "true" and not uploads.startswith("{"):
        return None
    props = json.loads(uploads) if uploads != "true" else {}
    return json.dumps({**props, "enabled": enabled})
