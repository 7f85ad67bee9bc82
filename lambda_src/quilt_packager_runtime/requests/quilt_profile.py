"""Quilt's profile of RO-Crate: a crate that claims it names and describes its package.

https://w3id.org/quilt/ro-crate, version 0.2
"""

from collections.abc import Iterator

import msgspec

from quilt_packager_runtime.errors import quote
from quilt_packager_runtime.formats.catalog_fields import Facet, make_facets
from quilt_packager_runtime.formats.names import NOT_IN_PACKAGE_NAME, check_package_name
from quilt_packager_runtime.requests.ro_crates import (
    Entity,
    Graph,
    catalog_fields,
    first,
    id_of,
    texts,
)

PROFILE = "https://w3id.org/quilt/ro-crate"

ROLE_FIELDS = ("creator", "producer", "instrument", "instrument_id", "eln_entry")
"""Fields that a crate provides if it claims the profile, beside `CRATE_FIELDS`."""

_SOFTWARE = frozenset({"SoftwareApplication", "SoftwareSourceCode", "HowTo", "ComputerLanguage"})


class Crate(msgspec.Struct, frozen=True, kw_only=True):
    """The description of a package by its crate.

    Attributes:
        fields: Catalog fields; fields by role too if it claims the profile.
        claims_profile: The crate conforms to the profile, according to itself.
        package_name: Name that it gives to the package; empty for none.
        namespace: First half of the name, for crates that give no `package_name`.
        name: Second half of the name for a `namespace`; empty for that of the default.
        violations: Rules of the profile that it breaks.
    """

    fields: dict[str, Facet]
    claims_profile: bool = False
    package_name: str = ""
    namespace: str = ""
    name: str = ""
    violations: tuple[str, ...] = ()

    def name_package(self, default: str) -> str | None:
        """Return the name of the package; None if the crate gives none.

        Example:
            >>> Crate(fields={}, namespace="assays").name_package("raw/42")
            'assays/42'
        """
        if self.package_name:
            return self.package_name
        if self.namespace:
            return f"{self.namespace}/{self.name or default.partition('/')[2]}"
        return None


def read_crate(document: bytes) -> Crate:
    """Read a `ro-crate-metadata.json`.

    Raises:
        ValueError: It is too large or too deep, is not JSON, or has no `@graph`.
    """
    graph = Graph(document)
    root = graph.root
    fields = catalog_fields(graph)
    if not any(_is_profile(id_of(each)) for each in graph.linked(root, "conformsTo")):
        return Crate(fields=fields)
    violations: list[str] = []
    name = NOT_IN_PACKAGE_NAME.sub("-", first(root, "name"))
    return Crate(
        fields=fields | _fields_by_role(graph),
        claims_profile=True,
        package_name=_identifier(graph, "packageName", "{}", violations),
        namespace=_identifier(graph, "packageNamespace", "{}/x", violations),
        name=name if name.strip("-") else "",
        violations=tuple(violations),
    )


def _is_profile(uri: str) -> bool:
    return uri.rstrip("/") == PROFILE or uri.startswith(f"{PROFILE}/")


def _identifier(graph: Graph, term: str, pattern: str, violations: list[str]) -> str:
    """Return the identifier of the root that a term of the profile defines; empty without one."""
    values = {
        first(each, "value"): None
        for each in graph.linked(graph.root, "identifier")
        if f"{PROFILE}#{term}" in texts(each, "propertyID")
    }
    for value in values:
        try:
            check_package_name(pattern.format(value))
        except ValueError as error:
            violations.append(f"{term} {quote(value)}: {error}")
    if len(values) > 1:
        violations.append(f"{term}: it has {len(values)} different values")
    return next(iter(values), "")


def _fields_by_role(graph: Graph) -> dict[str, Facet]:
    root = graph.root
    instruments = [
        each
        for action in graph.linked(root, "mentions")
        for each in graph.linked(action, "instrument")
        # Software is a tool or the engine.
        if not each.is_workflow and each.types.isdisjoint(_SOFTWARE)
    ]
    found = {
        "creator": (first(each, "name") for each in graph.people(root, "creator")),
        "producer": (first(each, "name") for each in _with_parents(graph, root)),
        "instrument": (first(each, "name") for each in instruments),
        "instrument_id": (
            first(identifier, "value", "@id")
            for each in instruments
            for identifier in graph.linked(each, "identifier")
        ),
        "eln_entry": (
            first(each, "name")
            for each in graph.linked(root, "subjectOf")
            if f"{PROFILE}#ELNEntry" in texts(each, "additionalType")
        ),
    }
    return make_facets({name: found[name] for name in ROLE_FIELDS})


def _with_parents(graph: Graph, root: Entity) -> Iterator[Entity]:
    """Yield the producers, and the organizations that they belong to, each once."""
    waiting = graph.people(root, "producer")
    seen: set[int] = set()
    while waiting:
        producer = waiting.pop(0)
        if id(producer) not in seen:
            seen.add(id(producer))
            yield producer
            waiting.extend(graph.people(producer, "parentOrganization"))
