"""RO-Crates, read with patience: what a `ro-crate-metadata.json` says of a run, as facets.

Engines write what they can: crates of nf-prov, cwltool, Galaxy, Snakemake and ro-crate-py differ in
nearly everything. What is not where the profiles want it is looked for once more, or left out.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from quilt_packager_runtime.formats.catalog_fields import (
    MAX_CHARACTERS,
    Facet,
    iso_time,
    make_facets,
)

CRATE_FIELDS = (
    "name",
    "description",
    "license",
    "date_published",
    "author",
    "author_orcid",
    "organization",
    "workflow_name",
    "workflow_version",
    "workflow_repository",
    "workflow_engine",
    "run_id",
    "run_status",
    "start_time",
    "end_time",
    "tools",
    "input_uris",
    "conforms_to",
)
"""What may be found in a crate."""

MAX_CRATE_BYTES = 16 * 1024 * 1024
"""How large a crate may be. Memory: some fifteen times its size, while it is read."""

PLACEHOLDER_NAMES = frozenset({"john doe", "jane doe", "university of xyz"})
"""What configurations are copied with from the documentation of nf-prov."""

Entity: TypeAlias = Mapping[str, Any]

_ORCID = re.compile(r"\b(\d{4}-\d{4}-\d{4}-\d{3}[\dX])\b")
_NO_ORCID = "0000-0000-0000-0000"
_NO_ROR = re.compile(r"ror\.org/0+$")
_NAMESPACE = re.compile(r"^(?:schema:|https?://schema\.org/)")
_SPDX = re.compile(r"^https?://spdx\.org/licenses/(.+?)(?:\.html|\.json)?/?$")
_REMOTE = frozenset({"az", "drs", "ftp", "ftps", "gs", "http", "https", "s3", "sftp"})


def read_crate(document: bytes) -> dict[str, Facet]:
    """Extract the facets of a crate. What it lacks is left out; so are placeholders.

    Args:
        document: A `ro-crate-metadata.json`.

    Returns:
        Some of `CRATE_FIELDS`, equal for equal bytes.

    Raises:
        ValueError: It is too large or too deep, is not JSON, or has no `@graph`.

    Example:
        >>> read_crate(b'{"@graph": [{"@id": "./", "name": "Run 42", "author": null}]}')
        {'name': 'Run 42'}
    """
    graph = _Graph(_read_graph(document))
    root, workflow, run = graph.root, graph.workflow, graph.run
    people = graph.people(root, "author", "creator") or graph.people(run, "agent")
    persons = [each for each in people if "Organization" not in _types(each)]
    organizations = [
        *(each for each in people if "Organization" in _types(each)),
        *(place for each in persons for place in graph.linked(each, "affiliation")),
        *graph.linked(root, "publisher"),
    ]
    organizations = [each for each in organizations if not _is_placeholder(each)]
    times = {
        "date_published": _first(root, "datePublished"),
        "start_time": _first(run, "startTime"),
        "end_time": _first(run, "endTime"),
    }
    found: dict[str, str | Iterator[str] | None] = {
        "name": _first(root, "name"),
        "description": _first(root, "description"),
        "license": _license(root),
        "author": (_label(each) for each in persons),
        "author_orcid": (_orcid(each) for each in persons),
        "organization": (_label(each) for each in organizations),
        "workflow_name": _label(workflow),
        "workflow_version": _first(workflow, "version", "softwareVersion"),
        "workflow_repository": (_repository(workflow, "@id") or _repository(root)),
        "workflow_engine": graph.engine(),
        "run_id": _run_id(run),
        "run_status": _status(run),
        "tools": (_label(each) for each in graph.tools()),
        "input_uris": (uri for each in graph.linked(run, "object") for uri in _uris(each)),
        "conforms_to": (
            _id(each)
            for entity in (root, graph.descriptor)
            for each in graph.linked(entity, "conformsTo")
            if "://" in _id(each)
        ),
        **{name: iso_time(time) for name, time in times.items()},
    }
    return make_facets({name: found[name] for name in CRATE_FIELDS})


def _read_graph(document: bytes) -> list[Any]:
    if len(document) > MAX_CRATE_BYTES:
        raise ValueError(f"it has more than {MAX_CRATE_BYTES:,} bytes")
    try:
        # Numbers stay text: nothing is calculated, and version 1.10 is not 1.1.
        crate = json.loads(
            document, parse_float=str, parse_int=str, parse_constant=lambda _name: None
        )
    except RecursionError:
        raise ValueError("it nests too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not JSON (its bytes are not {error.encoding})") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error})") from error
    graph = crate.get("@graph") if isinstance(crate, dict) else crate
    if isinstance(graph, dict):
        return [graph]
    if not isinstance(graph, list):
        raise ValueError("it has no @graph")  # noqa: TRY004 the value is at fault, not us
    return graph


class _Graph:
    """A crate's entities by their ids. Links are followed one at a time, so cycles end."""

    def __init__(self, graph: list[Any]) -> None:
        self._entities: dict[str, dict[str, Any]] = {}
        for node in graph:
            if isinstance(node, dict) and isinstance(node.get("@id"), str):
                known = self._entities.setdefault(node["@id"], {})
                for name, value in node.items():
                    # Of an entity that is repeated, the first value of each property counts.
                    known.setdefault(_NAMESPACE.sub("", name), value)
        self.descriptor = next(
            (
                entity
                for name, entity in self._entities.items()
                if name.endswith(("ro-crate-metadata.json", "ro-crate-metadata.jsonld"))
            ),
            {},
        )
        self.root = self._find_root()
        self.run, self.workflow = self._find_run()

    def linked(self, entity: Entity, *names: str) -> list[Entity]:
        """The entities that properties lead to; a text that leads nowhere is the id of nothing."""
        return [self._follow(value) for name in names for value in _values(entity, name)]

    def people(self, entity: Entity, *names: str) -> list[Entity]:
        """Those of the linked entities who are somebody."""
        return [each for each in self.linked(entity, *names) if not _is_placeholder(each)]

    def engine(self) -> str | None:
        """What executed the workflow: in words of the engine, or of the language it executes."""
        run_id = _id(self.run)
        for action in self._of_type("OrganizeAction"):
            results = {_id(each) for each in self.linked(action, "result")}
            if not run_id or run_id in results:
                for instrument in self.linked(action, "instrument"):
                    return _versioned(instrument)
        for language in self.linked(self.workflow, "programmingLanguage"):
            return _versioned(language)
        return None

    def tools(self) -> Iterator[Entity]:
        """What the steps of the workflow ran."""
        steps = [*self.linked(self.workflow, "hasPart")]
        for action in self._of_type("CreateAction"):
            steps += self.linked(action, "instrument")
        for step in steps:
            if not _types(step).isdisjoint({"SoftwareApplication", "SoftwareSourceCode"}):
                workflows = {"ComputationalWorkflow", "Workflow"}
                if step is not self.workflow and _types(step).isdisjoint(workflows):
                    yield step

    def _find_root(self) -> Entity:
        for root in self.linked(self.descriptor, "about"):
            if _id(root) in self._entities:
                return root
        for name in ("./", ".", ""):
            if name in self._entities:
                return self._entities[name]
        return next(self._of_type("Dataset"), {})

    def _find_run(self) -> tuple[Entity, Entity]:
        """The action that is the run, and the workflow that it ran."""
        workflow: Entity = next(iter(self.linked(self.root, "mainEntity")), {})
        workflow = workflow or next(self._of_type("ComputationalWorkflow"), {})
        actions = [*self.linked(self.root, "mentions"), *self._of_type("CreateAction")]
        actions = [each for each in actions if "CreateAction" in _types(each)]
        for action in actions:
            if workflow and any(each is workflow for each in self.linked(action, "instrument")):
                return action, workflow
        alone = len({id(each) for each in actions}) == 1
        # Of several processes without a workflow, none is the run.
        return (actions[0] if alone else {}), workflow

    def _of_type(self, name: str) -> Iterator[Entity]:
        return (entity for entity in self._entities.values() if name in _types(entity))

    def _follow(self, value: object) -> Entity:
        if isinstance(value, dict):
            name = value.get("@id")
            return self._entities.get(name, value) if isinstance(name, str) else value
        return self._entities.get(str(value), {"@id": value})


def _values(entity: Entity, name: str) -> list[Any]:
    """The values of a property: one, several, or a JSON-LD list; null is none."""
    value = entity.get(name)
    if isinstance(value, dict):
        value = value.get("@list", value.get("@set", value))
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str | dict) and each]


def _texts(entity: Entity, *names: str) -> Iterator[str]:
    for name in names:
        for value in _values(entity, name):
            text = value.get("@value", value.get("@id")) if isinstance(value, dict) else value
            if isinstance(text, str) and text.strip():
                yield text.strip()


def _first(entity: Entity, *names: str) -> str:
    return next(_texts(entity, *names), "")


def _id(entity: Entity) -> str:
    return _first(entity, "@id")


def _types(entity: Entity) -> set[str]:
    return {_NAMESPACE.sub("", name) for name in _texts(entity, "@type")}


def _label(entity: Entity) -> str:
    return _first(entity, "name", "@id")


def _versioned(entity: Entity) -> str:
    label, version = _label(entity), _first(entity, "softwareVersion", "version")
    return label if version in label else f"{label} {version}"


def _orcid(person: Entity) -> str:
    texts = " ".join(_texts(person, "@id", "identifier", "name", "url"))
    found = _ORCID.search(texts)
    return found[1] if found else ""


def _is_placeholder(entity: Entity) -> bool:
    return (
        _label(entity).lower() in PLACEHOLDER_NAMES
        or _orcid(entity) == _NO_ORCID
        or _NO_ROR.search(_id(entity)) is not None
    )


def _license(root: Entity) -> str:
    text = _first(root, "license")
    spdx = _SPDX.match(text)
    return spdx[1] if spdx else text


def _repository(entity: Entity, *more: str) -> str | None:
    texts = _texts(entity, "codeRepository", "url", "isBasedOn", *more)
    return next((uri for text in texts if (uri := _remote_uri(text))), None)


def _run_id(run: Entity) -> str:
    """The engine's own id of the run, without what makes an id of the crate of it."""
    text = _first(run, "identifier") or _id(run)
    return re.split(r"[#/]|urn:uuid:", text.rstrip("/"))[-1]


def _status(run: Entity) -> str:
    """As HealthOmics writes it: `COMPLETED`, `FAILED`."""
    status = re.split(r"[/:#]", _first(run, "actionStatus"))[-1]
    return status.removesuffix("ActionStatus").upper()


def _uris(entity: Entity) -> Iterator[str]:
    texts = _texts(entity, "@id", "contentUrl", "url", "value")
    return (uri for text in texts if (uri := _remote_uri(text)))


def _remote_uri(text: str) -> str | None:
    """A URI that others can follow, without the secrets that URIs are made to carry."""
    try:
        scheme, host, path, query, fragment = urlsplit(text)
    except ValueError:
        return None
    if scheme not in _REMOTE or not host or len(text) > MAX_CHARACTERS:
        return None
    if re.search(r"signature|token|sig=|credential|key=|password", query, re.IGNORECASE):
        query = ""
    return urlunsplit((scheme, host.rpartition("@")[2], path, query, fragment))
