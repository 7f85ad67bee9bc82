"""RO-Crates: catalog fields from a `ro-crate-metadata.json`.

Crates of nf-prov, cwltool, Galaxy, Snakemake and ro-crate-py differ in nearly everything. A value
that is not where the profiles expect it is searched in other places, or left out.
"""

import json
import re
from collections.abc import Iterator
from functools import cached_property
from itertools import chain, islice
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from quilt_packager_runtime.formats.catalog_fields import (
    MAX_CHARACTERS,
    Facet,
    iso_time,
    make_facets,
)
from quilt_packager_runtime.formats.json_documents import read_float, read_integer
from quilt_packager_runtime.formats.json_errors import describe_syntax_error
from quilt_packager_runtime.formats.prose import first_sentence

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
"""Fields that a crate may provide."""

MAX_CRATE_BYTES = 16 * 1024 * 1024
"""Maximum size of a crate. Reading takes at most ten times as much memory."""

MAX_MARKS = 800_000
"""Maximum number of commas, colons and opening brackets, those in texts included.

A value follows each, which takes up to 120 bytes of memory. Crates that list many files may
have one in 14 bytes: then the limit applies above 11 MiB."""

MAX_VALUES = 10_000
"""Maximum number of values that are read of one property."""

PLACEHOLDER_ORGANIZATION = "university of xyz"
"""Name in nf-prov's documentation that configurations are copied with.

Its persons have a placeholder for an ORCID: John Doe alone may be a name."""

_ORCID = re.compile(r"\b(\d{4}-\d{4}-\d{4}-\d{3}[\dX])\b")
_NO_ORCID = "0000-0000-0000-0000"
_NO_ROR = re.compile(r"ror\.org/0+$")
_NAMESPACE = re.compile(r"^(?:(?:bio)?schemas?:|https?://(?:bioschemas|schema)\.org/)")
_SPDX = re.compile(r"^https?://spdx\.org/licenses/(.+?)(?:\.html|\.json)?/?$")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_GLOBAL_ID = re.compile(r"(?!file:|arcp:)[a-z][a-z0-9+.-]*:[^#]+", re.IGNORECASE)
_WORKFLOW_TYPES = frozenset({"ComputationalWorkflow", "Workflow"})
_SEARCHED_TYPES = _WORKFLOW_TYPES | {"CreateAction", "Dataset", "OrganizeAction"}
_REMOTE = frozenset({"az", "drs", "ftp", "ftps", "gs", "http", "https", "s3", "sftp"})


class Number(str):
    """A number as it is written: nothing is calculated, and version 1.10 is not 1.1."""

    __slots__ = ()


class Entity(dict[str, Any]):
    """An entity of a crate, by its properties.

    What many references ask of it is computed once, so that reading is linear in a crate's size.
    """

    @cached_property
    def types(self) -> frozenset[str]:
        """Its types, without the namespace of schema.org."""
        return frozenset(_types(self))

    @cached_property
    def is_workflow(self) -> bool:
        """The entity is a workflow."""
        return not self.types.isdisjoint(_WORKFLOW_TYPES)

    @cached_property
    def label(self) -> str:
        """Its name or id."""
        return first(self, "name", "@id")

    @cached_property
    def orcid(self) -> str:
        """The ORCID of a person; empty without one."""
        found = _ORCID.search(" ".join(texts(self, "@id", "identifier", "name", "url")))
        return found[1] if found else ""

    @cached_property
    def is_placeholder(self) -> bool:
        """The entity is one of an example, such as John Doe."""
        return (
            self.label.lower() == PLACEHOLDER_ORGANIZATION
            or self.orcid == _NO_ORCID
            or _NO_ROR.search(id_of(self)) is not None
        )


def catalog_fields(graph: "Graph") -> dict[str, Facet]:
    """Extract the catalog fields of a crate, without placeholders.

    Returns:
        Some of `CRATE_FIELDS`, equal for equal bytes.

    Example:
        >>> graph = Graph(b'{"@graph": [{"@id": "./", "name": "Run 42", "author": null}]}')
        >>> catalog_fields(graph)
        {'name': 'Run 42'}
    """
    root, workflow, run = graph.root, graph.workflow, graph.run
    people = graph.people(root, "author", "creator") or graph.people(run, "agent")
    persons = [each for each in people if "Organization" not in each.types]
    organizations = [
        *(each for each in people if "Organization" in each.types),
        *(place for each in persons for place in graph.linked(each, "affiliation")),
        *graph.linked(root, "publisher"),
    ]
    organizations = [each for each in organizations if not each.is_placeholder]
    times = {
        "date_published": first(root, "datePublished"),
        "start_time": first(run, "startTime"),
        "end_time": first(run, "endTime"),
    }
    found: dict[str, str | Iterator[str] | None] = {
        "name": first(root, "name"),
        "description": first_sentence(first(root, "description")),
        "license": _license(root),
        "author": (each.label for each in persons),
        "author_orcid": (each.orcid for each in persons),
        "organization": (each.label for each in organizations),
        "workflow_name": workflow.label,
        "workflow_version": first(workflow, "version", "softwareVersion"),
        "workflow_repository": graph.repository(),
        "workflow_engine": graph.engine(),
        "run_id": graph.run_id(),
        "run_status": _status(run),
        "tools": (each.label for each in graph.tools()),
        "input_uris": (uri for each in graph.linked(run, "object") for uri in _uris(each)),
        "conforms_to": (
            id_of(each)
            for entity in (root, graph.descriptor)
            for each in graph.linked(entity, "conformsTo")
            if "://" in id_of(each)
        ),
        **{name: iso_time(time) for name, time in times.items()},
    }
    return make_facets({name: found[name] for name in CRATE_FIELDS})


def list_part_ids(document: bytes) -> list[str]:
    """List the ids of a crate's data entities: the parts of its root, and parts of these.

    Raises:
        ValueError: It is too large or too deep, is not JSON, or has no `@graph`.

    Example:
        >>> list_part_ids(b'{"@graph": [{"@id": "./", "hasPart": [{"@id": "a.bam"}, "b/"]}]}')
        ['a.bam', 'b/']
    """
    return Graph(document).part_ids()


def file_digests(document: bytes) -> Iterator[tuple[str, str]]:
    """Yield the id and the `sha256` of each entity of a crate that has one.

    Raises:
        ValueError: As `read_crate`.
    """
    for node in _read_graph(document):
        if isinstance(node, dict):
            file_id, digest = node.get("@id"), node.get("sha256")
            if isinstance(file_id, str) and isinstance(digest, str):
                yield file_id, digest


def _read_graph(document: bytes) -> list[Any]:
    if len(document) > MAX_CRATE_BYTES:
        raise ValueError(f"it has more than {MAX_CRATE_BYTES:,} bytes")
    if sum(map(document.count, (b",", b":", b"[", b"{"))) > MAX_MARKS:
        raise ValueError(f"it has more than {MAX_MARKS:,} commas, colons and brackets")
    try:
        # A constant, such as NaN, is the only float.
        crate = json.loads(document, parse_float=Number, parse_int=Number, parse_constant=float)
    except RecursionError:
        raise ValueError("it nests too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not JSON (its bytes are not {error.encoding})") from error
    except json.JSONDecodeError as error:
        raise ValueError(describe_syntax_error(error)) from error
    graph = crate.get("@graph") if isinstance(crate, dict) else crate
    if isinstance(graph, dict):
        return [graph]
    if not isinstance(graph, list):
        raise ValueError("it has no @graph")  # noqa: TRY004 - the file is wrong, not the call
    return graph


class Graph:
    """A crate's entities by their ids. Links are followed one at a time, so cycles end.

    Args:
        document: A `ro-crate-metadata.json`.

    Attributes:
        conflicting: Ids of entities that are repeated with other properties.

    Raises:
        ValueError: It is too large or too deep, is not JSON, or has no `@graph`.
    """

    def __init__(self, document: bytes) -> None:
        graph = _read_graph(document)
        self.conflicting: set[str] = set()
        self._entities: dict[str, Entity] = {}
        graph.reverse()
        while graph:
            node = graph.pop()  # and free it: its entity has a copy
            if isinstance(node, dict) and isinstance(node.get("@id"), str):
                known = self._entities.setdefault(node["@id"], Entity())
                found = Entity()
                for name, value in node.items():
                    found.setdefault(_NAMESPACE.sub("", name), value)
                if known and known != found:
                    self.conflicting.add(node["@id"])
                # Of an entity that is repeated, the first value of each property counts.
                for name, value in found.items():
                    known.setdefault(name, value)
        # The types of all others are not kept.
        self._searched = [
            each for each in self._entities.values() if not _SEARCHED_TYPES.isdisjoint(_types(each))
        ]
        self.descriptor = next(
            (
                entity
                for name, entity in self._entities.items()
                if name.endswith(("ro-crate-metadata.json", "ro-crate-metadata.jsonld"))
            ),
            Entity(),
        )
        self.root = self._find_root()
        self._main_workflow = next(
            (each for each in self.linked(self.root, "mainEntity") if each.is_workflow), None
        )
        self.run, self.workflow = self._find_run()

    def linked(self, entity: Entity, *names: str) -> list[Entity]:
        """Return the entities that properties refer to; unknown ids become empty entities."""
        found = (self._follow(value) for name in names for value in _values(entity, name))
        # Each once, however often it is referred to.
        return list({id(each): each for each in found}.values())

    def entities(self) -> Iterator[Entity]:
        """Yield the entities of the crate, except those inside of others."""
        yield from self._entities.values()

    def parts(self, entity: Entity) -> Iterator[Entity]:
        """Yield the parts of an entity, however many. `a` finds the folder `a/`."""
        for value in _all_values(entity, "hasPart"):
            part = self._follow(value)
            yield self._entities.get(f"{id_of(part)}/", part) if part.keys() == {"@id"} else part

    def people(self, entity: Entity, *names: str) -> list[Entity]:
        """Return the linked entities that are not placeholders."""
        return [each for each in self.linked(entity, *names) if not each.is_placeholder]

    def engine(self) -> str | None:
        """Return the workflow engine with its version, or the workflow's language."""
        run_id = id_of(self.run)
        for action in self._of_type("OrganizeAction"):
            results = {id_of(each) for each in self.linked(action, "result")}
            if not run_id or run_id in results:
                for instrument in self.linked(action, "instrument"):
                    return _versioned(instrument)
        # Sapporo writes executedBy.
        for engine in self.linked(self.run, "executedBy") or self._languages(self.workflow):
            return _versioned(engine)
        return None

    def tools(self) -> Iterator[Entity]:
        """Yield the tools that the steps of the workflow ran, without the engine."""
        engines = {
            each.label
            for action in self._of_type("OrganizeAction")
            for each in self.linked(action, "instrument")
        }
        engines.update(each.label for each in self._languages(self.workflow))
        # Source files among the parts of a workflow are its modules and its configuration.
        parts = (
            each
            for each in self.linked(self.workflow, "hasPart", "instrument")
            if "File" not in each.types or "SoftwareApplication" in each.types
        )
        used = (self.linked(action, "instrument") for action in self._of_type("CreateAction"))
        for step in chain(parts, chain.from_iterable(used)):
            is_tool = not step.types.isdisjoint({"SoftwareApplication", "SoftwareSourceCode"})
            if is_tool and not step.is_workflow and step.label not in engines:
                yield step

    def repository(self) -> str | None:
        """Return the repository of the workflow."""
        found = _repository(self.workflow, "@id")
        if found is None and self._main_workflow is not None:
            # Otherwise the root is based on other data.
            found = _repository(self.root)
        return found

    def run_id(self) -> str:
        """Return the engine's id of the run; empty if its id means something in the crate only."""
        identifiers = (first(each, "value", "@id") for each in self.linked(self.run, "identifier"))
        found = [text for text in identifiers if text and not text.startswith(("#", "_:"))]
        crate_id = id_of(self.run)
        if _GLOBAL_ID.fullmatch(crate_id) or _UUID.search(crate_id):
            found.append(crate_id)
        for text in found:
            parts = re.split(r"[#/]|urn:uuid:", text.rstrip("/"))
            return next(filter(_UUID.search, parts), parts[-1])
        return ""

    def part_ids(self) -> list[str]:
        """Return the ids of all parts of the root, each once."""
        found: dict[str, None] = {}
        left = [self.root]
        for entity in left:
            for value in _all_values(entity, "hasPart"):
                part = value.get("@id") if isinstance(value, dict) else value
                if isinstance(part, str) and part not in found:
                    found[part] = None
                    left.append(self._follow(value))
        return list(found)

    def _find_root(self) -> Entity:
        for root in self.linked(self.descriptor, "about"):
            if id_of(root) in self._entities:
                return root
        for name in ("./", ".", ""):
            if name in self._entities:
                return self._entities[name]
        return next(self._of_type("Dataset"), Entity())

    def _find_run(self) -> tuple[Entity, Entity]:
        """Find the action of the run, and its workflow.

        The main entity may be anything: only a workflow counts.
        """
        actions = [*self.linked(self.root, "mentions"), *self._of_type("CreateAction")]
        actions = [each for each in actions if "CreateAction" in _types(each)]
        main = self._main_workflow
        for action in actions:
            for instrument in self.linked(action, "instrument"):
                if instrument is main or (main is None and instrument.is_workflow):
                    return action, instrument
        any_workflow = (
            each for each in self._searched if not _WORKFLOW_TYPES.isdisjoint(_types(each))
        )
        workflow = main or next(any_workflow, Entity())
        languages = {each.label for each in self._languages(workflow)}
        for action in actions:
            # Snakemake runs the engine, not the workflow.
            if any(each.label in languages for each in self.linked(action, "instrument")):
                return action, workflow
        alone = len({id(each) for each in actions}) == 1
        # Several actions without a workflow are processes, none of which is the run.
        return (actions[0] if alone else Entity()), workflow

    def _languages(self, workflow: Entity) -> list[Entity]:
        return self.linked(workflow, "programmingLanguage")

    def _of_type(self, name: str) -> Iterator[Entity]:
        return (entity for entity in self._searched if name in _types(entity))

    def _follow(self, value: object) -> Entity:
        if not isinstance(value, dict):
            value = {"@id": value}
        name = value.get("@id")
        known = self._entities.get(name) if isinstance(name, str) else None
        return known if known is not None else Entity(value)


def _values(entity: Entity, name: str) -> list[Any]:
    """Return the first values of a property: one, several, or a JSON-LD list."""
    return _all_values(entity, name, at_most=MAX_VALUES)


def _all_values(entity: Entity, name: str, *, at_most: int | None = None) -> list[Any]:
    """Return the values of a property; null is no value."""
    value = entity.get(name)
    if isinstance(value, dict):
        value = value.get("@list", value.get("@set", value))
    values = islice(value, at_most) if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str | dict) and each]


def read_number(number: Number) -> int | float:
    """Return the value of a number.

    Raises:
        ValueError: It has too many digits, or is too large.
    """
    is_integer = number.removeprefix("-").isdigit()
    return read_integer(number) if is_integer else read_float(number)


def texts(entity: Entity, *names: str) -> Iterator[str]:
    """Yield the texts of properties, in this order; of a reference, its id."""
    for name in names:
        for value in _values(entity, name):
            text = value.get("@value", value.get("@id")) if isinstance(value, dict) else value
            if isinstance(text, str) and text.strip():
                yield text.strip()


def _types(entity: Entity) -> Iterator[str]:
    return (_NAMESPACE.sub("", name) for name in texts(entity, "@type"))


def first(entity: Entity, *names: str) -> str:
    """Return the first text of properties, or an empty one."""
    return next(texts(entity, *names), "")


def id_of(entity: Entity) -> str:
    """Return the id of an entity; empty without one."""
    return first(entity, "@id")


def _versioned(entity: Entity) -> str:
    label, version = entity.label, first(entity, "softwareVersion", "version")
    return label if version in label else f"{label} {version}"


def _license(root: Entity) -> str:
    text = first(root, "license")
    spdx = _SPDX.match(text)
    return spdx[1] if spdx else text


def _repository(entity: Entity, *more: str) -> str | None:
    found = texts(entity, "codeRepository", "url", "isBasedOn", *more)
    return next((uri for text in found if (uri := _remote_uri(text))), None)


def _status(run: Entity) -> str:
    """Return the status as HealthOmics writes it: `COMPLETED`, `FAILED`."""
    status = re.split(r"[/:#]", first(run, "actionStatus"))[-1]
    return status.removesuffix("ActionStatus").upper()


def _uris(entity: Entity) -> Iterator[str]:
    found = texts(entity, "@id", "contentUrl", "url", "value")
    return (uri for text in found if (uri := _remote_uri(text)))


def _remote_uri(text: str) -> str | None:
    """Return a URI that resolves outside the crate, without credentials; None for other texts."""
    try:
        scheme, host, path, query, fragment = urlsplit(text)
    except ValueError:
        return None
    if scheme not in _REMOTE or not host or len(text) > MAX_CHARACTERS:
        return None
    if re.search(r"signature|token|sig=|credential|key=|password", query, re.IGNORECASE):
        query = ""
    return urlunsplit((scheme, host.rpartition("@")[2], path, query, fragment))
