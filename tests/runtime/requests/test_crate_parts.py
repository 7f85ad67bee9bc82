"""The parts that crates list: paths, folders, metadata of files, and what is rejected."""

import json
from typing import Any

import pytest
from quilt_packager_runtime.formats.objects import S3Uri, Source
from quilt_packager_runtime.requests import crate_parts
from quilt_packager_runtime.requests.crate_parts import Parts, read_parts
from quilt_packager_runtime.requests.ro_crates import Graph

CRATE = S3Uri("raw", "runs/42/ro-crate-metadata.json")
CONFLICT = 'part "a": different entities have this id'


def ref(identifier: str) -> dict[str, str]:
    return {"@id": identifier}


def file(identifier: str, **fields: Any) -> dict[str, Any]:
    return {"@id": identifier, "@type": "File", **fields}


def folder(identifier: str, **fields: Any) -> dict[str, Any]:
    return {"@id": identifier, "@type": "Dataset", **fields}


def parts(listed: object, *entities: dict[str, Any]) -> Parts:
    root = folder("./", hasPart=listed)
    return read_parts(Graph(json.dumps({"@graph": [root, *entities]}).encode()), CRATE)


def violations(listed: object, *entities: dict[str, Any]) -> tuple[str, ...]:
    return parts(listed, *entities).violations


class TestPaths:
    @pytest.mark.parametrize(
        ("identifier", "path"),
        [
            ("a.txt", "a.txt"),
            ("./a.txt", "a.txt"),
            ("sub/a%20b%23%3F.txt", "sub/a b#?.txt"),
            ("a b.txt", "a b.txt"),
            ("100%25", "100%"),
            ("s3://raw/runs/42/plate%231.csv", "plate#1.csv"),
            ("\N{LATIN SMALL LETTER A WITH DIAERESIS}", "\N{LATIN SMALL LETTER A WITH DIAERESIS}"),
        ],
    )
    def test_are_decoded_once(self, identifier: str, path: str) -> None:
        found = parts(ref(identifier), file(identifier))
        assert (found.files, found.violations) == (frozenset({path}), ())

    def test_need_no_entity(self) -> None:
        assert parts(["a", ref("b")]).files == {"a", "b"}

    def test_on_the_web_are_left_out(self) -> None:
        found = parts([ref("a"), ref("https://x.org/b"), ref("http://x.org/c#d")])
        assert (found.files, found.elsewhere, found.violations) == (frozenset({"a"}), {}, ())

    def test_of_the_crate_itself_and_its_root_are_no_parts(self) -> None:
        found = parts([ref("a"), ref("./"), ref("ro-crate-metadata.json")])
        assert (found.files, found.violations) == (frozenset({"a"}), ())

    @pytest.mark.parametrize(
        "identifier",
        ["../b.gz", "/work/b.gz", "file:///work/b.gz", "gs://other/b"],
    )
    def test_outside_of_the_folder_are_kept_apart(self, identifier: str) -> None:
        found = parts([ref("a"), file(identifier)])
        assert (found.files, list(found.elsewhere)) == (frozenset({"a"}), [identifier])

    def test_that_break_rules_are_all_reported(self) -> None:
        listed = [
            "a#b",
            "a?b",
            "a//b",
            "a/../b",
            "a/%2E/b",
            "%ff",
            "s3://raw",
            "s3://b/#",
            "s3://b//x",
            "s3://b/a/../x",
            "s3://b/.quilt/packages/x",
            "s3://arn:aws:s3:::b/x",
            {"x": 1},
        ]
        found = violations(listed)
        assert len(found) == len(listed)
        assert found[0] == 'part "a#b": it has a #, which is %23 in the name of a file'

    def test_are_at_most_keys(self) -> None:
        assert "1024 bytes" in violations("a" * 1025)[0]

    @pytest.mark.parametrize("listed", [None, [], ref("https://x.org/a"), ref("./")])
    def test_are_not_all_left_out(self, listed: object) -> None:
        assert violations(listed) == ("the root has no part that a package can hold",)

    def test_are_as_many_as_there_are(self) -> None:
        assert len(parts([f"f{number}" for number in range(20_000)]).files) == 20_000


def object_at(bucket: str, key: str, into: str, version_id: str | None = None) -> Source:
    return Source(bucket, key, into, is_object=True, version_id=version_id)


class TestElsewhereInS3:
    """Parts by S3 URIs outside of the crate's folder."""

    @pytest.mark.parametrize(
        ("identifier", "source"),
        [
            ("s3://other/raw/b", object_at("other", "raw/b", "b")),
            ("s3://other/raw/b%231", object_at("other", "raw/b#1", "b#1")),
            ("s3://other/b?versionId=v1", object_at("other", "b", "b", "v1")),
            ("s3://raw/runs/42/sub/b", object_at("raw", "runs/42/sub/b", "b")),
            ("s3://raw/runs/42/b?versionId=v1", object_at("raw", "runs/42/b", "b", "v1")),
            ("s3://other/raw/sub/", Source("other", "raw/sub/", "sub/")),
        ],
    )
    def test_have_their_basenames(self, identifier: str, source: Source) -> None:
        found = parts(ref(identifier))
        assert (found.sources, found.violations) == ((source,), ())

    def test_with_equal_basenames_have_the_ends_of_their_paths_that_differ(self) -> None:
        found = parts(
            ["s3://a/x/s1/R1.fq", "s3://a/x/s2/R1.fq", "s3://a/y/s2/R1.fq", "s3://a/x/s1/R2.fq"]
        )
        assert {each.into for each in found.sources} == {
            *("x/s1/R1.fq", "x/s2/R1.fq", "y/s2/R1.fq", "R2.fq")
        }

    def test_with_equal_keys_have_their_buckets(self) -> None:
        found = parts(["s3://a/x/R1.fq", "s3://b/x/R1.fq"])
        assert {each.into for each in found.sources} == {"a/x/R1.fq", "b/x/R1.fq"}

    def test_leave_the_names_in_the_folder_to_its_parts(self) -> None:
        found = parts(["R1.fq", "sub/x", "s3://a/s1/R1.fq", "s3://a/s1/sub"])
        assert found.files == {"R1.fq", "sub/x"}
        assert {each.into for each in found.sources} == {"s1/R1.fq", "s1/sub"}

    def test_in_a_folder_that_is_a_part_keep_its_path_and_their_metadata(self) -> None:
        identifiers = ["s3://a/run/sub/x", "s3://a/run/sub/deep/", "s3://raw/runs/42/in/y"]
        files = [file(each, size=5) for each in identifiers if not each.endswith("/")]
        found = parts([ref("s3://a/run/"), ref("in/"), *map(ref, identifiers)], *files)
        assert found.sources == (Source("a", "run/", "run/"),)
        assert found.metadata == {"run/sub/x": {"size": 5}, "in/y": {"size": 5}}

    def test_that_are_not_listed_describe_files_in_a_folder(self) -> None:
        found = parts(ref("s3://a/run/"), file("s3://a/run/x", size=5), file("s3://a/y", size=6))
        assert found.metadata == {"run/x": {"size": 5}}

    def test_in_the_folder_are_the_same_as_by_their_path(self) -> None:
        found = parts([ref("sub/x"), ref("s3://raw/runs/42/sub/x"), ref("s3://raw/runs/42/")])
        assert found.files == {"sub/x"}
        assert not found.folders
        assert not found.sources

    def test_are_found_without_the_slash_of_a_folder(self) -> None:
        found = parts(ref("s3://a/run"), folder("s3://a/run/"))
        assert found.sources == (Source("a", "run/", "run/"),)

    def test_may_have_a_second_id(self) -> None:
        found = parts(["s3://a/b%20c", "s3://a/b c"])
        assert (len(found.sources), found.violations) == (1, ())

    def test_have_metadata(self) -> None:
        found = parts(ref("s3://a/s1/x"), file("s3://a/s1/x", size=5))
        assert found.metadata == {"x": {"size": 5}}

    def test_may_list_a_version_of_the_crate(self) -> None:
        crate = "s3://raw/runs/42/ro-crate-metadata.json"
        found = parts(["a", crate, f"{crate}?versionId=v1"])
        assert not found.sources
        assert found.crate_versions == {"v1"}

    @pytest.mark.parametrize(
        ("listed", "rule"),
        [
            (["s3://a/x", "s3://a/x?versionId=v1"], "it has several versions"),
            (["s3://a/x?versionId=v2", "s3://a/x?versionId=v1"], "it has several versions"),
            (["s3://a/x", "s3://a/x/"], "is both a file and a folder"),
            (["s3://a/x/?versionId=v1"], "it is a folder, which has no version"),
            (["s3://a/ro-crate-metadata.json"], "it has the name of the crate"),
        ],
    )
    def test_that_break_a_rule_are_reported(self, listed: list[str], rule: str) -> None:
        entities = [folder(each) for each in listed if "/?" in each]
        (violation,) = violations(listed, *entities)
        assert rule in violation

    def test_are_limited(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(crate_parts, "MAX_PARTS_ELSEWHERE", 100)
        listed = [f"s3://a/{number}/x/R1.fq" for number in range(100)]
        found = parts(listed)
        assert len({each.into for each in found.sources}) == len(listed)
        assert found.violations == ()
        expected = ("it lists more than 100 parts elsewhere in S3",)
        assert parts([*listed, "s3://a/y/"]).violations == expected


class TestFolders:
    @pytest.mark.parametrize("identifier", ["sub", "sub/", "./sub/"])
    def test_are_data_sets(self, identifier: str) -> None:
        assert parts(ref(identifier), folder(identifier)).folders == {"sub"}

    def test_may_lack_an_entity(self) -> None:
        assert parts("sub/").folders == {"sub"}

    def test_are_found_without_their_slash(self) -> None:
        found = parts("sub", folder("sub/"))
        assert (list(found.files), found.folders) == ([], frozenset({"sub"}))

    def test_are_not_found_by_a_slash_that_they_lack(self) -> None:
        assert parts(["sub/", "sub"], file("sub")).violations == (
            'part "sub": it is both a file and a folder',
        )

    def test_have_parts_of_their_own(self) -> None:
        found = parts(ref("sub/"), folder("sub/", hasPart=[ref("sub/a"), ref("other/b")]))
        assert (found.files, found.folders) == (frozenset({"sub/a", "other/b"}), frozenset({"sub"}))

    @pytest.mark.parametrize("identifier", ["#group", "_:b0"])
    def test_may_be_groups_without_a_folder(self, identifier: str) -> None:
        found = parts(ref(identifier), folder(identifier, hasPart=ref("a")))
        assert (found.files, list(found.folders), found.violations) == (frozenset({"a"}), [], ())

    def test_may_be_cycles(self) -> None:
        one, other = folder("a/", hasPart=ref("b/")), folder("b/", hasPart=[ref("a/"), ref("./")])
        assert parts(ref("a/"), one, other).folders == {"a", "b"}


class TestMetadata:
    def test_is_all_but_the_id_the_type_and_the_name(self) -> None:
        entity = file("a", name="A", contentSize=6, ratio=1e-07, author=ref("#ada"), tags=["x", 1])
        assert parts(ref("a"), entity).metadata == {
            "a": {"contentSize": 6, "ratio": 1e-07, "author": ref("#ada"), "tags": ["x", 1]}
        }

    def test_is_kept_of_files_in_folders(self) -> None:
        found = parts("sub/", file("sub/a", sha256="0"), file("other/b", sha256="1"))
        assert found.metadata == {"sub/a": {"sha256": "0"}}

    def test_is_left_out_if_there_is_none(self) -> None:
        assert parts(ref("a"), file("a", name="A")).metadata == {}

    @pytest.mark.parametrize(
        ("value", "rule"),
        [
            ("NaN", "nan"),
            ('[{"x": -Infinity}]', "inf"),
            ("1e999", "too large"),
            ('"\\ud800"', "surrogate"),
            ("1" * 4301, "digits"),
            (f'"{"x" * 1_000_000}"', "bytes"),
            ("[" * 101 + "]" * 101, "deeper"),
        ],
        ids=["NaN", "infinity", "large", "surrogate", "digits", "long", "deep"],
    )
    def test_that_no_manifest_can_hold_is_rejected(self, value: str, rule: str) -> None:
        text = json.dumps({"@graph": [folder("./", hasPart="a"), file("a", x="?")]})
        (violation,) = read_parts(Graph(text.replace('"?"', value).encode()), CRATE).violations
        assert violation.startswith('part "a": its metadata cannot be kept: ')
        assert rule in violation


class TestRepeatedEntities:
    def test_are_one_if_they_are_copies(self) -> None:
        assert violations(ref("a"), file("a", x=1), file("a", x=1)) == ()

    @pytest.mark.parametrize(
        "other", [file("a"), file("a", x=2), file("a", x=1, y=1), file("a", **{"schema:x": 2})]
    )
    def test_are_rejected_if_they_differ(self, other: dict[str, Any]) -> None:
        assert CONFLICT in violations(ref("a"), file("a", x=1), other)

    def test_are_rejected_in_folders(self) -> None:
        found = violations("sub/", file("sub/a", x=1), file("sub/a", x=2))
        assert found == ('part "sub/a": different entities have this id',)

    def test_are_rejected_if_two_ids_describe_one_file(self) -> None:
        found = violations(["a", "./a"], file("a", x=1), file("./a", x=2))
        assert found == ('part "./a": different entities describe this file',)

    def test_differ_elsewhere_without_harm(self) -> None:
        assert violations("a", {"@id": "#ada", "name": "A"}, {"@id": "#ada", "name": "B"}) == ()


def test_one_entity_of_many_parts_is_described_once(monkeypatch: pytest.MonkeyPatch) -> None:
    described: list[object] = []
    module = "quilt_packager_runtime.requests.crate_parts"
    monkeypatch.setattr(f"{module}._metadata", described.append)
    parts([ref("a")] * 4_000, file("a", x=["y"] * 4_000))
    assert len(described) == 1
