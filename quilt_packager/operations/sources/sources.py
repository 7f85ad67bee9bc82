"""Event sources of a deployed engine: the EventBridge rules that its template names.

Whether a source is on now, EventBridge says; whether it was deployed on, the template. A rule has
one name for people, in its metadata: `"quilt:source": {"name": …, "kind": …}`. Uploads are
announced by other events than their rule's; the `sender` in its metadata is the `source` of these.
"""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from quilt_packager.operations.errors import UnknownSource
from quilt_packager.operations.sources.patterns import describe_pattern, is_about_objects

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

METADATA = "quilt:source"
RULE = "AWS::Events::Rule"
DEFAULT_BUS = "default"
STATES = {"ENABLED": True, "DISABLED": False}

APP_QUEUE = "PackagerQueue"
"""The queue's logical id in the stack that is made of context flags, and in no other."""

TITLES = {"health_omics": "HealthOmics runs", "workflow_run_crate": "Nextflow runs"}
FLAGS = {"omics": "quilt:omics", "wrroc": "quilt:wrroc", "edp": "quilt:edp"}
"""The flags that turn a source on and off, by its name."""

GONE = "Nothing: its rule was deleted. Deploy again to have it back."

MAX_CALLS = 8
"""How many rules are asked for at once."""


class Rule(NamedTuple):
    """Where a rule is.

    Attributes:
        name: Its name.
        bus: The name, or the ARN, of its event bus.
    """

    name: str
    bus: str


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """An event source.

    Attributes:
        name: What people call it, as `omics`.
        kind: The kind of its events, as a job's `trigger` has it; `custom` if only its rule knows.
        title: What it is, as a heading.
        matches: What makes a package, as a sentence.
        enabled: Whether it is on now.
        deployed: Whether it was deployed on; None if the template leaves that open.
        rule: The name of its rule.
        event_bus: The name of the bus that the rule is on.
        description: What the rule says of itself.
        pattern: The rule's event pattern.
        sender: The `source` of the events that make its jobs, where others than the rule's do and
            the template names it.
        keep: How to deploy so that the source stays as it is now; empty if it differs from nothing.
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
        """Whether it is not as it was deployed."""
        return self.deployed is not None and self.deployed != self.enabled


def list_sources(deployment: "Deployment") -> list[Source]:
    """Look at all event sources of an engine.

    Args:
        deployment: The engine.

    Returns:
        The sources, in the order of the template: the built-in ones first.
    """
    resources = _read_template(deployment).get("Resources", {})
    named = list(_find_rules(deployment, resources))
    with ThreadPoolExecutor(MAX_CALLS) as pool:
        return list(pool.map(lambda each: _look_at(deployment, *each), named))


def find_source(deployment: "Deployment", name: str) -> Source:
    """Look at one event source.

    Args:
        deployment: The engine.
        name: The source's name.

    Raises:
        UnknownSource: The engine has none of that name.
    """
    resources = _read_template(deployment).get("Resources", {})
    named = {each[2]["name"]: each for each in _find_rules(deployment, resources)}
    if name not in named:
        raise UnknownSource(
            f'{deployment.name} has no event source "{name}".',
            why=f"It has {', '.join(named)}." if named else "It has none that has a name.",
            remedy=f"{deployment.command('sources')} lists them, with what each matches."
            if named
            else "Deploy it with this version, which names its rules.",
        )
    return _look_at(deployment, *named[name])


def set_enabled(deployment: "Deployment", name: str, *, enabled: bool) -> Source:
    """Turn an event source on or off.

    Args:
        deployment: The engine.
        name: The source's name.
        enabled: Whether it is to be on.

    Returns:
        The source as EventBridge has it afterwards.

    Raises:
        UnknownSource: The engine has none of that name.
    """
    source = find_source(deployment, name)
    change = deployment.events.enable_rule if enabled else deployment.events.disable_rule
    change(Name=source.rule, EventBusName=source.event_bus)
    return find_source(deployment, name)


def _read_template(deployment: "Deployment") -> dict[str, Any]:
    answer = deployment.cloudformation.get_template(StackName=deployment.stack_name)
    body: object = answer["TemplateBody"]
    # boto3 has read JSON, which the CDK deploys, and leaves YAML alone.
    return _read_yaml(body) if isinstance(body, str) else dict(body)  # type: ignore[call-overload]


def _read_yaml(text: str) -> dict[str, Any]:
    import yaml

    class Loader(yaml.SafeLoader):
        """Reads those short forms of CloudFormation's functions that stand where we look."""

    def read_function(_: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any] | None:
        match name, node.value:
            case "Ref", str(logical_id):
                return {"Ref": logical_id}
            case "GetAtt", str(path):
                return {"Fn::GetAtt": path.split(".")}
        return None

    Loader.add_multi_constructor("!", read_function)
    read: dict[str, Any] = yaml.load(text, Loader)  # noqa: S506 - a safe loader's
    return read


def _find_rules(
    deployment: "Deployment", resources: Mapping[str, Any]
) -> Iterator[tuple[Rule, Mapping[str, Any], Mapping[str, str]]]:
    """The rules that have a name: where each is, its properties, its name and kind."""
    physical_ids = {each.logical_id: each.physical_id for each in deployment.resources}
    # A bus is not the engine's own.
    buses = {each.logical_id: each.physical_id for each in deployment.stack_resources}
    for logical_id, resource in resources.items():
        named = resource.get("Metadata", {}).get(METADATA)
        if resource["Type"] == RULE and named and logical_id in physical_ids:
            properties = resource.get("Properties", {})
            bus = _resolve(properties.get("EventBusName"), buses)
            yield read_rule(physical_ids[logical_id], bus or DEFAULT_BUS), properties, named


def read_rule(physical_id: str, bus: str) -> Rule:
    """Tell where a rule is.

    Args:
        physical_id: What CloudFormation calls it: `rule`, `bus|rule`, or its ARN.
        bus: The bus that it is on unless that says otherwise.

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
    """A property as it was deployed, as far as the template and the resources tell it."""
    match value:
        case str():
            return value
        case {"Ref": str(logical_id)} | {"Fn::GetAtt": [str(logical_id), *_]}:
            return physical_ids.get(logical_id)
        case _:
            return None


def _look_at(
    deployment: "Deployment", rule: Rule, properties: Mapping[str, Any], named: Mapping[str, str]
) -> Source:
    name, kind = named["name"], named["kind"]
    found = _describe(deployment, rule)
    pattern = json.loads(found.get("EventPattern") or "{}")
    enabled = found.get("State", "DISABLED") != "DISABLED"
    deployed = _deployed_state(properties)
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
        keep=_how_to_keep(deployment, name, kind, enabled=enabled) if differs else "",
    )


def _describe(deployment: "Deployment", rule: Rule) -> Mapping[str, Any]:
    """What EventBridge says of a rule; nothing if somebody deleted it."""
    client = deployment.events
    try:
        return client.describe_rule(Name=rule.name, EventBusName=rule.bus)
    except client.exceptions.ResourceNotFoundException:
        return {}


def _deployed_state(properties: Mapping[str, Any]) -> bool | None:
    state = properties.get("State", "ENABLED")
    return STATES.get(state) if isinstance(state, str) else None


def _title(name: str, kind: str, pattern: Mapping[str, Any]) -> str:
    engine, _, own_name = name.rpartition("/")
    if kind == "custom":
        title = f"Custom: {own_name}"
    else:
        ready = "Uploads" if is_about_objects(pattern) else "EDP"
        title = TITLES.get(kind, ready)
        # The second source of a kind goes by the id of its own.
        title += "" if own_name in {*FLAGS, "uploads"} else f": {own_name}"
    return f"{engine}: {title}" if engine else title


def _how_to_keep(deployment: "Deployment", name: str, kind: str, *, enabled: bool) -> str:
    state = json.dumps(enabled)
    is_app = any(each.logical_id == APP_QUEUE for each in deployment.resources)
    if is_app and kind == "custom":
        return f'"enabled": {state} of {name} in the file of quilt:custom'
    if is_app and name == "uploads":
        return f'"enabled": {state} in quilt:uploads'
    if is_app and name in FLAGS:
        return f"-c {FLAGS[name]}={state}"
    return f"enabled={enabled} of the event source, in the code of the stack"
