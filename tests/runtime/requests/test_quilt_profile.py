"""Quilt's profile of RO-Crate: names and fields of packages by crates that claim it."""

import json
from typing import Any

import pytest
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.requests.quilt_profile import PROFILE, Crate, read_crate
from quilt_packager_runtime.settings.source_options import Contents

LOCATION = S3Uri("raw", "run/ro-crate-metadata.json")
ORCID = "https://orcid.org/0000-0002-1825-0097"


def ref(identifier: str) -> dict[str, str]:
    return {"@id": identifier}


def identifier(term: str, value: object) -> dict[str, Any]:
    return {"@type": "PropertyValue", "propertyID": f"{PROFILE}#{term}", "value": value}


def crate(*entities: dict[str, Any], profile: object = f"{PROFILE}/0.2", **root: Any) -> Crate:
    graph = [
        {"@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": ref("./")},
        {"@id": "./", "@type": "Dataset", "conformsTo": profile, **root},
        *entities,
    ]
    return read_crate(json.dumps({"@graph": graph}).encode(), LOCATION, "folder")


class TestClaims:
    @pytest.mark.parametrize(
        "profile",
        [
            f"{PROFILE}/0.2",
            ref(f"{PROFILE}/1.0"),
            [ref("https://w3id.org/ro/wfrun/process/0.6"), ref(PROFILE)],
        ],
    )
    def test_are_made_by_the_root(self, profile: object) -> None:
        assert crate(profile=profile).follows_profile

    @pytest.mark.parametrize(
        "profile", [None, [], "https://w3id.org/ro/wfrun/process/0.6", f"{PROFILE}s", 0.2]
    )
    def test_are_not_made_by_other_crates(self, profile: object) -> None:
        named = crate(profile=profile, identifier=identifier("packageName", "a/b"), creator="Ada")
        assert not named.follows_profile
        assert named.name_package("raw/7") is None
        assert "creator" not in named.fields

    @pytest.mark.parametrize(
        ("contents", "profile", "has_parts"),
        [
            ("auto", PROFILE, True),
            ("auto", None, False),
            ("crate", None, True),
            ("folder", PROFILE, False),
        ],
    )
    def test_decide_about_the_contents(
        self, contents: Contents, profile: str | None, *, has_parts: bool
    ) -> None:
        graph = [{"@id": "./", "conformsTo": profile, "hasPart": "a"}]
        made = read_crate(json.dumps({"@graph": graph}).encode(), LOCATION, contents)
        assert (made.parts is not None) is has_parts


class TestNames:
    @pytest.mark.parametrize("term", [f"{PROFILE}#packageName", ref(f"{PROFILE}#packageName")])
    def test_are_explicit(self, term: object) -> None:
        entity = {"@id": "#name", **identifier("packageName", "assay-dev/42"), "propertyID": term}
        made = crate(entity, identifier=[ref("https://doi.org/10.1/x"), ref("#name")])
        assert made.name_package("raw/7") == "assay-dev/42"

    @pytest.mark.parametrize(
        ("name", "package"),
        [("Assay 1/é", "dev/Assay-1--"), ("../", "dev/7"), (None, "dev/7"), ("-", "dev/7")],
    )
    def test_are_made_of_a_namespace_and_the_name(self, name: str | None, package: str) -> None:
        made = crate(name=name, identifier=identifier("packageNamespace", "dev"))
        assert made.name_package("raw/7") == package

    def test_win_over_namespaces(self) -> None:
        both = [identifier("packageNamespace", "dev"), identifier("packageName", "a/b")]
        assert crate(identifier=both).name_package("raw/7") == "a/b"

    def test_that_are_repeated_are_one(self) -> None:
        made = crate(identifier=[identifier("packageName", "a/b")] * 2)
        assert (made.name_package("raw/7"), made.violations) == ("a/b", ())

    def test_are_not_given_by_other_identifiers(self) -> None:
        assert crate(name="Run", identifier="a/b").name_package("raw/7") is None

    def test_that_are_invalid_are_all_reported(self) -> None:
        made = crate(
            identifier=[
                identifier("packageName", "no name"),
                identifier("packageName", "a/b"),
                identifier("packageNamespace", "a/b"),
                identifier("packageNamespace", None),
            ]
        )
        rule = "a package name is prefix/suffix, each of A-Z, a-z, 0-9, _ and -"
        assert made.violations == (
            f'packageName "no name": {rule}',
            "packageName: it has 2 different values",
            f'packageNamespace "a/b": {rule}',
            f'packageNamespace "": {rule}',
            "packageNamespace: it has 2 different values",
        )


class TestRoles:
    def test_stand_beside_the_fields_of_every_crate(self) -> None:
        made = crate(
            {"@id": ORCID, "@type": "Person", "name": "Jane Doe"},
            {"@id": "#dev", "@type": "Organization", "name": "Dev", "parentOrganization": "#ops"},
            {"@id": "#ops", "name": "Operations", "parentOrganization": ref("#dev")},
            {"@id": "eln", "additionalType": ref(f"{PROFILE}#ELNEntry"), "name": "ASSAY-1"},
            {"@id": "paper", "additionalType": "Article", "name": "Paper"},
            name="Assay",
            creator=ref(ORCID),
            producer=ref("#dev"),
            subjectOf=[ref("eln"), ref("paper")],
        )
        del made.fields["conforms_to"]
        assert made.fields == {
            "name": "Assay",
            "author": ["Jane Doe"],
            "author_orcid": ["0000-0002-1825-0097"],
            "creator": ["Jane Doe"],
            "producer": ["Dev", "Operations"],
            "eln_entry": ["ASSAY-1"],
        }

    def test_keep_software_apart_from_instruments(self) -> None:
        made = crate(
            {
                "@id": "#run",
                "@type": "CreateAction",
                "instrument": [ref("#fastp"), ref("#cytometer"), ref("flow.nf")],
            },
            {"@id": "#fastp", "@type": "SoftwareApplication", "name": "fastp"},
            {"@id": "flow.nf", "@type": ["File", "ComputationalWorkflow"], "name": "flow"},
            {
                "@id": "#cytometer",
                "@type": "IndividualProduct",
                "name": "Flow Cytometer 1",
                "identifier": ["INST-1", {"@type": "PropertyValue", "value": "SN-2"}],
            },
            mentions=ref("#run"),
        )
        assert made.fields["instrument"] == ["Flow Cytometer 1"]
        assert made.fields["instrument_id"] == ["INST-1", "SN-2"]

    def test_count_inline_entities_and_leave_out_empty_names(self) -> None:
        action = {"@type": "CreateAction", "instrument": {"@type": "Product", "name": "Scope"}}
        made = crate(mentions=action, creator=[{"name": "Ada"}, {"name": " "}, {"name": "Ada"}])
        assert made.fields["creator"] == ["Ada"]
        assert made.fields["instrument"] == ["Scope"]

    def test_leave_out_who_has_the_placeholder_orcid(self) -> None:
        placeholder = {"@id": "https://orcid.org/0000-0000-0000-0000", "name": "Jane Doe"}
        assert "creator" not in crate(creator=placeholder).fields
