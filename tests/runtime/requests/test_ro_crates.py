"""RO-Crates of all engines, and of none: what is extracted, and that nothing else is raised."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quilt_packager_runtime.requests import ro_crates
from quilt_packager_runtime.requests.ro_crates import (
    CRATE_FIELDS,
    MAX_CRATE_BYTES,
    Graph,
    catalog_fields,
    list_part_ids,
)
from rocrate.model.contextentity import ContextEntity
from rocrate.model.person import Person
from rocrate.rocrate import ROCrate

ID = "ro-crate-metadata.json"
RUN = "0525d4a9-ccd8-4f53-9ae3-3795511610d2"
ROOT = {"@id": "./", "@type": "Dataset"}
PROFILES = [f"https://w3id.org/ro/wfrun/{name}/0.1" for name in ("process", "workflow")]


def ref(identifier: str) -> dict[str, str]:
    return {"@id": identifier}


def crate(*entities: Any) -> bytes:
    descriptor = {"@id": ID, "@type": "CreativeWork", "about": ref("./")}
    return json.dumps({"@context": "x", "@graph": [descriptor, *entities]}).encode()


def read_crate(document: bytes) -> dict[str, Any]:
    return dict(catalog_fields(Graph(document)))


def read(*entities: Any) -> dict[str, Any]:
    return read_crate(crate(*entities))


def nf_prov() -> list[Any]:
    """A run as nf-prov writes it: repeated nodes, a null agent, paths of the machine."""
    placeholder = ref("https://orcid.org/0000-0000-0000-0000")
    step = {
        "@id": "#3dac",
        "@type": "CreateAction",
        "name": "TRIM (SAMPLE1)",
        "instrument": ref("#Script_7e"),
        "agent": placeholder,
    }
    return [
        {
            **ROOT,
            "author": placeholder,
            "publisher": ref("https://ror.org/000000000"),
            "datePublished": "2024-12-10",
            "conformsTo": [ref(profile) for profile in PROFILES],
            "name": "Workflow run of main.nf",
            "description": "An nf-core\n  demo pipeline",
            "hasPart": [ref("main.nf"), ref("/tmp/x/a.gz"), ref("../b.gz")],  # noqa: S108
            "mainEntity": ref("main.nf"),
            "mentions": [ref(f"#{RUN}"), ref("#3dac")],
            "license": "https://spdx.org/licenses/Apache-2.0.html",
        },
        {
            "@id": "main.nf",
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            "name": "nf-core/demo",
            "programmingLanguage": ref("#nextflow"),
            "version": "1.0.0",
            "url": "https://github.com/nf-core/demo",
            "hasPart": [ref("#Script_7e")],
        },
        {"@id": "#nextflow", "@type": "ComputerLanguage", "name": "Nextflow", "version": "24.1"},
        {"@id": "#Script_7e", "@type": "SoftwareApplication", "name": "DEMO:TRIM"},
        {"@id": "#6f", "@type": "SoftwareApplication", "name": "Nextflow 24.10.2"},
        {
            "@id": "#b4",
            "@type": "OrganizeAction",
            "agent": None,
            "instrument": ref("#6f"),
            "result": ref(f"#{RUN}"),
        },
        step,
        step,
        {
            "@id": f"#{RUN}",
            "@type": "CreateAction",
            "agent": None,
            "name": f"Nextflow workflow run {RUN}",
            "startTime": "2024-12-10T09:07:42.073671473+01:00",
            "endTime": "2024-12-10T09:07:57.433851937+01:00",
            "instrument": ref("main.nf"),
            "object": [
                ref("/scratch/me/assets/a.yml"),
                ref("s3://ngi-igenomes/igenomes/"),
                ref("#input"),
            ],
        },
        {"@id": "#input", "@type": "PropertyValue", "value": "https://x.org/sheet.csv"},
        {**placeholder, "@type": "Person", "name": "John Doe", "affiliation": ref("#xyz")},
        {"@id": "#xyz", "@type": "Organization", "name": "University of XYZ"},
        None,
    ]


def with_author(author: object, *entities: Any) -> dict[str, Any]:
    return read({**ROOT, "author": author}, *entities)


class TestEngines:
    def test_nf_prov(self) -> None:
        assert read(*nf_prov()) == {
            "name": "Workflow run of main.nf",
            "description": "An nf-core demo pipeline",
            "license": "Apache-2.0",
            "date_published": "2024-12-10",
            "workflow_name": "nf-core/demo",
            "workflow_version": "1.0.0",
            "workflow_repository": "https://github.com/nf-core/demo",
            "workflow_engine": "Nextflow 24.10.2",
            "run_id": RUN,
            "start_time": "2024-12-10T08:07:42Z",
            "end_time": "2024-12-10T08:07:57Z",
            "tools": ["DEMO:TRIM"],
            "input_uris": ["s3://ngi-igenomes/igenomes/", "https://x.org/sheet.csv"],
            "conforms_to": PROFILES,
        }

    def test_cwltool(self) -> None:
        facets = read(
            {**ROOT, "mainEntity": ref("packed.cwl"), "mentions": [ref(f"#{RUN}")]},
            {
                "@id": "packed.cwl",
                "@type": ["File", "ComputationalWorkflow"],
                "name": "packed.cwl",
                "hasPart": ref("packed.cwl#dirdate.cwl"),
            },
            {"@id": "packed.cwl#dirdate.cwl", "@type": "SoftwareApplication", "name": "dirdate"},
            {"@id": "#124c", "@type": "SoftwareApplication", "name": "cwltool 3.1"},
            {
                "@id": "#9ede",
                "@type": "OrganizeAction",
                "instrument": ref("#124c"),
                "result": ref(f"#{RUN}"),
            },
            {"@id": f"#{RUN}", "@type": "CreateAction", "instrument": ref("packed.cwl")},
            {"@id": "#f722", "@type": "CreateAction", "instrument": ref("packed.cwl#dirdate.cwl")},
        )
        assert facets == {
            "workflow_name": "packed.cwl",
            "workflow_engine": "cwltool 3.1",
            "run_id": RUN,
            "tools": ["dirdate"],
        }

    def test_galaxy(self) -> None:
        facets = read(
            {**ROOT, "mainEntity": ref("w/main.gxwf.yml"), "mentions": ref(f"#wfrun-{RUN}")},
            {
                "@id": "w/main.gxwf.yml",
                "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
                "name": "COVID-19: variants",
                "version": 3,
                "programmingLanguage": ref("https://w3id.org/workflowhub#galaxy"),
            },
            {
                "@id": "https://w3id.org/workflowhub#galaxy",
                "@type": "ComputerLanguage",
                "name": "Galaxy",
                "version": 25.0,
            },
            {
                "@id": f"#wfrun-{RUN}",
                "@type": "CreateAction",
                "instrument": ref("w/main.gxwf.yml"),
                "actionStatus": "http://schema.org/CompletedActionStatus",
            },
        )
        assert facets == {
            "workflow_name": "COVID-19: variants",
            "workflow_version": "3",
            "workflow_engine": "Galaxy 25.0",
            "run_id": f"wfrun-{RUN}",
            "run_status": "COMPLETED",
        }

    def test_snakemake(self) -> None:
        facets = read(
            {**ROOT, "mainEntity": ref("workflow/Snakefile")},
            {
                "@id": "workflow/Snakefile",
                "@type": ["File", "ComputationalWorkflow"],
                "codeRepository": "https://github.com/lab/flow.git",
                "programmingLanguage": {"@type": "ComputerLanguage", "name": "Snakemake"},
            },
            {
                "@id": "urn:uuid:7c5f",
                "@type": "CreateAction",
                "instrument": ref("workflow/Snakefile"),
                "actionStatus": ref("http://schema.org/FailedActionStatus"),
                "object": "gs://lab/reads.fq",
            },
        )
        assert facets == {
            "workflow_name": "workflow/Snakefile",
            "workflow_repository": "https://github.com/lab/flow.git",
            "workflow_engine": "Snakemake",
            "run_id": "7c5f",
            "run_status": "FAILED",
            "input_uris": ["gs://lab/reads.fq"],
        }

    def test_ro_crate_py(self, tmp_path: Path) -> None:
        made = ROCrate()
        made.name = "Plate 42"
        made.license = "CC-BY-4.0"
        ror = "https://ror.org/03yrm5c26"
        made.add(
            ContextEntity(made, ror, properties={"@type": "Organization", "name": "The Library"})
        )
        author = Person(
            made,
            "https://orcid.org/0000-0002-1825-0097",
            properties={"name": "Josiah Carberry", "affiliation": ref(ror)},
        )
        made.root_dataset["author"] = [made.add(author)]
        source = tmp_path / "main.cwl"
        source.write_text("class: Workflow")
        workflow = made.add_workflow(source, "main.cwl", main=True, lang="cwl")
        properties = {"@type": "CreateAction", "identifier": "run-42"}
        made.add_action(workflow, "#action", properties=properties)
        made.write(tmp_path / "crate")
        facets = read_crate((tmp_path / "crate" / ID).read_bytes())
        expected = {
            "name": "Plate 42",
            "license": "CC-BY-4.0",
            "author": ["Josiah Carberry"],
            "author_orcid": ["0000-0002-1825-0097"],
            "organization": ["The Library"],
            "run_id": "run-42",
            "workflow_engine": "Common Workflow Language",
        }
        assert {name: facets.get(name) for name in expected} == expected
        assert facets["date_published"]


class TestPeople:
    @pytest.mark.parametrize("author", ["Ada", ["Ada"], {"name": "Ada"}, [None, {"name": "Ada"}]])
    def test_may_be_texts_or_entities_alone_or_in_lists(self, author: object) -> None:
        assert with_author(author) == {"author": ["Ada"]}

    def test_have_an_orcid_without_its_site(self) -> None:
        ada = {"@id": "#ada", "name": "Ada", "identifier": "orcid.org/0000-0002-1694-233X"}
        assert with_author(ref("#ada"), ada)["author_orcid"] == ["0000-0002-1694-233X"]

    def test_may_be_organizations(self) -> None:
        lab = {"@id": "#lab", "@type": "Organization", "name": "Lab"}
        assert with_author(ref("#lab"), lab) == {"organization": ["Lab"]}

    def test_are_whoever_ran_it_if_nobody_else_is_named(self) -> None:
        run = {"@id": "#run", "@type": "CreateAction", "agent": {"name": "Ada"}}
        assert read(ROOT, run) == {"author": ["Ada"]}

    @pytest.mark.parametrize(
        "author",
        [
            ref("https://orcid.org/0000-0000-0000-0000"),
            {"name": "John Doe", "identifier": "https://orcid.org/0000-0000-0000-0000"},
            None,
        ],
    )
    def test_are_left_out_if_they_are_placeholders(self, author: object) -> None:
        assert with_author(author) == {}

    @pytest.mark.parametrize("name", ["John Doe", "Jane Doe"])
    def test_are_persons_if_only_their_names_are_those_of_examples(self, name: str) -> None:
        assert with_author({"@type": "Person", "name": name}) == {"author": [name]}


WORKFLOW = {"@id": "flow.nf", "@type": ["File", "ComputationalWorkflow"], "name": "flow"}
ACTION = {
    "@id": f"#{RUN}",
    "@type": "CreateAction",
    "instrument": ref("flow.nf"),
    "actionStatus": "http://schema.org/CompletedActionStatus",
    "startTime": "2026-03-04T10:00:00Z",
}


class TestRuns:
    @pytest.mark.parametrize(
        "crate_id",
        [
            *("#create-action", "#action1", "#run", "#execution/1", "_:b0", "create-action"),
            *("runs/1", "file:///tmp/run", "arcp://name,crate/run", "https://x.org/crate/#run"),
        ],
    )
    def test_an_id_that_means_something_in_the_crate_only_is_no_run_id(self, crate_id: str) -> None:
        for identifier in ({}, {"identifier": crate_id} if crate_id[0] in "#_" else {}):
            assert read(ROOT, {"@id": crate_id, "@type": "CreateAction", **identifier}) == {}

    @pytest.mark.parametrize(
        ("crate_id", "run_id"),
        [
            (f"#{RUN}", RUN),
            (f"#{RUN}/run", RUN),
            (f"urn:uuid:{RUN}", RUN),
            ("https://tower.nf/runs/42", "42"),
            ("arn:aws:omics:us-east-1:123456789012:run/42", "42"),
        ],
    )
    def test_an_id_that_is_known_elsewhere_is_the_run_id(self, crate_id: str, run_id: str) -> None:
        assert read(ROOT, {"@id": crate_id, "@type": "CreateAction"}) == {"run_id": run_id}

    @pytest.mark.parametrize("identifier", ["42", ["42"], ref("#pv"), {"value": "42"}])
    def test_an_identifier_of_its_own_is_the_run_id(self, identifier: object) -> None:
        value = {"@id": "#pv", "@type": "PropertyValue", "value": "42"}
        run = {"@id": "#run", "@type": "CreateAction", "identifier": identifier}
        assert read(ROOT, run, value) == {"run_id": "42"}

    @pytest.mark.parametrize(
        "main",
        [
            ref("data.csv"),
            ref("data/"),
            "A table of counts",
            [ref("data.csv"), "A table"],
            [ref("data.csv"), ref("flow.nf")],
            ref("missing.nf"),
            {"@type": "Dataset", "name": "counts"},
            None,
        ],
    )
    def test_of_a_workflow_beside_another_main_entity_is_found(self, main: object) -> None:
        data = {"@id": "data.csv", "@type": "File", "name": "counts"}
        folder = {"@id": "data/", "@type": "Dataset", "name": "counts"}
        merge = {"@id": "#merge", "@type": "CreateAction", "instrument": ref("#tool")}
        facets = read({**ROOT, "mainEntity": main}, data, folder, merge, ACTION, WORKFLOW)
        assert facets == {
            "workflow_name": "flow",
            "run_id": RUN,
            "run_status": "COMPLETED",
            "start_time": "2026-03-04T10:00:00Z",
        }

    @pytest.mark.parametrize(
        "main", [ref("data.csv"), "A table", [ref("data.csv"), "A table"], ref("missing.nf")]
    )
    def test_without_a_workflow_have_no_workflow_name(self, main: object) -> None:
        data = {"@id": "data.csv", "@type": "File", "name": "counts", "version": "2"}
        assert read({**ROOT, "mainEntity": main}, data) == {}

    def test_are_that_of_the_workflow_among_other_actions(self) -> None:
        other = {"@id": f"#{RUN[::-1]}", "@type": "CreateAction", "instrument": ref("#tool")}
        failed = {**ACTION, "actionStatus": "http://schema.org/FailedActionStatus"}
        mentions = [ref(f"#{RUN[::-1]}"), ref(f"#{RUN}")]
        root = {**ROOT, "mainEntity": ref("flow.nf"), "mentions": mentions}
        facets = read(root, other, failed, WORKFLOW)
        assert (facets["run_id"], facets["run_status"]) == (RUN, "FAILED")

    def test_types_may_be_uris(self) -> None:
        flow = {**WORKFLOW, "@type": "https://bioschemas.org/ComputationalWorkflow"}
        assert read(ROOT, flow) == {"workflow_name": "flow"}


class TestRepositories:
    DOI = "https://doi.org/10.5555/source-pictures"

    def test_of_no_workflow_are_left_out(self) -> None:
        run = {"@id": "#convert", "@type": "CreateAction", "instrument": ref("https://x.org/")}
        tool = {"@id": "https://x.org/", "@type": "SoftwareApplication", "name": "x"}
        assert read({**ROOT, "isBasedOn": self.DOI}, run, tool) == {"tools": ["x"]}

    def test_are_not_the_origin_of_data_that_a_workflow_made(self) -> None:
        data = {"@id": "data.csv", "@type": "File"}
        root = {**ROOT, "mainEntity": ref("data.csv"), "isBasedOn": self.DOI}
        assert "workflow_repository" not in read(root, data, WORKFLOW)

    def test_may_be_those_of_a_crate_about_a_workflow(self) -> None:
        uri = "https://github.com/lab/flow"
        root = {**ROOT, "mainEntity": ref("flow.nf"), "isBasedOn": uri}
        assert read(root, WORKFLOW)["workflow_repository"] == uri


class TestFields:
    def test_a_description_is_its_first_sentence_of_prose(self) -> None:
        readme = (
            "<h1>\n <img src='logo.png'>\n</h1>\n\n## Usage\n\n**flow** calls variants. Fast.\n"
        )
        assert read({**ROOT, "description": readme}) == {"description": "flow calls variants."}

    def test_a_description_without_prose_is_left_out(self) -> None:
        assert read({**ROOT, "description": "<img src='logo.png'>\n\n[![CI](a.svg)](b)"}) == {}

    @pytest.mark.parametrize("year", ["2017", 2017])
    def test_a_date_may_be_a_year(self, year: object) -> None:
        assert read({**ROOT, "datePublished": year}) == {"date_published": "2017"}

    def test_an_orcid_may_be_repeated_in_its_id(self) -> None:
        orcid = "https://orcid.org/https://orcid.org/0000-0002-1825-0097"
        author = {"@id": orcid, "@type": "Person", "name": "Ada"}
        facets = with_author([ref(orcid)], author)
        assert facets == {"author": ["Ada"], "author_orcid": ["0000-0002-1825-0097"]}


class TestOddities:
    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
    def test_a_byte_order_mark_is_read_over(self, encoding: str) -> None:
        text = crate({**ROOT, "name": "ä"}).decode()
        assert read_crate(text.encode(encoding)) == {"name": "ä"}

    def test_numbers_that_are_none_are_left_out(self) -> None:
        document = b'{"@graph": [{"@id": "./", "name": NaN, "description": Infinity}]}'
        assert read_crate(document) == {}

    def test_versions_stay_what_they_were(self) -> None:
        flow = b'{"@id": "w", "@type": "ComputationalWorkflow", "version": 1.10}'
        assert read_crate(b'{"@graph": [' + flow + b"]}")["workflow_version"] == "1.10"

    @pytest.mark.parametrize("name", ["./", ".", "", "https://x.org/crate/", "arcp://name,run/"])
    def test_the_root_may_have_any_id(self, name: str) -> None:
        graph = [{"@id": ID, "about": ref(name)}, {"@id": name, "name": "Run"}]
        assert read_crate(json.dumps({"@graph": graph}).encode()) == {"name": "Run"}

    def test_a_descriptor_may_be_missing(self) -> None:
        graph = [{"@id": "#x", "@type": "Dataset", "name": "Run"}]
        assert read_crate(json.dumps({"@graph": graph}).encode()) == {"name": "Run"}

    def test_repeated_ids_are_one_entity(self) -> None:
        assert read({**ROOT, "name": "a"}, {**ROOT, "name": "b", "license": "MIT"}) == {
            "name": "a",
            "license": "MIT",
        }

    def test_properties_may_be_in_the_namespace_of_schema_org(self) -> None:
        root = {"@id": "./", "schema:name": "Run", "http://schema.org/license": {"@value": "MIT"}}
        assert read(root) == {"name": "Run", "license": "MIT"}

    def test_cycles_end(self) -> None:
        run = f"#{RUN}"
        loop = {"@id": run, "@type": "CreateAction", "instrument": ref(run), "agent": ref(run)}
        facets = read({**ROOT, "mainEntity": ref(run), "mentions": ref(run)}, loop)
        assert facets["run_id"] == RUN

    def test_several_processes_without_a_workflow_are_no_run(self) -> None:
        actions = [{"@id": f"#{n}", "@type": "CreateAction"} for n in range(2)]
        assert read(ROOT, *actions) == {}

    def test_half_of_a_surrogate_pair_is_left_out(self) -> None:
        assert read({**ROOT, "name": "a\ud800b"}) == {"name": "ab"}

    def test_secrets_in_uris_are_left_out(self) -> None:
        inputs = [
            "https://me:secret@x.org/a",
            "https://b.s3.amazonaws.com/c?X-Amz-Signature=secret",
            "https://x.org/d?page=2",
        ]
        run = {"@id": "#run", "@type": "CreateAction", "object": inputs}
        assert read(ROOT, run)["input_uris"] == [
            "https://x.org/a",
            "https://b.s3.amazonaws.com/c",
            "https://x.org/d?page=2",
        ]


class TestErrors:
    @pytest.mark.parametrize(
        ("document", "reason"),
        [
            (b"", "not JSON"),
            (b"{", "not JSON"),
            (b"\xff\xfe\xfd", "bytes are not utf-16"),
            (b"{}", "no @graph"),
            (b"42", "no @graph"),
            (b'{"@graph": "x"}', "no @graph"),
            (b"[" * 10**5, "nests too deeply"),
            (b" " * (MAX_CRATE_BYTES + 1), "more than 16,777,216 bytes"),
        ],
    )
    def test_say_why_a_crate_is_of_no_use(self, document: bytes, reason: str) -> None:
        with pytest.raises(ValueError, match=reason):
            read_crate(document)

    @given(st.binary())
    def test_are_the_only_ones_for_any_bytes(self, document: bytes) -> None:
        with contextlib.suppress(ValueError):
            read_crate(document)


IDS = st.sampled_from(["./", ID, "#run", "#flow", "https://x.org/a", ""])
TYPES = ["CreateAction", "OrganizeAction", "ComputationalWorkflow", "Dataset", "Person"]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | IDS
PROPERTIES = st.sampled_from(
    [
        *("@id", "@type", "@list", "@value", "about", "agent", "author", "affiliation"),
        *("instrument", "mainEntity", "mentions", "object", "result", "startTime", "name"),
        "hasPart",
    ]
)
JSON = st.recursive(
    LEAVES | st.sampled_from(TYPES) | IDS.map(ref),
    lambda inner: st.lists(inner) | st.dictionaries(PROPERTIES, inner),
    max_leaves=30,
)


@given(st.lists(st.dictionaries(PROPERTIES, JSON) | JSON))
def test_any_graph_gives_facets_and_nothing_else(graph: list[Any]) -> None:
    document = json.dumps({"@graph": graph}).encode()
    facets = read_crate(document)
    assert facets.keys() <= set(CRATE_FIELDS)
    for facet in facets.values():
        texts = [facet] if isinstance(facet, str) else facet
        assert texts
        assert all(texts)
    assert facets == read_crate(document)
    assert all(isinstance(each, str) for each in list_part_ids(document))


def shared_part(size: int) -> bytes:
    part = {"@id": "tool", "@type": ["SoftwareApplication", *["x"] * size], "name": "tool"}
    workflow = {"@id": "w", "@type": "ComputationalWorkflow", "hasPart": [ref("tool")] * size}
    return crate({**ROOT, "mainEntity": ref("w")}, workflow, part)


def shared_affiliation(size: int) -> bytes:
    names = [f"p{number}" for number in range(size)]
    authors = [{"@id": name, "affiliation": ref("lab")} for name in names]
    lab = {"@id": "lab", "name": "Lab", "identifier": ["x"] * size}
    return crate({**ROOT, "author": [ref(name) for name in names]}, *authors, lab)


def repeated_author(size: int) -> bytes:
    author = {"@id": "p", "affiliation": [ref("lab")] * size, "identifier": ["x"] * size}
    return crate({**ROOT, "author": [ref("p")] * size}, author, {"@id": "lab", "name": "Lab"})


def repeated_action(size: int) -> bytes:
    action = {"@id": "a", "@type": "CreateAction", "instrument": [ref("tool")] * size}
    tool = {"@id": "tool", "@type": ["SoftwareApplication", *["x"] * size]}
    return crate({**ROOT, "mentions": [ref("a")] * size}, action, tool)


@pytest.mark.parametrize(
    "make", [shared_part, shared_affiliation, repeated_author, repeated_action]
)
def test_work_grows_linearly_with_the_size_of_a_crate(
    make: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    read_values = ro_crates._values
    count = 0

    def count_values(entity: ro_crates.Entity, name: str) -> list[Any]:
        nonlocal count
        values = read_values(entity, name)
        count += 1 + len(values)
        return values

    monkeypatch.setattr(ro_crates, "_values", count_values)
    counts = []
    for size in (100, 200, 400):
        count = 0
        read_crate(make(size))
        counts.append(count)
    assert counts[2] - counts[1] <= 2.2 * (counts[1] - counts[0])
