"""The rules of Quilt's profile of RO-Crate: crates, and the packages or rejections they lead to.

https://w3id.org/quilt/ro-crate, version 0.2
"""

import json
from typing import Any

import msgspec
import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import InvalidCrate

from tests.package_requests import package_request, request_of
from tests.s3_stub import S3Stub

CRATE = "ro-crate-metadata.json"
PROFILE = "https://w3id.org/quilt/ro-crate"
FOLDER = ("a.txt", "b/c.txt", "b/d/e.txt", "plate #1?.csv", "100%25.txt")
ELSEWHERE = ("genomes/hg38.fa", "reads/s1/R1.fq", "reads/s2/R1.fq", "a.txt")
"""Objects in the bucket `refs`. The first has an older version."""

OLD = "VERSION"
"""Stands for the older version, whose id is not known before it exists."""

HG38 = "s3://refs/genomes/hg38.fa"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A crate in a folder, and what becomes of it.

    Attributes:
        parts: Value of the root's `hasPart`.
        root: Other properties of the root. It claims the profile.
        entities: Entities beside the root.
        text: Replacements in the text of the crate, for what `json` does not write.
        message: Fields of the message.
        package: Entries of the package beside the crate; None if it is rejected.
        name: Name of the package.
        metadata: Fields of the package. Absent fields are None.
        entry_metadata: Metadata of entries.
        locations: Physical keys of entries.
        rejected: Part of the reason of the rejection.
    """

    parts: Any = "a.txt"
    root: dict[str, Any] = {}
    entities: tuple[dict[str, Any], ...] = ()
    text: dict[str, str] = {}
    message: dict[str, Any] = {}
    package: set[str] | None = None
    name: str = "runs/42"
    metadata: dict[str, Any] = {}
    entry_metadata: dict[str, Any] = {}
    locations: dict[str, str] = {}
    rejected: str = ""


def ref(identifier: str) -> dict[str, str]:
    return {"@id": identifier}


def file(identifier: str, /, **fields: Any) -> dict[str, Any]:
    return {"@id": identifier, "@type": "File", **fields}


def folder(identifier: str, /, **fields: Any) -> dict[str, Any]:
    return {"@id": identifier, "@type": "Dataset", **fields}


def identifier(term: str, value: object, **fields: Any) -> dict[str, Any]:
    return {"@type": "PropertyValue", "propertyID": f"{PROFILE}#{term}", "value": value, **fields}


def named(value: object, **root: Any) -> dict[str, Any]:
    return {"identifier": identifier("packageName", value), **root}


def in_namespace(value: object, **root: Any) -> dict[str, Any]:
    return {"identifier": identifier("packageNamespace", value), **root}


def used(*instruments: Any) -> dict[str, Any]:
    return {"mentions": {"@type": "CreateAction", "instrument": list(instruments)}}


ONLY_A = {"a.txt"}

CONTENTS = {
    "the entries are the parts of the root and the crate, and no other files": Case(
        parts=["a.txt", ref("b/c.txt")], package={"a.txt", "b/c.txt"}
    ),
    "an id is relative to the folder, and ./x is x": Case(parts=ref("./a.txt"), package=ONLY_A),
    "an id is percent-decoded": Case(parts="plate%20%231%3F.csv", package={"plate #1?.csv"}),
    "an id is decoded once": Case(parts="100%2525.txt", package={"100%25.txt"}),
    "an unescaped ? is rejected": Case(parts="plate 1?.csv", rejected="%3F"),
    "an unescaped # is rejected": Case(parts="plate #1.csv", rejected="%23"),
    "a component . is rejected": Case(parts="b/./c.txt", rejected="one of dots"),
    "a component .. is rejected": Case(parts="b/../a.txt", rejected="one of dots"),
    "an escaped component .. is rejected": Case(parts="%2E%2E/a.txt", rejected="outside"),
    "an empty component is rejected": Case(parts="b//c.txt", rejected="empty component"),
    "a leading / is rejected": Case(parts="/runs/42/a.txt", rejected="not relative"),
    "another scheme is rejected": Case(parts="file:///runs/a.txt", rejected="not relative"),
    "an s3:// id in the folder has its last component as the key": Case(
        parts="s3://raw/runs/42/a.txt", package=ONLY_A
    ),
    "an s3:// id with an unescaped # is rejected": Case(
        parts="s3://raw/runs/42/plate #1?.csv", rejected="%23"
    ),
    "a bucket alone is rejected": Case(parts="s3://raw", rejected="whole bucket"),
    "an s3:// id may be in another folder": Case(
        parts=["a.txt", "s3://raw/runs/41/b.txt"], package={"a.txt", "b.txt"}
    ),
    "an s3:// id may be in another bucket": Case(
        parts=["a.txt", HG38], package={"a.txt", "hg38.fa"}
    ),
    "an s3:// id may name a version": Case(
        parts=f"{HG38}?versionId={OLD}",
        package={"hg38.fa"},
        locations={"hg38.fa": f"{HG38}?versionId={OLD}"},
    ),
    "a folder by an s3:// id has all objects below it": Case(
        parts="s3://refs/reads/", package={"reads/s1/R1.fq", "reads/s2/R1.fq"}
    ),
    "a folder by an s3:// id has no version": Case(
        parts=f"s3://refs/reads/?versionId={OLD}",
        entities=(folder(f"s3://refs/reads/?versionId={OLD}"),),
        rejected="no version",
    ),
    "two objects of one name have the shortest paths that differ": Case(
        parts=["s3://refs/reads/s1/R1.fq", "s3://refs/reads/s2/R1.fq"],
        package={"s1/R1.fq", "s2/R1.fq"},
    ),
    "a file of the folder keeps its name beside another of this name": Case(
        parts=["a.txt", "s3://refs/a.txt"], package={"a.txt", "refs/a.txt"}
    ),
    "two references to one object elsewhere are one entry": Case(
        parts=[HG38, ref(HG38)], package={"hg38.fa"}
    ),
    "two versions of one object are rejected": Case(
        parts=[HG38, f"{HG38}?versionId={OLD}"], rejected="several versions"
    ),
    "an object elsewhere that does not exist is rejected": Case(
        parts=["a.txt", "s3://refs/missing.fa"], rejected="s3://refs/missing.fa"
    ),
    "another object with the name of the crate is rejected": Case(
        parts=["a.txt", f"s3://refs/{CRATE}"], rejected="the name of the crate"
    ),
    "another version of the crate is rejected": Case(
        parts=["a.txt", f"s3://raw/runs/42/{CRATE}?versionId={OLD}"], rejected="version"
    ),
    "a part on the web is left out": Case(
        parts=["a.txt", "https://x.org/b", "http://x.org/c"], package=ONLY_A
    ),
    "a crate of which no part is left is rejected": Case(
        parts=["https://x.org/b"], rejected="no part that a package can hold"
    ),
    "a crate without parts is rejected": Case(parts=[], rejected="no part"),
    "a Dataset is a folder, with all objects below it": Case(
        parts=ref("b"), entities=(folder("b"),), package={"b/c.txt", "b/d/e.txt"}
    ),
    "an id that ends in / is a folder": Case(parts="b/", package={"b/c.txt", "b/d/e.txt"}),
    "a reference without / finds the entity with it": Case(
        parts=ref("b"), entities=(folder("b/"),), package={"b/c.txt", "b/d/e.txt"}
    ),
    "a reference with / does not find the entity without it": Case(
        parts=["b/", "b"], entities=(file("b"),), rejected="both a file and a folder"
    ),
    "a file that is also in a listed folder is one entry, with its metadata": Case(
        parts=["b/", ref("b/c.txt")],
        entities=(file("b/c.txt", contentSize=7),),
        package={"b/c.txt", "b/d/e.txt"},
        entry_metadata={"b/c.txt": {"contentSize": 7}},
    ),
    "two ids of one object are one entry": Case(
        parts=["a.txt", "./a.txt", "s3://raw/runs/42/a.txt"], package=ONLY_A
    ),
    "a file and a folder of one path are rejected": Case(
        parts=["b", "b/"], rejected='"b": it is both a file and a folder'
    ),
    "a verbatim copy of an entity is one": Case(
        entities=(file("a.txt", n=1), file("a.txt", n=1)), package=ONLY_A
    ),
    "different entities of one id are rejected": Case(
        entities=(file("a.txt", n=1), file("a.txt", n=2)), rejected="different entities"
    ),
    "different entities that are no parts are not rejected": Case(
        entities=(ref("#x") | {"name": "X"}, ref("#x") | {"name": "Y"}), package=ONLY_A
    ),
    "the crate may list itself": Case(parts=["a.txt", CRATE], package=ONLY_A),
    "a missing file is rejected": Case(
        parts=["a.txt", "x.txt", "y/"], rejected='lacks parts of its crate: "x.txt", "y"'
    ),
    "all violations are named at once": Case(
        parts=["a#b", "c?d"], root=named("no"), rejected='packageName "no"'
    ),
    "another crate is packaged with its folder": Case(
        root={"conformsTo": None}, parts="x.txt", package=set(FOLDER)
    ),
    "another crate is packaged by its parts on request": Case(
        root={"conformsTo": None}, message={"contents": "crate"}, package=ONLY_A
    ),
    "a crate is packaged with its folder on request": Case(
        message={"contents": "folder"}, package=set(FOLDER)
    ),
    "missing parts are left out on request, and named": Case(
        parts=["a.txt", "x.txt"],
        message={"missing_parts": "leave_out"},
        package=ONLY_A,
        metadata={"missing_parts": ["x.txt"]},
    ),
}

NAMES = {
    "the name of the message wins": Case(
        root=named("crate/1"), message={"package_name": "sender/1"}, package=ONLY_A, name="sender/1"
    ),
    "packageName is the name": Case(root=named("crate/1"), package=ONLY_A, name="crate/1"),
    "the propertyID may be a reference": Case(
        root=named("crate/1") | {"identifier": ref("#name")},
        entities=(
            identifier("x", "crate/1", propertyID=ref(f"{PROFILE}#packageName")) | ref("#name"),
        ),
        package=ONLY_A,
        name="crate/1",
    ),
    "packageNamespace precedes the name of the root": Case(
        root=in_namespace("assays", name="Run 7/é"), package=ONLY_A, name="assays/Run-7--"
    ),
    "a root name of dashes only gives the second half of the default": Case(
        root=in_namespace("assays", name="../"), package=ONLY_A, name="assays/42"
    ),
    "a root without a name gives the second half of the default": Case(
        root=in_namespace("assays"), package=ONLY_A, name="assays/42"
    ),
    "packageName wins over packageNamespace": Case(
        root={
            "identifier": [
                identifier("packageNamespace", "assays"),
                identifier("packageName", "crate/1"),
            ]
        },
        package=ONLY_A,
        name="crate/1",
    ),
    "without either the default is the name": Case(root={"name": "Run 7"}, package=ONLY_A),
    "an invalid name is rejected": Case(root=named("no name"), rejected='packageName "no name"'),
    "an invalid name is rejected even if it is unused": Case(
        root=named("no name"), message={"package_name": "sender/1"}, rejected="packageName"
    ),
    "an invalid namespace is rejected": Case(root=in_namespace("a/b"), rejected="packageNamespace"),
    "two different names are rejected": Case(
        root={"identifier": [identifier("packageName", "a/1"), identifier("packageName", "a/2")]},
        rejected="2 different values",
    ),
    "a name that is given twice is one": Case(
        root={"identifier": [identifier("packageName", "a/1")] * 2}, package=ONLY_A, name="a/1"
    ),
}

ENTRY_METADATA = {
    "an entry has the properties of its file, except its id, type and name": Case(
        entities=(file("a.txt", name="A", contentSize=5, ratio=0.5, tags=["x"]),),
        package=ONLY_A,
        entry_metadata={"a.txt": {"contentSize": 5, "ratio": 0.5, "tags": ["x"]}},
    ),
    "references stay as they are": Case(
        entities=(file("a.txt", author=ref("#ada")),),
        package=ONLY_A,
        entry_metadata={"a.txt": {"author": ref("#ada")}},
    ),
    "files in a listed folder have theirs": Case(
        parts="b/",
        entities=(file("b/d/e.txt", n=1),),
        package={"b/c.txt", "b/d/e.txt"},
        entry_metadata={"b/d/e.txt": {"n": 1}},
    ),
    "files elsewhere have theirs": Case(
        parts=HG38,
        entities=(file(HG38, assembly="GRCh38"),),
        package={"hg38.fa"},
        entry_metadata={"hg38.fa": {"assembly": "GRCh38"}},
    ),
    "a number that is not finite is rejected": Case(
        entities=(file("a.txt", n="?"),), text={'"?"': "NaN"}, rejected="nan"
    ),
    "a number that is too large is rejected": Case(
        entities=(file("a.txt", n="?"),), text={'"?"': "1e999"}, rejected="too large"
    ),
    "a number that is not finite is rejected in a folder": Case(
        parts="b/",
        entities=(file("b/c.txt", n="?"),),
        text={'"?"': "-Infinity"},
        rejected='part "b/c.txt"',
    ),
}

ADA = {"@type": "Person", "name": "Ada"}
SCOPE = {"@type": "IndividualProduct", "name": "Scope 1", "identifier": "INST-1"}
PACKAGE_METADATA = {
    "creator has the names of the root's creators": Case(
        root={"creator": [ref("#ada"), {"name": "Grace"}]},
        entities=(ADA | ref("#ada"),),
        package=ONLY_A,
        metadata={"creator": ["Ada", "Grace"]},
    ),
    "producer has the producers and their parents": Case(
        root={"producer": ref("#dev")},
        entities=(
            {"@id": "#dev", "name": "Dev", "parentOrganization": ref("#ops")},
            {"@id": "#ops", "name": "Ops", "parentOrganization": {"name": "Lab"}},
        ),
        package=ONLY_A,
        metadata={"producer": ["Dev", "Ops", "Lab"]},
    ),
    "a cycle of parents ends": Case(
        root={"producer": ref("#dev")},
        entities=(
            {"@id": "#dev", "name": "Dev", "parentOrganization": ref("#ops")},
            {"@id": "#ops", "name": "Ops", "parentOrganization": ref("#dev")},
        ),
        package=ONLY_A,
        metadata={"producer": ["Dev", "Ops"]},
    ),
    "instrument and instrument_id are of the actions that the root mentions": Case(
        root=used(SCOPE),
        entities=({"@id": "#x", "@type": "CreateAction", "instrument": {"name": "Other"}},),
        package=ONLY_A,
        metadata={"instrument": ["Scope 1"], "instrument_id": ["INST-1"]},
    ),
    "instrument_id may be the value of a PropertyValue": Case(
        root=used(SCOPE | {"identifier": ref("#id")}),
        entities=({"@id": "#id", "@type": "PropertyValue", "value": "SN-2"},),
        package=ONLY_A,
        metadata={"instrument_id": ["SN-2"]},
    ),
    "software is no instrument": Case(
        root=used({"@id": "#fastp", "@type": "SoftwareApplication", "name": "fastp"}),
        package=ONLY_A,
        metadata={"instrument": None, "instrument_id": None},
    ),
    "eln_entry has the names of ELN entries about the root": Case(
        root={"subjectOf": [ref("eln"), {"name": "Paper", "additionalType": "Article"}]},
        entities=({"@id": "eln", "additionalType": ref(f"{PROFILE}#ELNEntry"), "name": "ELN-1"},),
        package=ONLY_A,
        metadata={"eln_entry": ["ELN-1"]},
    ),
    "package_name is the published name": Case(
        root=named("crate/1"),
        message={"package_name": "sender/1"},
        package=ONLY_A,
        name="sender/1",
        metadata={"package_name": "sender/1"},
    ),
    "names are texts, each once, and none is empty": Case(
        root={"creator": [ADA, ADA, {"name": " "}, {"name": 7}, None]},
        package=ONLY_A,
        metadata={"creator": ["Ada", "7"]},
    ),
    "a role that no one has is left out": Case(package=ONLY_A, metadata={"creator": None}),
    "a person with the placeholder ORCID is left out": Case(
        root={"creator": {"@id": "https://orcid.org/0000-0000-0000-0000", "name": "Jane Doe"}},
        package=ONLY_A,
        metadata={"creator": None},
    ),
    "an example's name alone is no placeholder": Case(
        root={"creator": {"name": "Jane Doe"}},
        package=ONLY_A,
        metadata={"creator": ["Jane Doe"]},
    ),
}

NEVER_REJECTED = {
    "nulls": Case(
        root={"license": None, "creator": None, "identifier": None, "mentions": [None]},
        entities=(file("a.txt", n=None),),
        package=ONLY_A,
    ),
    "RO-Crate 1.1": Case(text={"crate/1.2": "crate/1.1"}, package=ONLY_A),
    "no conformsTo at all": Case(text={"conformsTo": "x"}, package=set(FOLDER)),
    "a byte order mark": Case(text={'{"@context"': '\ufeff{"@context"'}, package=ONLY_A),
    "a part without an entity": Case(parts=["a.txt"], package=ONLY_A),
    "a file without a type": Case(entities=(ref("a.txt") | {"n": 1},), package=ONLY_A),
}


def document(case: Case) -> str:
    graph = [
        {
            "@id": CRATE,
            "@type": "CreativeWork",
            "about": ref("./"),
            "conformsTo": ref("https://w3id.org/ro/crate/1.2"),
        },
        folder("./", **{"conformsTo": ref(f"{PROFILE}/0.2"), "hasPart": case.parts} | case.root),
        *case.entities,
    ]
    text = json.dumps({"@context": "https://w3id.org/ro/crate/1.2/context", "@graph": graph})
    for old, new in case.text.items():
        assert old in text
        text = text.replace(old, new)
    return text


async def check(case: Case, s3: S3, s3_stub: S3Stub) -> None:
    """Package the folder of a crate, and compare what comes out."""
    raw, refs = s3_stub.create_bucket("raw"), s3_stub.create_bucket("refs")
    old = refs.put(ELSEWHERE[0], "old").version_id or ""
    for path in ELSEWHERE:
        refs.put(path, path, stored=["SHA256"])
    for path in (*(f"runs/42/{path}" for path in FOLDER), "runs/41/b.txt"):
        raw.put(path, path, stored=["SHA256"])
    raw.put(f"runs/42/{CRATE}", document(case).replace(OLD, old), stored=["SHA256"])
    message = {"source_prefix": f"s3://raw/runs/42/{CRATE}", **case.message}
    if case.package is None:
        with pytest.raises(InvalidCrate) as rejected:
            await package_request(s3, request_of(message))
        assert case.rejected in rejected.value.happened
        assert raw.keys(".quilt/") == []
        return
    outcome = await package_request(s3, request_of(message))
    manifest = raw.get(f".quilt/packages/{outcome.top_hash}")
    assert manifest
    header, *lines = map(json.loads, manifest.data.splitlines())
    entries = {line["logical_key"]: line for line in lines}
    assert entries.keys() == case.package | {CRATE}
    assert outcome.package_name == case.name
    fields = header["user_meta"] or {}
    assert {field: fields.get(field) for field in case.metadata} == case.metadata
    for key, metadata in case.entry_metadata.items():
        assert entries[key]["meta"]["user_meta"] == metadata
    for key, location in case.locations.items():
        assert entries[key]["physical_keys"] == [location.replace(OLD, old)]


@pytest.mark.parametrize("rule", CONTENTS)
async def test_contents(rule: str, s3: S3, s3_stub: S3Stub) -> None:
    await check(CONTENTS[rule], s3, s3_stub)


@pytest.mark.parametrize("rule", NAMES)
async def test_name(rule: str, s3: S3, s3_stub: S3Stub) -> None:
    await check(NAMES[rule], s3, s3_stub)


@pytest.mark.parametrize("rule", ENTRY_METADATA)
async def test_entry_metadata(rule: str, s3: S3, s3_stub: S3Stub) -> None:
    await check(ENTRY_METADATA[rule], s3, s3_stub)


@pytest.mark.parametrize("rule", PACKAGE_METADATA)
async def test_package_metadata(rule: str, s3: S3, s3_stub: S3Stub) -> None:
    await check(PACKAGE_METADATA[rule], s3, s3_stub)


@pytest.mark.parametrize("departure", NEVER_REJECTED)
async def test_is_never_rejected_for(departure: str, s3: S3, s3_stub: S3Stub) -> None:
    await check(NEVER_REJECTED[departure], s3, s3_stub)
