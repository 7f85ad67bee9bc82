"""Event sources of a deployed engine: the EventBridge rules with metadata in its template.

EventBridge has the current state of a rule, the template its deployed state. The metadata
`"quilt:source": {"name": …, "kind": …}` names the source. Uploads start jobs with other events
than those of their rule; the `sender` in the metadata is the `source` of these events.
"""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from quilt_packager import contract
from quilt_packager.operations.deployment.templates import read_template
from quilt_packager.operations.errors import UnknownSource
from quilt_packager.operations.sources.patterns import describe_pattern, is_about_objects

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

RULE = "AWS::Events::Rule"
DEFAULT_BUS = "default"
STATES = {"ENABLED": True, "DISABLED": False}

TITLES = {"health_omics": "HealthOmics runs", "workflow_run_crate": "Nextflow runs"}
SWITCHES = (contract.OMICS, contract.CRATES, contract.EDP)
"""Sources that a context flag of the same name turns on and off."""

CONTEXT = "the context of cdk.json"

GONE = "Nothing: its rule was deleted. Deploy the stack to restore it."

MAX_CALLS = 8
"""Maximum number of concurrent requests."""


class Rule(NamedTuple):
    """Reference to a rule.

    Attributes:
        name: Name of the rule.
        bus: Name or ARN of its event bus.
    """

    name: str
    bus: str


class DeployedRule(NamedTuple):
    """A rule in the template of a deployed engine.

    Attributes:
        rule: The rule.
        properties: Its properties in the template.
        named: Metadata of the source that it switches; empty if it switches none.
    """

    rule: Rule
    properties: Mapping[str, Any]
    named: Mapping[str, str]

    @property
    def deployed(self) -> bool | None:
        """The deployed state; None if the template does not show it."""
        state = self.properties.get("State", "ENABLED")
        return STATES.get(state) if isinstance(state, str) else None


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """An event source.

    Attributes:
        name: Name, such as `omics`.
        kind: Kind of its events, as in the `trigger` of a job; `custom` for a custom rule.
        title: Headline.
        matches: Events that start a job, as a sentence.
        enabled: Current state.
        deployed: Deployed state; None if the template does not show it.
        rule: Name of the rule.
        event_bus: Name of the event bus of the rule.
        description: Description of the rule.
        pattern: Event pattern of the rule.
        sender: `source` of the events that start its jobs, if these are not the rule's events.
        keep: Change of the code or the flags that makes the current state permanent; empty if it
            is the deployed state.
    """

    name: str
    kind: str
    title: str
    matches: str
    enabled: bool
    deployed: bool | None
    rule: str
    event_bus: str
    description: str
    pattern: dict[str, Any]
    sender: str | None = None
    keep: str = ""

    @property
    def differs(self) -> bool:
        """True if the current state is not the deployed one."""
        return self.deployed is not None and self.deployed != self.enabled


def list_sources(deployment: "Deployment") -> list[Source]:
    """List the event sources of an engine, in the order of the template: built-in ones first."""
    resources = read_template(deployment).get("Resources", {})
    named = [each for each in _find_rules(deployment, resources) if each.named]
    with ThreadPoolExecutor(MAX_CALLS) as pool:
        return list(pool.map(lambda each: _read_source(deployment, each), named))


def list_rules(deployment: "Deployment") -> list[DeployedRule]:
    """List all rules of an engine, including those that switch no source."""
    return list(_find_rules(deployment, read_template(deployment).get("Resources", {})))


def find_source(deployment: "Deployment", name: str) -> Source:
    """Find an event source by its name.

    Raises:
        UnknownSource: The engine has no source of that name.
    """
    resources = read_template(deployment).get("Resources", {})
    rules = _find_rules(deployment, resources)
    named = {each.named["name"]: each for each in rules if each.named}
    if name not in named:
        raise UnknownSource(
            f'{deployment.name} has no event source "{name}".',
            why=f"It has {', '.join(named)}." if named else "Its rules have no metadata.",
            remedy=f"{deployment.command('sources')} lists them."
            if named
            else "Deploy the stack with this version, which adds the metadata.",
        )
    return _read_source(deployment, named[name])


def set_enabled(deployment: "Deployment", name: str, *, enabled: bool) -> Source:
    """Turn an event source on or off, and read its new state.

    Raises:
        UnknownSource: The engine has no source of that name.
    """
    source = find_source(deployment, name)
    change = deployment.events.enable_rule if enabled else deployment.events.disable_rule
    change(Name=source.rule, EventBusName=source.event_bus)
    return find_source(deployment, name)


def _find_rules(deployment: "Deployment", resources: Mapping[str, Any]) -> Iterator[DeployedRule]:
    physical_ids = {each.logical_id: each.physical_id for each in deployment.resources}
    # The event bus may belong to another construct.
    buses = {each.logical_id: each.physical_id for each in deployment.stack_resources}
    for logical_id, resource in resources.items():
        if resource["Type"] == RULE and logical_id in physical_ids:
            properties = resource.get("Properties", {})
            named = resource.get("Metadata", {}).get(contract.SOURCE_METADATA) or {}
            bus = _resolve(properties.get("EventBusName"), buses)
            rule = read_rule(physical_ids[logical_id], bus or DEFAULT_BUS)
            yield DeployedRule(rule, properties, named)


def is_made_of_flags(deployment: "Deployment") -> bool:
    """Return True for the stack of context flags, False for an engine in the code of a stack."""
    return any(each.logical_id == contract.APP_QUEUE for each in deployment.resources)


def read_rule(physical_id: str, bus: str) -> Rule:
    """Parse the physical id of a rule.

    Args:
        physical_id: `rule`, `bus|rule`, or an ARN.
        bus: Event bus of the rule, unless the id names it.

    Example:
        >>> read_rule("lab-Runs-1A2B", "default")
        Rule(name='lab-Runs-1A2B', bus='default')
        >>> read_rule("edp|lab-Ready-1A2B", "default")
        Rule(name='lab-Ready-1A2B', bus='edp')
        >>> read_rule("arn:aws:events:us-east-1:123456789012:rule/edp/lab-Ready-1A2B", "default")
        Rule(name='lab-Ready-1A2B', bus='edp')
    """
    if physical_id.startswith("arn:"):
        physical_id = physical_id.partition(":rule/")[2].replace("/", "|")
        before, _, name = physical_id.rpartition("|")
        return Rule(name, before.replace("|", "/") or DEFAULT_BUS)
    before, _, name = physical_id.rpartition("|")
    return Rule(name, before or bus)


def _resolve(value: object, physical_ids: Mapping[str, str]) -> str | None:
    """Resolve the value of a property; None if it is not a string or a reference."""
    match value:
        case str():
            return value
        case {"Ref": str(logical_id)} | {"Fn::GetAtt": [str(logical_id), *_]}:
            return physical_ids.get(logical_id)
        case _:
            return None


def _read_source(deployment: "Deployment", found_rule: DeployedRule) -> Source:
    rule, _, named = found_rule
    name, kind = named["name"], named["kind"]
    found = describe_rule(deployment, rule)
    pattern = json.loads(found.get("EventPattern") or "{}")
    enabled = found.get("State", "DISABLED") != "DISABLED"
    deployed = found_rule.deployed
    differs = deployed is not None and deployed != enabled
    bus = rule.bus.rpartition(":event-bus/")[2]
    return Source(
        name=name,
        kind=kind,
        title=_title(name, kind, pattern),
        matches=describe_pattern(kind, pattern, bus=bus) if found else GONE,
        enabled=enabled,
        deployed=deployed,
        rule=rule.name,
        event_bus=bus,
        description=found.get("Description", ""),
        pattern=pattern,
        sender=named.get("sender"),
        keep=_permanent_change(deployment, name, kind, bus, enabled=enabled) if differs else "",
    )


def describe_rule(deployment: "Deployment", rule: Rule) -> Mapping[str, Any]:
    """Describe a rule; return nothing if it was deleted."""
    client = deployment.events
    try:
        return client.describe_rule(Name=rule.name, EventBusName=rule.bus)
    except client.exceptions.ResourceNotFoundException:
        return {}


def _title(name: str, kind: str, pattern: Mapping[str, Any]) -> str:
    engine, _, own_name = name.rpartition("/")
    if kind == "custom":
        title = f"Custom: {own_name}"
    else:
        ready = "Uploads" if is_about_objects(pattern) else "EDP"
        title = TITLES.get(kind, ready)
        # A second source of a kind has an id of its own.
        title += "" if own_name in (*SWITCHES, contract.UPLOADS) else f": {own_name}"
    return f"{engine}: {title}" if engine else title


def _permanent_change(
    deployment: "Deployment", name: str, kind: str, bus: str, *, enabled: bool
) -> str:
    state = json.dumps(enabled)
    is_app = is_made_of_flags(deployment)
    if is_app and kind == "custom":
        return f'"enabled": {state} of {name} in the file of {contract.FLAG_PREFIX}custom'
    if is_app and name == contract.UPLOADS:
        return f'"enabled": {state} in {contract.FLAG_PREFIX}{name}'
    if is_app and name == contract.EDP:
        return f'"{contract.FLAG_PREFIX}{name}": {json.dumps(bus if enabled else "")} in {CONTEXT}'
    if is_app and name in SWITCHES:
        return f'"{contract.FLAG_PREFIX}{name}": {state} in {CONTEXT}'
    return f"enabled={enabled} of the event source, in the code of the stack"
