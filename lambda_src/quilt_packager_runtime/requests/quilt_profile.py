"""Quilt's profile of RO-Crate: a crate that claims it names, describes and lists its package.

The same rules hold for other crates whose parts become the package.

https://w3id.org/quilt/ro-crate, version 0.2
"""

from collections.abc import Iterator

import msgspec

from quilt_packager_runtime.errors import quote
from quilt_packager_runtime.formats.catalog_fields import Facet, make_facets
from quilt_packager_runtime.formats.names import NOT_IN_PACKAGE_NAME, check_package_name
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.requests.crate_parts import Parts, read_parts
from quilt_packager_runtime.requests.ro_crates import (
    Entity,
    Graph,
    catalog_fields,
    first,
    id_of,
    texts,
)
from quilt_packager_runtime.settings.source_options import Contents

PROFILE = "https://w3id.org/quilt/ro-crate"

ROLE_FIELDS = ("creator", "producer", "instrument", "instrument_id", "eln_entry")
"""Fields that a crate provides if it claims the profile, beside `CRATE_FIELDS`."""

_SOFTWARE = frozenset({"SoftwareApplication", "SoftwareSourceCode", "HowTo", "ComputerLanguage"})


class Crate(msgspec.Struct, frozen=True, kw_only=True):
    """The description of a package by its crate.

    Attributes:
        location: The location of the crate.
        fields: Catalog fields; fields by role too if the profile holds.
        follows_profile: The rules of the profile hold.
        package_name: Name that it gives to the package; empty for none.
        namespace: First half of the name, for crates that give no `package_name`.
        name: Second half of the name for a `namespace`; empty for that of the default.
        parts: The contents of the package; None for those of the folder.
        violations: Rules of the profile that it breaks.
        has_digests: It may have SHA-256 values of files.
    """

    location: S3Uri
    fields: dict[str, Facet]
    follows_profile: bool = False
    package_name: str = ""
    namespace: str = ""
    name: str = ""
    parts: Parts | None = None
    violations: tuple[str, ...] = ()
    has_digests: bool = False

    def name_package(self, default: str) -> str | None:
        """Return the name of the package; None if the crate gives none.

        Example:
            >>> crate = Crate(location=S3Uri("b", "c"), fields={}, namespace="assays")
            >>> crate.name_package("raw/42")
            'assays/42'
        """
        if self.package_name:
            return self.package_name
        if self.namespace:
            return f"{self.namespace}/{self.name or default.partition('/')[2]}"
        return None


def read_crate(document: bytes, location: S3Uri, contents: Contents = "auto") -> Crate:
    """Read a `ro-crate-metadata.json`.

    Args:
        document: The file.
        location: The location of the file.
        contents: The contents of the package.

    Raises:
        ValueError: It is too large or too deep, is not JSON, or has no `@graph`.
    """
    graph = Graph(document)
    root = graph.root
    fields = catalog_fields(graph)
    claims_profile = any(_is_profile(id_of(each)) for each in graph.linked(root, "conformsTo"))
    has_parts = contents == "crate" or (contents == "auto" and claims_profile)
    if not has_parts and not claims_profile:
        return Crate(location=location, fields=fields)
    parts = read_parts(graph, location) if has_parts else None
    violations = list(parts.violations) if parts else []
    name = NOT_IN_PACKAGE_NAME.sub("-", first(root, "name"))
    return Crate(
        location=location,
        fields=fields | _fields_by_role(graph),
        follows_profile=True,
        package_name=_identifier(graph, "packageName", "{}", violations),
        namespace=_identifier(graph, "packageNamespace", "{}/x", violations),
        name=name if name.strip("-") else "",
        parts=parts,
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
